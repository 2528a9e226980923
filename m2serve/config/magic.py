"""Placeholders in values: ``%(name)``, ``$(VARIABLE)`` and the one-letter variables of a file."""

from __future__ import annotations

import os.path
import re
from typing import TYPE_CHECKING

from m2serve.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from m2serve.config.entry import Entry

_TOKEN = re.compile(r"%%|%\((?P<name>[^()\s]+)\)|%(?P<letter>[A-Za-z0-9])|\$\((?P<variable>[^()\s]+)\)")
_DEFAULT = re.compile(r"(?P<name>\w+)(?P<operator>:?-)(?P<default>.*)")
_MAX_LENGTH = 1 << 20
_MAX_DEPTH = 64


def file_magic(path: str, section: str, directory: str) -> dict[str, str]:
    """The variables that depend on the file: ``%o %p %s %n %e %d %c %0``-``%9`` ``%x``.

    Args:
        path: as the user wrote it.
        section: as the user asked for it, empty when none was named.
        directory: what a relative path is relative to.
    """
    absolute = os.path.normpath(os.path.join(directory, path))
    folder, name = os.path.split(absolute)
    stem, ending = os.path.splitext(name)
    parts = [part for part in folder.split("/") if part]
    magic = {
        "o": path,
        "p": absolute,
        "s": name,
        "n": stem,
        "e": ending[1:],
        "d": folder if folder.endswith("/") else folder + "/",
        "c": parts[-1] if parts else "",
        "x": section,
    }
    return magic | {str(position): part for position, part in enumerate(parts[:10])}


class Expander:
    """Replaces placeholders in the values of one configuration.

    A name means its first definition, those of the command line coming first. What cannot be replaced stays
    as it is: a ``%`` has other uses. ``%%`` is a plain ``%`` in files.
    """

    def __init__(self, entries: Iterable[Entry], env: Mapping[str, str]) -> None:
        self._env = env
        self._first: dict[str, Entry] = {}
        self._done: dict[str, str] = {}
        self.referenced: set[str] = set()
        """Names that some value refers to."""
        for entry in entries:
            self._first.setdefault(entry.key, entry)
            self.referenced.update(match["name"] for match in _TOKEN.finditer(entry.value) if match["name"])

    def expand(self, entry: Entry) -> str:
        """The value with its placeholders replaced.

        Raises: ConfigError: names refer to each other in a circle, or the value grows without end.
        """
        return self._expand(entry, ())

    def _expand(self, entry: Entry, path: tuple[str, ...]) -> str:
        def replacement(match: re.Match[str]) -> str:
            return self._replacement(match, entry, path)

        text = _TOKEN.sub(replacement, entry.value)
        if len(text) > _MAX_LENGTH:
            raise ConfigError(f"its placeholders grow past {_MAX_LENGTH} characters")
        return text

    def _replacement(self, match: re.Match[str], entry: Entry, path: tuple[str, ...]) -> str:
        if match["name"] is not None:
            return self._named(match["name"], match[0], path)
        if match["variable"] is not None:
            return self._variable(match["variable"], match[0])
        if entry.from_command_line:
            return match[0]
        return "%" if match[0] == "%%" else entry.magic.get(match["letter"], match[0])

    def _named(self, name: str, unchanged: str, path: tuple[str, ...]) -> str:
        if name not in self._first:
            return unchanged
        if name in path:
            raise ConfigError(f"%({name}) refers to itself")
        if len(path) >= _MAX_DEPTH:
            raise ConfigError(f"placeholders are nested more than {_MAX_DEPTH} deep")
        if name not in self._done:
            self._done[name] = self._expand(self._first[name], (*path, name))
        return self._done[name]

    def _variable(self, text: str, unchanged: str) -> str:
        """``$(NAME)``, ``$(NAME-default)`` when unset, ``$(NAME:-default)`` when unset or empty."""
        match = _DEFAULT.fullmatch(text)
        if match is None:
            return self._env.get(text, unchanged)
        value = self._env.get(match["name"])
        if value is None or (value == "" and match["operator"] == ":-"):
            return match["default"]
        return value
