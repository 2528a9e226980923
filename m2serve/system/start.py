"""How this process was started, so that another program can be started the same way."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True)
class Start:
    """*program* is the interpreter and what it runs, *arguments* are the rest of the command line."""

    program: tuple[str, ...]
    arguments: tuple[str, ...]
    environment: Mapping[str, str]
    directory: str

    @classmethod
    def of_this_process(cls) -> Start | None:
        """To be asked before anything changes the environment or the directory; None: it cannot be told."""
        arguments = sys.argv[1:]
        program = sys.orig_argv[: len(sys.orig_argv) - len(arguments)]
        directory = _directory()
        if not sys.executable or len(program) < 2 or sys.orig_argv[len(program) :] != arguments or directory is None:
            return None
        return cls((sys.executable, *program[1:]), tuple(arguments), dict(os.environ), directory)

    def again(self, level: int) -> NoReturn:
        """Be this process anew, with Python's ``-O`` or ``-OO``; whoever waits for it notices nothing.

        To be called before anything is opened. Raises: OSError: it cannot be executed.
        """
        program, *rest = self.program
        sys.stdout.flush()
        sys.stderr.flush()
        os.execve(program, (program, f"-{'O' * level}", *rest, *self.arguments), dict(self.environment))


def _directory() -> str | None:
    """By the name it was reached by, if there is one: where a deployment turns a symbolic link, its new end counts."""
    try:
        here = os.getcwd()
        named = os.environ.get("PWD", "")
        if os.path.isabs(named) and os.path.samefile(named, here):
            return named
    except OSError:
        return None
    return here
