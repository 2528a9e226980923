"""Arguments of actions: ``$1`` is a group of the rule's regular expression, ``${NAME}`` a variable of the request."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from m2serve.gateways.routing.call import Call

Groups: TypeAlias = "Sequence[str | None]"
"""What a regular expression has found; the first is all of it."""

_FIELD = re.compile(r"\$\{([^{}]*)\}|\$([0-9])")


class Text:
    """A compiled argument."""

    def __init__(self, text: str) -> None:
        at = 0
        self._parts: list[Callable[[Call, Groups], str]] = []
        first = _FIELD.search(text)
        self.fixed = text if first is None else text[: first.start()]
        """What comes before the first field."""
        self.varies = first is not None
        for match in _FIELD.finditer(text):
            self._literal(text[at : match.start()])
            self._parts.append(_variable(match[1]) if match[1] is not None else _group(int(match[2])))
            at = match.end()
        self._literal(text[at:])

    def of(self, call: Call, groups: Groups) -> str:
        """With everything replaced."""
        return "".join([part(call, groups) for part in self._parts])

    def rest(self, call: Call, groups: Groups) -> str:
        """The same without :attr:`fixed`."""
        return self.of(call, groups)[len(self.fixed) :]

    def _literal(self, text: str) -> None:
        if text:
            self._parts.append(lambda call, groups: text)


def _variable(name: str) -> Callable[[Call, Groups], str]:
    return lambda call, groups: call.variable(name)


def _group(number: int) -> Callable[[Call, Groups], str]:
    return lambda call, groups: (groups[number] or "") if number < len(groups) else ""
