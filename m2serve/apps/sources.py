"""The files that the modules of this process were read from, for whoever watches them."""

from __future__ import annotations

import os
import sys
import traceback
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

_OURS = "m2serve"
"""The master goes on with the code it has: a reload would not bring a change of our own."""


class Sources:
    """Names each file once.

    Args: ignored: names of modules; what lies below one is ignored as well.
    """

    def __init__(self, ignored: Iterable[str] = ()) -> None:
        self._ignored = (_OURS, *ignored)
        self._modules: set[str] = set()
        self._files: set[str] = set()

    def fresh(self) -> list[str]:
        """Files of modules that were imported since the last call."""
        if len(sys.modules) == len(self._modules):
            return []
        found = [_source(name) for name in list(sys.modules) if name not in self._modules and not self._ignores(name)]
        self._modules = set(sys.modules)
        return self._new(found)

    def of_failure(self, error: BaseException) -> list[str]:
        """Files that took part in an import that failed, which its modules are not there any more to tell."""
        found = [frame.filename for frame in traceback.extract_tb(error.__traceback__)]
        if isinstance(error, SyntaxError):
            found.append(error.filename or "")
        ours = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
        return self._new(file for file in found if os.path.isfile(file) and not file.startswith(ours + os.sep))

    def _ignores(self, name: str) -> bool:
        return any(name == one or name.startswith(one + ".") for one in self._ignored)

    def _new(self, files: Iterable[str]) -> list[str]:
        absolute = dict.fromkeys(os.path.abspath(file) for file in files if file)
        new = [file for file in absolute if file not in self._files]
        self._files.update(new)
        return new


def _source(name: str) -> str:
    """Empty: there is none, as for a built-in module."""
    try:
        file = getattr(sys.modules.get(name), "__file__", None)
    except Exception:
        # Modules may be objects of the application's.
        return ""
    return file if isinstance(file, str) and file.endswith(".py") else ""
