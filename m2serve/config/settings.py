"""The settings of one server: typed, frozen, each with the place it comes from."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from m2serve.config import cli
from m2serve.config.checks import check
from m2serve.config.groups.app import AppGroup
from m2serve.config.groups.logging import LogGroup
from m2serve.config.groups.mongrel2 import Mongrel2Group
from m2serve.config.groups.process import ProcessGroup
from m2serve.config.ini import IniReader
from m2serve.config.machine import machine_magic
from m2serve.config.magic import Expander
from m2serve.config.option import clear_truth
from m2serve.config.table import BY_NAME, Option, lookup, nearest
from m2serve.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from m2serve.config.entry import Entry

_COMMENT = re.compile(r"(?:^|\s)[;#].*", re.DOTALL)


@dataclass(frozen=True)
class Settings(AppGroup, Mongrel2Group, ProcessGroup, LogGroup):
    """Every option as an attribute.

    ``warnings`` and ``notes`` are for the log, once there is one: the first is about likely mistakes, the
    second about uWSGI options that change nothing here.
    """

    warnings: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    origins: Mapping[str, tuple[str, ...]] = field(default_factory=dict, compare=False, repr=False)

    def origin(self, name: str) -> str:
        """Where a setting stands: ``deploy.ini:14``, ``command line`` or ``default``."""
        return ", ".join(dict.fromkeys(self.origins.get(name, ("default",))))


def read_text(path: str) -> str:
    """The content of a configuration file; paths in it need not be valid text."""
    with open(path, encoding="utf-8", errors="surrogateescape") as stream:
        return stream.read()


def load(
    argv: Sequence[str],
    env: Mapping[str, str],
    read_file: Callable[[str], str] = read_text,
    directory: str | None = None,
) -> Settings:
    """The settings from the command line and the files it names.

    The command line wins over files wherever the file's name stands in it; lists take from both. (uWSGI lets
    a file named without ``--ini`` win, which surprises.)

    Args:
        argv: without the program's name.
        env: for ``$(NAME)``.
        directory: what relative paths are relative to; by default the current one.

    Raises: ConfigError: its text has one line for each mistake.
    """
    directory = os.getcwd() if directory is None else directory
    line = cli.parse(argv)
    reader = IniReader(read_file, directory, env, machine_magic(directory))
    for file in line.files:
        reader.read(file, "command line")
    found = reader.findings
    builder = _Builder(Expander([*line.entries, *found.entries], env), directory)
    builder.problems += [*line.problems, *found.problems]
    builder.warnings += found.warnings
    # Files first: of scalars the last one counts.
    builder.take([*found.entries, *line.entries])
    return builder.settings()


class _Builder:
    """Collects values and everything that is wrong with them."""

    def __init__(self, expander: Expander, directory: str) -> None:
        self._expander = expander
        self._directory = directory
        self._values: dict[str, Any] = {}
        self._origins: dict[str, tuple[str, ...]] = {}
        self._failed: set[str] = set()
        self._notes: dict[str, str] = {}
        self.problems: list[str] = []
        self.warnings: list[str] = []

    def take(self, entries: Iterable[Entry]) -> None:
        """Read every entry; of scalars the last one counts, lists grow."""
        unknown = []
        for entry in entries:
            option = None if entry.placeholder else lookup(entry.key)
            if option is not None:
                self._take(entry, option)
            elif not entry.placeholder and entry.key not in self._expander.referenced:
                unknown.append(entry)
        # After the others: strict may stand anywhere.
        report = self.problems if self._values.get("strict") else self.warnings
        for entry in unknown:
            guess = nearest(entry.key)
            report.append(f"{entry}: unknown option" + (f"; did you mean {guess}?" if guess else ""))

    def _take(self, entry: Entry, option: Option) -> None:
        try:
            text = self._expander.expand(entry)
            if option.kind.comment and not entry.from_command_line:
                text = self._without_comment(entry, text)
            value = option.kind.parse(text)
        except ConfigError as error:
            self.problems.append(f"{entry}: {error}")
            self._failed.add(option.field)
            return
        if option.kind.flag and not clear_truth(text):
            self.warnings.append(f"{entry}: counts as true; expected true or false")
        self._store(entry, option, value)

    def _without_comment(self, entry: Entry, text: str) -> str:
        shorter = _COMMENT.sub("", text)
        if shorter != text:
            self.warnings.append(f"{entry}: read as {shorter!r}; write comments on their own line")
        return shorter

    def _store(self, entry: Entry, option: Option, value: Any) -> None:
        if option.kind.many:
            self._values[option.field] = (*self._values.get(option.field, ()), value)
            self._origins[option.field] = (*self._origins.get(option.field, ()), entry.origin)
            return
        self._values[option.field] = value
        self._origins[option.field] = (entry.origin,)
        if option.compat and value != option.default:
            self._notes[option.field] = f"{entry}: changes nothing: {option.doc}"
        else:
            self._notes.pop(option.field, None)

    def settings(self) -> Settings:
        """The result.

        Raises: ConfigError: anything at all was wrong.
        """
        self._resolve_sockets()
        settings = Settings(
            **self._values,
            warnings=tuple(self.warnings),
            notes=tuple(self._notes.values()),
            origins=self._origins,
        )
        for problem in check(settings, self._directory):
            if not self._failed.intersection(problem.fields):
                self.problems.append(self._located(settings, problem.fields, problem.expected))
        if self.problems:
            # A misspelt key is only a warning, but may be the reason of the mistake: both are shown.
            hints = [f"{warning} (warning)" for warning in self.warnings]
            raise ConfigError("\n".join([*self.problems, *hints]))
        return settings

    def _resolve_sockets(self) -> None:
        """Make socket paths absolute: workers change their directory before they connect."""
        for name in ("zeromq", "mongrel2_chroot"):
            try:
                values = self._values.get(name, ())
                self._values[name] = tuple(value.resolved(self._directory) for value in values)
            except ConfigError as error:
                option = BY_NAME[name.replace("_", "-")].name
                self.problems.append(f"{', '.join(self._origins[name])}: {option}: {error}")
                self._failed.add(name)

    def _located(self, settings: Settings, fields: tuple[str, ...], expected: str) -> str:
        given = next((name for name in fields if name in self._origins), None)
        if given is None:
            return expected
        return f"{settings.origin(given)}: {BY_NAME[given.replace('_', '-')].name}: {expected}"
