"""Placeholders in values: ``%(name)``, ``$(VARIABLE)``, ``@(file)`` and the one-letter variables."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from m2serve.config.arithmetic import calculate
from m2serve.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from m2serve.config.entry import Entry

_OPENING = re.compile(r"(?P<open>[%$@]\()|%(?P<letter>[%A-Za-z0-9\[])|(?P<close>\))")
_NAMES = re.compile(r"%\(([^()]*)")
_DEFAULT = re.compile(r"(?P<name>\w+)(?P<operator>:?-)(?P<default>.*)", re.DOTALL)
_MAX_LENGTH = 1 << 20
_MAX_DEPTH = 64
ITEM = "_"
"""The name of what a block is about: the loop's item, or the value that was tested."""


class _Place(NamedTuple):
    """Where an expansion is: in whose value, inside of which names, how deep in names and brackets."""

    entry: Entry
    names: tuple[str, ...] = ()
    depth: int = 0


class Expander:
    """Replaces placeholders in the values of one configuration.

    A name means its first definition. What cannot be replaced stays as it is: a ``%`` has other uses. ``%%`` is
    a plain ``%`` in files.

    Args:
        env: for ``$(NAME)``; what comes from there is not expanded again.
        fetch: the text for ``@(source)``; raises ConfigError. Called once for each source: it may be a program.
    """

    def __init__(self, env: Mapping[str, str], fetch: Callable[[str], str]) -> None:
        self._env = env
        self._fetch = fetch
        self._first: dict[str, Entry] = {}
        self._done: dict[str, str] = {}
        self._fetched: dict[str, str | ConfigError] = {}
        self.referenced: set[str] = set()
        """Names that some value refers to."""

    def define(self, entry: Entry) -> None:
        """Make a key known as a name, unless it has a value already."""
        self.refer(entry.value)
        if entry.key not in self._first:
            self._first[entry.key] = entry
            self._done.clear()

    def refer(self, text: str) -> None:
        """Note the names that a value refers to, also one that is never used."""
        for match in _NAMES.finditer(text):
            self.referenced.update(match[1].split())

    def defined(self, name: str) -> Entry | None:
        """The first definition of a name."""
        return self._first.get(name)

    def expand(self, entry: Entry) -> str:
        """The value with its placeholders replaced.

        Raises: ConfigError: names refer to each other in a circle, the value grows without end, a file for
            ``@( )`` is missing.
        """
        return self._text(entry.value, _Place(entry))

    def _text(self, text: str, place: _Place) -> str:
        first, end = self._scan(text, 0, place)
        parts = [first]
        while end < len(text):  # A bracket that was never opened is a plain one.
            more, end = self._scan(text, end + 1, place)
            parts += [")", more]
        return "".join(parts)

    def _scan(self, text: str, start: int, place: _Place) -> tuple[str, int]:
        """Expand up to the next closing bracket; gives its position, or the text's length."""
        parts: list[str] = []
        position, length = start, 0
        while True:
            match = _OPENING.search(text, position)
            end = match.start() if match else len(text)
            parts.append(text[position:end])
            if match is None or match["close"]:
                return "".join(parts), end
            if match["open"]:
                part, position = self._bracket(text, match, place)
            else:
                part, position = self._letter(match, place.entry), match.end()
            parts.append(part)
            length += len(part)
            if length > _MAX_LENGTH:
                raise ConfigError(f"its placeholders grow past {_MAX_LENGTH} characters")

    def _bracket(self, text: str, match: re.Match[str], place: _Place) -> tuple[str, int]:
        inner, end = self._scan(text, match.end(), _deeper(place))
        if end == len(text):
            return match["open"] + inner, end
        kind = match["open"][0]
        if kind == "$":
            value = self._variable(inner)
        elif kind == "@":
            value = self._content(inner)
        else:
            value = self._placeholder(inner, place)
        return f"{match['open']}{inner})" if value is None else value, end + 1

    def _content(self, source: str) -> str:
        if source not in self._fetched:
            try:
                self._fetched[source] = self._fetch(source).removesuffix("\n")
            except ConfigError as error:
                self._fetched[source] = error
        found = self._fetched[source]
        if isinstance(found, ConfigError):
            raise found
        return found

    def _letter(self, match: re.Match[str], entry: Entry) -> str:
        if entry.from_shell:
            return match[0]
        return "%" if match["letter"] == "%" else entry.magic.get(match["letter"], match[0])

    def _placeholder(self, inner: str, place: _Place) -> str | None:
        words = inner.split()
        if len(words) == 1:
            return self._named(words[0], place)
        return calculate(inner, lambda name: self._named(name, place)) if words else None

    def _named(self, name: str, place: _Place) -> str | None:
        if name == ITEM and place.entry.item is not None:
            return place.entry.item
        if name not in self._first:
            return None
        if name in place.names:
            raise ConfigError(f"%({name}) refers to itself")
        if name not in self._done:
            first = self._first[name]
            inside = _deeper(place)._replace(entry=first, names=(*place.names, name))
            self._done[name] = self._text(first.value, inside)
        return self._done[name]

    def _variable(self, text: str) -> str | None:
        """``$(NAME)``, ``$(NAME-default)`` when unset, ``$(NAME:-default)`` when unset or empty."""
        match = _DEFAULT.fullmatch(text)
        if match is None:
            return self._env.get(text)
        value = self._env.get(match["name"])
        if value is None or (value == "" and match["operator"] == ":-"):
            return match["default"]
        return value


def _deeper(place: _Place) -> _Place:
    if place.depth >= _MAX_DEPTH:
        raise ConfigError(f"placeholders are nested more than {_MAX_DEPTH} deep")
    return place._replace(depth=place.depth + 1)
