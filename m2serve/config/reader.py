"""Sources to entries: files with what they include, the command line, the environment."""

from __future__ import annotations

import os.path
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from m2serve.config.blocks import Block, Openers, opens
from m2serve.config.custom import DECLARE, DECLARE_IN_PLACE, MAX_DEPTH, Custom
from m2serve.config.entry import Entry
from m2serve.config.expander import ITEM
from m2serve.config.formats import ini, json, toml, yaml
from m2serve.config.magic import file_magic, first_file_magic, in_name
from m2serve.config.words import (
    CLOSERS,
    ELSE,
    EXIT,
    FORMAT_OF_ENDING,
    FORMAT_OF_KEY,
    INHERIT,
    INI_PASTE,
    LOOPS,
    PRINT,
    SET,
    SET_PLACEHOLDER,
)
from m2serve.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping

    from m2serve.config.expander import Expander
    from m2serve.config.formats.content import Content
    from m2serve.config.outside import Outside

DEFAULT_SECTIONS = ("uwsgi", "m2serve")
_MAX_INCLUDES = 16
_MAX_FILES = 1000
_MAX_ENTRIES = 100_000
_FORMATS: Mapping[str, Callable[[str, Collection[str]], Content]] = {
    "ini": ini.read,
    "yaml": yaml.read,
    "json": json.read,
    "toml": toml.read,
}


@dataclass
class Findings:
    """What the sources held, in the order in which it counts, and what was wrong with them.

    ``prints`` are lines for the log. ``early`` is what options of ``declare-option`` have set, until it is put in front
    of the rest.
    """

    entries: list[Entry] = field(default_factory=list)
    early: list[Entry] = field(default_factory=list)
    prints: list[Entry] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


@dataclass
class _Source:
    """One file, or the command line: its open block and the files around it."""

    including: tuple[str, ...] = ()
    magic: Mapping[str, str] = field(default_factory=dict)
    item: str | None = None
    block: Block | None = None


def split_section(text: str) -> tuple[str, str]:
    """``file.ini:section`` to its two parts; the section is empty when none is named."""
    path, separator, section = text.rpartition(":")
    if not separator or "/" in section:
        return text, ""
    return path, section


def defining(entry: Entry) -> Entry:
    """The entry itself, or for ``set = key=value`` the one that it stands for."""
    if entry.key not in SET and entry.key not in SET_PLACEHOLDER:
        return entry
    key, _, value = (part.strip(" \t") for part in entry.value.partition("="))
    if not entry.from_shell:
        key = in_name(key, entry.magic)
    if entry.item is not None:
        key = key.replace(f"%({ITEM})", entry.item)
    return replace(entry, key=key, value=value, placeholder=entry.key in SET_PLACEHOLDER)


