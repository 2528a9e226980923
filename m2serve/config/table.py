"""The one table of options, made from the groups."""

from __future__ import annotations

import difflib
from dataclasses import dataclass, fields, replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, get_type_hints

from m2serve.config.foreign import Foreign, index
from m2serve.config.foreign_rows import MEANT, ROWS
from m2serve.config.groups.every import EveryGroup
from m2serve.config.option import Kind, declaration, kind_of
from m2serve.config.words import CLOSERS, CONDITIONS, GRAMMAR, LETTERS, OLD_CONDITIONS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

GROUPS: tuple[type, ...] = EveryGroup.__bases__


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


def rows_of(group: type) -> list[Option]:
    """The rows of one dataclass."""
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


def _index(options: Sequence[Option]) -> Mapping[str, Option]:
    index: dict[str, Option] = {}
    for row in options:
        for name in (row.name, *row.aliases, *row.short):
            if name in index:
                raise ValueError(f"two options are called {name!r}: {index[name].name} and {row.name}")
            index[name] = row
    return MappingProxyType(index)


class Table:
    """Rows, and what is found in them.

    Args: groups: dataclasses of options beside our own, as plugins bring them.

    Raises:
        ValueError: two options have the same name.
        TypeError: a field is no option, or nothing is known about its type.
    """

    def __init__(self, groups: Iterable[type] = ()) -> None:
        self.options: tuple[Option, ...] = tuple(row for group in (*GROUPS, *groups) for row in rows_of(group))
        self.by_name: Mapping[str, Option] = _index(self.options)
        """Every spelling, short flags included, to its option."""
        self.foreign_rows: tuple[Foreign, ...] = tuple(
            replace(row, names=names, short="".join(letter for letter in row.short if letter not in self.by_name))
            for row in ROWS
            if (names := tuple(name for name in row.names if row.family or name not in self.by_name))
        )
        """uWSGI's options that are none of ours, less those that have become ours."""
        self._foreign_by_name = index(self.foreign_rows)
        self._families = tuple(row for row in self.foreign_rows if row.family)

    def lookup(self, key: str) -> Option | None:
        """The option for a long name or alias; short flags are for the command line alone."""
        return self.by_name.get(key) if len(key) > 1 else None

    def foreign(self, key: str, text: str = "") -> Foreign | None:
        """The row about an option of uWSGI's with this value, if we know it."""
        rows = (*self._foreign_by_name.get(key, ()), *self._families) if len(key) > 1 else ()
        return next((row for row in rows if row.is_about(key, text)), None)

    def is_option(self, key: str) -> bool:
        """Whether this is the name of an option, here or in uWSGI, or a word of the grammar."""
        words = (GRAMMAR, CONDITIONS, CLOSERS, OLD_CONDITIONS, self._foreign_by_name)
        families = (row.names for row in self._families)
        return self.lookup(key) is not None or any(key in known for known in (*words, *families))

    def metavar(self, name: str) -> str | None:
        """What follows a long name on the command line: empty for a flag, None when the name is unknown."""
        option = self.lookup(name)
        if option is not None:
            return option.metavar
        if name in GRAMMAR:
            return GRAMMAR[name].metavar
        row = self.foreign(name)
        return None if row is None else row.metavar

    def long_name(self, letter: str) -> str | None:
        """The long name of a short flag."""
        if letter in self.by_name:
            return self.by_name[letter].name
        if letter in self._foreign_by_name:
            return self._foreign_by_name[letter][0].name
        return LETTERS.get(letter)

    def nearest(self, key: str) -> str | None:
        """The known name that looks most like *key*, if one does."""
        name = key.lower().replace("_", "-")
        if name in MEANT:
            return MEANT[name]
        known = [name for name in (*self.by_name, *GRAMMAR, *CONDITIONS, *self._foreign_by_name) if len(name) > 1]
        found = difflib.get_close_matches(name, known, n=1, cutoff=0.7)
        return found[0] if found else None


TABLE = Table()
"""Ours alone, without those of any plugin."""
OPTIONS = TABLE.options
FOREIGN = TABLE.foreign_rows
BY_NAME = TABLE.by_name
lookup = TABLE.lookup
foreign = TABLE.foreign
metavar = TABLE.metavar
long_name = TABLE.long_name
nearest = TABLE.nearest
