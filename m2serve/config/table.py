"""The one table of options, made from the groups."""

from __future__ import annotations

import difflib
from dataclasses import dataclass, fields, replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, get_type_hints

from m2serve.config.foreign import Foreign, index
from m2serve.config.foreign_rows import MEANT, ROWS
from m2serve.config.groups.app import AppGroup
from m2serve.config.groups.logging import LogGroup
from m2serve.config.groups.master import MasterGroup
from m2serve.config.groups.mongrel2 import Mongrel2Group
from m2serve.config.groups.privileges import PrivilegesGroup
from m2serve.config.groups.process import ProcessGroup
from m2serve.config.groups.static import StaticGroup
from m2serve.config.groups.stats import StatsGroup
from m2serve.config.option import Kind, declaration, kind_of
from m2serve.config.words import CONDITIONS, GRAMMAR, LETTERS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

GROUPS: tuple[type, ...] = (
    AppGroup,
    StaticGroup,
    Mongrel2Group,
    ProcessGroup,
    PrivilegesGroup,
    MasterGroup,
    StatsGroup,
    LogGroup,
)


@dataclass(frozen=True)
class Option:
    """A row of the table.

    ``field`` is the attribute of the settings, ``name`` the spelling for users.
    """

    field: str
    name: str
    aliases: tuple[str, ...]
    short: str
    kind: Kind
    default: Any
    doc: str
    metavar: str
    group: str
    compat: bool


def _rows(group: type) -> list[Option]:
    hints = get_type_hints(group)
    rows = []
    for entry in fields(group):
        told = declaration(entry)
        kind = kind_of(hints[entry.name], told.minimum)
        row = Option(
            field=entry.name,
            name=entry.name.replace("_", "-"),
            aliases=tuple(name for name in told.names if len(name) > 1),
            short="".join(name for name in told.names if len(name) == 1),
            kind=kind,
            default=entry.default,
            doc=told.doc,
            metavar=told.metavar or kind.metavar,
            group=group.__doc__ or group.__name__,
            compat=told.compat,
        )
        rows.append(row)
    return rows


OPTIONS: tuple[Option, ...] = tuple(row for group in GROUPS for row in _rows(group))


def _index(options: Sequence[Option]) -> Mapping[str, Option]:
    index: dict[str, Option] = {}
    for row in options:
        for name in (row.name, *row.aliases, *row.short):
            if name in index:
                raise ValueError(f"two options are called {name!r}: {index[name].name} and {row.name}")
            index[name] = row
    return MappingProxyType(index)


BY_NAME: Mapping[str, Option] = _index(OPTIONS)
"""Every spelling, short flags included, to its option."""


FOREIGN: tuple[Foreign, ...] = tuple(
    replace(row, names=names, short="".join(letter for letter in row.short if letter not in BY_NAME))
    for row in ROWS
    if (names := tuple(name for name in row.names if row.family or name not in BY_NAME))
)
"""uWSGI's options that are none of ours, less those that have become ours."""

_FOREIGN_BY_NAME = index(FOREIGN)
_FAMILIES = tuple(row for row in FOREIGN if row.family)


def lookup(key: str) -> Option | None:
    """The option for a long name or alias; short flags are for the command line alone."""
    return BY_NAME.get(key) if len(key) > 1 else None


def foreign(key: str, text: str = "") -> Foreign | None:
    """The row about an option of uWSGI's with this value, if we know it."""
    rows = (*_FOREIGN_BY_NAME.get(key, ()), *_FAMILIES) if len(key) > 1 else ()
    return next((row for row in rows if row.is_about(key, text)), None)


def metavar(name: str) -> str | None:
    """What follows a long name on the command line: empty for a flag, None when the name is unknown."""
    option = lookup(name)
    if option is not None:
        return option.metavar
    if name in GRAMMAR:
        return GRAMMAR[name].metavar
    row = foreign(name)
    return None if row is None else row.metavar


def long_name(letter: str) -> str | None:
    """The long name of a short flag."""
    if letter in BY_NAME:
        return BY_NAME[letter].name
    if letter in _FOREIGN_BY_NAME:
        return _FOREIGN_BY_NAME[letter][0].name
    return LETTERS.get(letter)


def nearest(key: str) -> str | None:
    """The known name that looks most like *key*, if one does."""
    name = key.lower().replace("_", "-")
    if name in MEANT:
        return MEANT[name]
    known = [name for name in (*BY_NAME, *GRAMMAR, *CONDITIONS, *_FOREIGN_BY_NAME) if len(name) > 1]
    found = difflib.get_close_matches(name, known, n=1, cutoff=0.7)
    return found[0] if found else None