class Reader:
    """Reads one source after the other.

    Args:
        outside: files and the rest of the world.
        directory: what relative paths are relative to.
        env: for conditions.
        machine: the one-letter variables that do not depend on a file.
        expander: gets every key that is read.
        is_option: whether an option has that name.
    """

    def __init__(
        self,
        outside: Outside,
        directory: str,
        env: Mapping[str, str],
        machine: Mapping[str, str],
        expander: Expander,
        is_option: Callable[[str], bool],
    ) -> None:
        self._outside = outside
        self._directory = directory
        self._machine = machine
        self._first_file: dict[str, str] = {}
        self._files = 0
        self._expander = expander
        self._openers = Openers(outside, directory, env, expander, machine.get("h", ""))
        self._inherited: list[tuple[Entry, tuple[str, ...]]] = []
        self._is_option = is_option
        self._customs: dict[str, Custom] = {}
        self._waiting: dict[int, _Source] = {}
        """Those that may be options which are declared further down, by their place among the entries."""
        self.findings = Findings()

    def take(self, entries: Iterable[Entry]) -> None:
        """Read the command line's or the environment's entries, and the files that they name."""
        source = _Source()
        for entry in entries:
            self._line(entry, source)

    def finish(self) -> None:
        """Read the files named with ``inherit``: they come last, so that their values replace others. Then see to what
        was used before it was declared."""
        while self._inherited:
            entry, including = self._inherited.pop(0)
            self._include(entry, including)
        written, self.findings.entries = self.findings.entries, []
        waiting, self._waiting = self._waiting, {}
        for place, entry in enumerate(written):
            custom = self._customs.get(entry.key) if place in waiting else None
            if custom is not None and custom.early:
                self._mean(custom, entry, waiting[place])
            else:
                self.findings.entries.append(entry)
        self.findings.entries[:0] = self.findings.early
        self.findings.early = []

    def _include(self, entry: Entry, including: tuple[str, ...]) -> None:
        try:
            self.read(self._expander.expand(entry), entry, including)
        except ConfigError as error:
            problem = f"{entry}: {error}"
            if problem not in self.findings.problems[-1:]:  # The turns of a loop all say the same.
                self.findings.problems.append(problem)

    def read(self, text: str, entry: Entry, including: tuple[str, ...] = ()) -> None:
        """Add ``file`` or ``file:section`` to the findings.

        Args:
            entry: names the file, and its format if the key says it.
            including: the files we are inside of.

        Raises: ConfigError: the file cannot be read.
        """
        path, section = split_section(text)
        path = path or (split_section(including[-1])[0] if including else "")
        name = f"{path}:{section}" if section else path
        if self._identity(name) in map(self._identity, including) or len(including) >= _MAX_INCLUDES:
            raise ConfigError(f"{name} includes itself")
        self._files += 1
        if self._files > _MAX_FILES:
            raise ConfigError(f"expected at most {_MAX_FILES} files")
        kind = FORMAT_OF_KEY.get(entry.key) or self._kind(path)
        content = self._outside.fetch(path, self._directory).removeprefix("\ufeff")
        wanted = (section,) if section else DEFAULT_SECTIONS
        found = _FORMATS[kind](content, wanted)
        self.findings.problems += [f"{_at(path, number)}: {problem}" for number, problem in found.problems]
        self.findings.warnings += [f"{_at(path, number)}: {warning}" for number, warning in found.warnings]
        if not found.found:
            expected = " or ".join(f"[{one}]" for one in wanted)
            self.findings.problems.append(f"{path}: expected a section {expected}")
        source = _Source((*including, name), self._magic(path, section), entry.item)
        for line in found.lines:
            origin = _at(path, line.number)
            key = in_name(line.key, source.magic)
            self._line(Entry(key, line.value, origin, magic=source.magic, item=source.item), source)
        if source.block is not None:
            self.findings.warnings.append(f"{source.block.opener}: expected an end; it reaches to the file's")

    def _identity(self, name: str) -> str:
        """The same for all ways to write a file's name."""
        return os.path.normpath(os.path.join(self._directory, name))

    def _kind(self, path: str) -> str:
        ending = path.rpartition(".")[2].lower()
        if ending == "xml":
            raise ConfigError(f"{path}: XML is not read; 'uwsgi --xml {path} --show-config' prints it as ini")
        return FORMAT_OF_ENDING.get(ending, "ini")

    def _magic(self, path: str, section: str) -> dict[str, str]:
        inode = self._outside.inode(file_magic(path, section, self._directory)["p"])
        magic = file_magic(path, section, self._directory, inode)
        self._first_file = self._first_file or first_file_magic(magic)
        return {**self._machine, **self._first_file, **magic}

    def _line(self, entry: Entry, source: _Source) -> None:
        """Take one line: it opens or closes a block, or counts as often as its block says."""
        self._expander.refer(entry.value)
        if opens(entry.key):
            self._open(entry, source)
        elif entry.key in CLOSERS:
            if source.block is None:
                self.findings.warnings.append(f"{entry}: there is no block to end")
            source.block = None
        elif entry.key == ELSE:
            self._else(entry, source)
        elif source.block is None:
            self._take(entry, source)
        else:
            for item in source.block.items:
                self._take(replace(entry, item=item), source)

    def _open(self, entry: Entry, source: _Source) -> None:
        if source.block is not None:
            inside = f"the block of {source.block.opener.origin}"
            self.findings.problems.append(f"{entry}: blocks cannot be nested; expected an end of {inside} first")
            return
        self._expander.refer(f"%({entry.value.partition('=')[0]})")
        try:
            source.block = self._openers.open(entry, self._expander.expand(entry))
        except ConfigError as error:
            self.findings.problems.append(f"{entry}: {error}")
            source.block = Block(entry, ())

    def _else(self, entry: Entry, source: _Source) -> None:
        block = source.block
        if block is None or block.opener.key in LOOPS:
            self.findings.problems.append(f"{entry}: expected it inside an if")
            return
        self.findings.warnings.append(f"{entry}: works as in uWSGI 2.1; 2.0 takes both branches")
        source.block = Block(block.opener, block.other)

    def _take(self, entry: Entry, source: _Source, depth: int = 0, into: list[Entry] | None = None) -> None:
        """Take a setting. Args: into: instead of the other entries; depth: of options that were declared."""
        if len(self.findings.entries) + len(self.findings.early) >= _MAX_ENTRIES:
            if not self.findings.problems:
                self.findings.problems.append(f"{entry}: expected at most {_MAX_ENTRIES} settings")
        elif entry.key in FORMAT_OF_KEY:
            self._include(entry, source.including)
        elif entry.key in INI_PASTE:
            self._ini_paste(entry, source)
        elif entry.key == INHERIT:
            self._inherited.append((entry, source.including))
        elif entry.key in PRINT:
            self.findings.prints.append(entry)
        elif entry.key == EXIT:
            self.findings.problems.append(f"{entry}: the file itself ends the start here")
        elif entry.key in (DECLARE, DECLARE_IN_PLACE):
            self._declare(entry)
        elif (entry.key in SET or entry.key in SET_PLACEHOLDER) and "=" not in entry.value:
            self.findings.problems.append(f"{entry}: expected KEY=VALUE")
        else:
            defined = defining(entry)
            custom = None if defined.placeholder else self._customs.get(defined.key)
            if custom is not None:
                early = self.findings.early if custom.early and not depth else into
                self._mean(custom, defined, source, depth, early)
                return
            if not depth or defined is not entry:  # as in uWSGI what an option stands for is no name for others
                self._expander.define(defined)
            if not depth and not defined.placeholder and not self._is_option(defined.key):
                self._waiting[len(self.findings.entries)] = source
            (self.findings.entries if into is None else into).append(defined)

    def _declare(self, entry: Entry) -> None:
        try:
            custom = Custom.declared(entry)
        except ConfigError as error:
            self.findings.problems.append(f"{entry}: {error}")
            return
        if custom.rest:
            text = f"ends before {custom.rest!r}, as in uWSGI: expected KEY=VALUE"
            self.findings.warnings.append(f"{entry}: {text}")
        if self._is_option(custom.name) or custom.name in self._customs:
            self.findings.warnings.append(f"{entry}: changes nothing: there is an option {custom.name} already")
        else:
            self._customs[custom.name] = custom

    def _mean(
        self, custom: Custom, entry: Entry, source: _Source, depth: int = 0, into: list[Entry] | None = None
    ) -> None:
        """Take what a declared option stands for."""
        named = replace(entry, placeholder=True)
        self._expander.define(named)
        self.findings.entries.append(named)
        try:
            if depth >= MAX_DEPTH:
                raise ConfigError("the options that it stands for stand for each other")
            for key, value in custom.means(entry.value):
                self._expander.refer(value)
                self._take(replace(entry, key=key, value=value), source, depth + 1, into)
        except ConfigError as error:
            problem = f"{entry}: {error}"
            if problem not in self.findings.problems:
                self.findings.problems.append(problem)

    def _ini_paste(self, entry: Entry, source: _Source) -> None:
        """Read the file, unless we are in it, and keep the option, which names it for PasteDeploy."""
        try:
            file = self._identity(self._expander.expand(entry))
        except ConfigError as error:
            self.findings.problems.append(f"{entry}: {error}")
            return
        if file not in [self._identity(split_section(one)[0]) for one in source.including]:
            self._include(replace(entry, key="ini"), source.including)
        self._expander.define(entry)
        self.findings.entries.append(entry)


def _at(path: str, number: int) -> str:
    return f"{path}:{number}" if number else path
