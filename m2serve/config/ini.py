"""uWSGI's ini grammar: text in, entries out; whoever calls supplies the reader."""

from __future__ import annotations

import os.path
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from m2serve.config.entry import Entry
from m2serve.config.magic import Expander, file_magic
from m2serve.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

DEFAULT_SECTIONS = ("uwsgi", "m2serve")
INCLUDE = frozenset({"ini", "include"})
SET = frozenset({"set"})
SET_PLACEHOLDER = frozenset({"set-placeholder", "set-ph"})
_MAX_INCLUDES = 16


@dataclass
class Findings:
    """What the files held, in the order in which it counts, and what was wrong with them."""

    entries: list[Entry] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


def split_section(text: str) -> tuple[str, str]:
    """``file.ini:section`` to its two parts; the section is empty when none is named."""
    path, separator, section = text.rpartition(":")
    if not separator or "/" in section:
        return text, ""
    return path, section


class IniReader:
    """Reads one file with everything it includes.

    Args:
        read_file: path to text; raises OSError or ConfigError.
        directory: what relative paths are relative to.
        env: for ``$(NAME)`` in the names of included files.
        machine: the one-letter variables that do not depend on a file.
    """

    def __init__(
        self,
        read_file: Callable[[str], str],
        directory: str,
        env: Mapping[str, str],
        machine: Mapping[str, str],
    ) -> None:
        self._read_file = read_file
        self._directory = directory
        self._env = env
        self._machine = machine
        self.findings = Findings()

    def read(self, text: str, origin: str, including: tuple[str, ...] = ()) -> None:
        """Add ``file.ini`` or ``file.ini:section`` to the findings.

        Args:
            origin: where the file's name stands, for messages.
            including: the files we are inside of.
        """
        path, section = split_section(text)
        path = path or (split_section(including[-1])[0] if including else "")
        name = f"{path}:{section}" if section else path
        if name in including or len(including) >= _MAX_INCLUDES:
            self.findings.problems.append(f"{origin}: {name} includes itself")
            return
        try:
            content = self._read_file(os.path.join(self._directory, path))
        except (OSError, ValueError, ConfigError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            self.findings.problems.append(f"{origin}: cannot read {path!r}: {reason}")
            return
        self._parse(content, path, section, (*including, name))

    def _parse(self, content: str, path: str, section: str, including: tuple[str, ...]) -> None:
        wanted = (section,) if section else DEFAULT_SECTIONS
        magic = {**self._machine, **file_magic(path, section, self._directory)}
        current: str | None = None
        found = False
        # Not splitlines(): form feeds and Unicode separators are ordinary characters for uWSGI.
        for number, raw in enumerate(content.removeprefix("\ufeff").split("\n"), start=1):
            line = raw.strip(" \t\r")
            if not line or line[0] in ";#":
                continue
            origin = f"{path}:{number}"
            if line[0] == "[":
                current = self._section_name(line, origin)
                found = found or current in wanted
            elif current in wanted:
                self._line(line, origin, magic, including)
            elif current is None:
                self.findings.warnings.append(f"{origin}: ignored, it stands before the first section")
        if not found:
            expected = " or ".join(f"[{name}]" for name in wanted)
            self.findings.problems.append(f"{path}: expected a section {expected}")

    def _section_name(self, line: str, origin: str) -> str:
        name, bracket, rest = line[1:].partition("]")
        if not bracket:
            self.findings.problems.append(f"{origin}: {line}: expected ']' after the name of the section")
        elif rest.strip() and rest.strip()[0] not in ";#":
            self.findings.problems.append(f"{origin}: {line}: expected nothing behind ']'")
        return name

    def _line(self, line: str, origin: str, magic: Mapping[str, str], including: tuple[str, ...]) -> None:
        key, _, value = (part.strip(" \t") for part in line.partition("="))
        entry = Entry(key, value, origin, magic=magic)
        if key in INCLUDE:
            try:
                self.read(Expander((), self._env).expand(entry), origin, including)
            except ConfigError as error:
                self.findings.problems.append(f"{entry}: {error}")
        elif key in SET or key in SET_PLACEHOLDER:
            self.findings.entries.append(definition(entry))
        else:
            self.findings.entries.append(entry)


def definition(entry: Entry) -> Entry:
    """``set = key=value`` as the entry that it stands for."""
    key, _, value = (part.strip(" \t") for part in entry.value.partition("="))
    placeholder = entry.key in SET_PLACEHOLDER
    return Entry(key, value, entry.origin, entry.written, entry.magic, placeholder)
