"""Options of uWSGI's that m2serve knows by name but has no setting for: what becomes of them, and why."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import re
    from collections.abc import Iterable, Mapping


class Fate(Enum):
    """What is said about such an option; the value is how the line begins."""

    NEEDLESS = "changes nothing"
    """What it asks for is always so here, or has no counterpart. A note."""
    ELSEWHERE = "has no meaning here"
    """The text says what to use instead. A warning."""
    MISSING = "not in this version"
    """The text says what therefore does not happen. A warning, and a mistake under ``strict``."""


@dataclass(frozen=True)
class Foreign:
    """A row.

    Args:
        names: the option and its aliases; in a family what all names begin with.
        metavar: empty for a flag.
        text: the reason or the consequence, without a full stop.
        short: letters for the command line.
        value: the row is only for values that match this; others look further down.
        rare: so rarely an option that a key which some value refers to is taken for a placeholder.
        family: the row is for every name that is one of *names* or begins with one and a dash.
    """

    fate: Fate
    names: tuple[str, ...]
    metavar: str
    text: str
    short: str = ""
    value: re.Pattern[str] | None = None
    family: bool = False
    rare: bool = False

    @property
    def name(self) -> str:
        """The spelling for users."""
        return self.names[0]

    def says(self) -> str:
        """The line about it, without the place."""
        return f"{self.fate.value}: {self.text}"

    def asks_nothing(self, text: str) -> bool:
        """Whether the value only says that the option is not wanted: ``harakiri = 0``."""
        return self.metavar in ("", "N", "SECONDS", "BYTES", "MIB") and text.strip().lower() in _NOT_WANTED

    def is_about(self, key: str, text: str) -> bool:
        """Whether the row says something about this key with this value."""
        if self.value is not None and self.value.fullmatch(text.strip()) is None:
            return False
        return key in self.names or (self.family and any(key.startswith(f"{name}-") for name in self.names))


_NOT_WANTED = frozenset({"false", "off", "no", "0"})


def index(rows: Iterable[Foreign]) -> Mapping[str, tuple[Foreign, ...]]:
    """Every name, letters for the command line included, to its rows in order; families are not in it."""
    found: dict[str, tuple[Foreign, ...]] = {}
    for row in rows:
        if not row.family:
            for name in (*row.names, *row.short):
                found[name] = (*found.get(name, ()), row)
    return found
