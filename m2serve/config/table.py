"""The one table of options, made from the groups."""

from __future__ import annotations

import difflib
from dataclasses import dataclass, fields
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, get_type_hints

from m2serve.config.groups.app import AppGroup
from m2serve.config.groups.logging import LogGroup
from m2serve.config.groups.mongrel2 import Mongrel2Group
from m2serve.config.groups.process import ProcessGroup

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
from m2serve.config.option import Kind, declaration, kind_of

GROUPS: tuple[type, ...] = (AppGroup, Mongrel2Group, ProcessGroup, LogGroup)


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


@dataclass(frozen=True)
class Word:
    """A key that acts while the configuration is read and leaves no setting behind."""

    metavar: str
    doc: str


GRAMMAR: Mapping[str, Word] = MappingProxyType(
    {
        "ini": Word("FILE[:SECTION]", "Read this file here; on the command line the same as naming it."),
        "include": Word("FILE[:SECTION]", "The same as ini."),
        "set": Word("KEY=VALUE", "Set an option, or define a name for %(name)."),
        "set-placeholder": Word("NAME=VALUE", "Define a name for %(name), which is no option."),
        "set-ph": Word("NAME=VALUE", "The same as set-placeholder."),
    }
)


def lookup(key: str) -> Option | None:
    """The option for a long name or alias; short flags are for the command line alone."""
    return BY_NAME.get(key) if len(key) > 1 else None


def nearest(key: str) -> str | None:
    """The known name that looks most like *key*, if one does."""
    known = [name for name in (*BY_NAME, *GRAMMAR) if len(name) > 1]
    found = difflib.get_close_matches(key.lower().replace("_", "-"), known, n=1, cutoff=0.7)
    return found[0] if found else None
