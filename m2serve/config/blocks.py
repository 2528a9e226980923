"""``for`` and ``if`` blocks: which lines count, and how often."""

from __future__ import annotations

import os.path
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from m2serve.config.arithmetic import leading_number
from m2serve.config.words import CONDITIONS, LOOPS, OLD_CONDITIONS
from m2serve.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from m2serve.config.entry import Entry
    from m2serve.config.expander import Expander
    from m2serve.config.outside import Outside

_MAX_ITEMS = 10_000
_PLUGINS = re.compile(r"python[23]?[0-9]*|http|corerouter|logfile|logsocket|logpipe|mongrel2|zeromq|signal|ping")
"""Plugins of uWSGI's that users have to load there, and whose work is done here."""


@dataclass
class Block:
    """An open block.

    ``items`` holds what ``%(_)`` is for each turn; a condition that does not hold has none. ``other`` is
    what ``items`` becomes at ``else``.
    """

    opener: Entry
    items: tuple[str | None, ...]
    other: tuple[str | None, ...] = ()


def opens(key: str) -> bool:
    """Whether the key begins a block."""
    return key in LOOPS or key in CONDITIONS or key in OLD_CONDITIONS


class Openers:
    """Makes blocks.

    Args:
        outside: for files and directories.
        directory: what relative paths are relative to.
        env: for ``if-env``.
        expander: knows the keys so far, for ``if-opt``.
        hostname: of this machine.
    """

    def __init__(
        self, outside: Outside, directory: str, env: Mapping[str, str], expander: Expander, hostname: str
    ) -> None:
        self._outside = outside
        self._directory = directory
        self._env = env
        self._expander = expander
        self._hostname = hostname
        self._tests: Mapping[str, Callable[[str], bool]] = {
            "env": self._environment,
            "opt": self._option,
            "file": lambda text: outside.is_file(self._path(text)),
            "dir": lambda text: outside.is_dir(self._path(text)),
            "directory": lambda text: outside.is_dir(self._path(text)),
            "exists": lambda text: outside.exists(self._path(text)),
            "plugin": lambda text: _PLUGINS.fullmatch(text) is not None,
            "hostname": lambda text: text == hostname,
            "hostname-match": self._hostname_match,
            "reload": lambda text: False,
        }

    def open(self, entry: Entry, text: str) -> Block:
        """The block that a line begins.

        Args:
            text: the line's value, expanded.

        Raises: ConfigError: the value makes no sense.
        """
        if entry.key in LOOPS:
            items = tuple(self._items(entry.key, text))
            if len(items) > _MAX_ITEMS:
                raise ConfigError(f"expected at most {_MAX_ITEMS} turns")
            return Block(entry, items)
        key = OLD_CONDITIONS.get(entry.key, entry.key).removeprefix("if-")
        what = key.removeprefix("not-")
        if not text and what != "reload":
            raise ConfigError("expected something to test")
        holds = self._tests[what](text) == (what == key)
        tested = (self._tested(what, text),)
        return Block(entry, tested, ()) if holds else Block(entry, (), tested)

    def _tested(self, what: str, text: str) -> str | None:
        """What ``%(_)`` stands for: of variables and options, their value; None: nothing, it stays as it is."""
        name = text.partition("=")[0]
        if what == "env":
            return self._env.get(name)
        if what == "opt":
            entry = self._expander.defined(name)
            return None if entry is None else self._expander.expand(entry)
        return text

    def _items(self, key: str, text: str) -> list[str]:
        if key == "for":
            return [word for word in text.split(" ") if word]
        if key == "for-glob":
            base = "" if text.startswith("/") else os.path.join(self._directory, "")
            return [path.removeprefix(base) for path in self._outside.glob(self._path(text))]
        if key == "for-times":
            return [str(number) for number in range(1, min(leading_number(text), _MAX_ITEMS + 1) + 1)]
        content = self._outside.fetch(text, self._directory)
        return content.removesuffix("\n").split("\n") if content else []

    def _path(self, text: str) -> str:
        if "\0" in text:
            raise ConfigError("expected a path without NUL")
        return os.path.join(self._directory, text)

    def _environment(self, text: str) -> bool:
        name, separator, value = text.partition("=")
        given = self._env.get(name)
        return given == value if separator else given is not None

    def _option(self, text: str) -> bool:
        name, separator, value = text.partition("=")
        entry = self._expander.defined(name)
        if entry is None or not separator:
            return entry is not None
        return self._expander.expand(entry) == value

    def _hostname_match(self, text: str) -> bool:
        try:
            return re.search(text, self._hostname) is not None
        except (re.error, RecursionError, OverflowError) as error:
            raise ConfigError(f"expected a regular expression: {error}") from None
