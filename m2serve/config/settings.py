"""The settings of one server: typed, frozen, each with the place it comes from."""

from __future__ import annotations

import os
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from m2serve.config import cli, doors, environment
from m2serve.config.builder import Builder
from m2serve.config.checks import check, doubts
from m2serve.config.chosen import Chosen, choose
from m2serve.config.expander import Expander
from m2serve.config.groups.every import EveryGroup
from m2serve.config.machine import machine_magic
from m2serve.config.outside import Outside, read_text, run_program
from m2serve.config.reader import Reader, defining
from m2serve.config.table import BY_NAME, OPTIONS, TABLE, Option, Table
from m2serve.config.words import GRAMMAR, SET, SET_PLACEHOLDER
from m2serve.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from m2serve.config.chosen import Choice, Finder


@dataclass(frozen=True)
class Settings(EveryGroup):
    """Every option as an attribute.

    ``warnings``, ``notes`` and ``prints`` are for the log, once there is one: likely mistakes and what this
    version does not do; uWSGI options that change nothing here; lines that the files want there.

    ``activated``: a service manager says that it has left us sockets.

    ``sockets``: our own in the order of their numbers, each as its field and the index of its value.
    """

    warnings: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    prints: tuple[str, ...] = ()
    plugins: tuple[Chosen, ...] = ()
    activated: bool = False
    sockets: tuple[tuple[str, int], ...] = ()
    origins: Mapping[str, tuple[str, ...]] = field(default_factory=dict, compare=False, repr=False)

    def origin(self, name: str) -> str:
        """Where a setting stands: ``deploy.ini:14``, ``command line`` or ``default``."""
        return ", ".join(dict.fromkeys(self.origins.get(name, ("default",))))

    @property
    def has_mongrel2(self) -> bool:
        """Some Mongrel2 is named, or its database."""
        return bool(self.zeromq) or self.with_mongrel2 is not None or self.mongrel2_config is not None

    @property
    def dispatched(self) -> bool:
        """There is a dispatcher, which deals out Mongrel2's requests."""
        return self.has_mongrel2 and not self.zeromq_direct

    @property
    def rows(self) -> tuple[Option, ...]:
        """All options, those of plugins included."""
        return (*OPTIONS, *(row for plugin in self.plugins for row in plugin.rows()))

    @property
    def keeps_root(self) -> bool:
        """The master stays root, if that is what started it; its children become somebody else."""
        return self.master_as_root or self.drop_after_apps

    def value(self, name: str) -> Any:
        """A setting of that name, also one of a plugin's."""
        owner = next((one.options for one in self.plugins if hasattr(one.options, name)), self)
        return getattr(owner, name)


@dataclass(frozen=True)
class Examined:
    """Settings, maybe not usable: ``problems`` has a line for each mistake.

    ``given`` has every key that the sources held, known or not, in the order in which they count, with its value
    after all replacements.
    """

    settings: Settings
    problems: tuple[str, ...]
    given: tuple[tuple[str, str], ...]
    table: Table = TABLE


def load(
    argv: Sequence[str],
    env: Mapping[str, str],
    read_file: Callable[[str], str] = read_text,
    directory: str | None = None,
    find: Finder | None = None,
) -> Settings:
    """The settings from the environment, the command line and the files it names.

    What stands further right replaces what stands further left, files as well as single options; lists take
    from all. (uWSGI puts files that are named without ``--ini`` behind all options, wherever they stand.)

    Args:
        argv: without the program's name.
        env: for ``$(NAME)`` and ``UWSGI_NAME``.
        read_file: path to text; raises OSError or ConfigError.
        directory: what relative paths are relative to; by default the current one.
        find: finds plugins; without it there are none.

    Raises: ConfigError: its text has one line for each mistake.
    """
    examined = examine(argv, env, Outside(read_file=read_file), directory, find)
    if examined.problems:
        # A misspelt key is only a warning, but may be the reason of the mistake: both are shown.
        hints = [f"{warning} (warning)" for warning in examined.settings.warnings]
        raise ConfigError("\n".join([*examined.problems, *hints]))
    return examined.settings


def examine(
    argv: Sequence[str],
    env: Mapping[str, str],
    outside: Outside,
    directory: str | None = None,
    find: Finder | None = None,
) -> Examined:
    """The same with all that is wrong, instead of an exception.

    Args:
        outside: files and the rest of the world.
        find: finds plugins; without it there are none.
    """
    directory = os.getcwd() if directory is None else directory
    if cli.parse(argv).allow_exec:
        outside = replace(outside, run=outside.run or run_program)
    if find is not None:
        outside = outside.remembering()
    read = _read(argv, env, outside, directory, TABLE)
    choice = choose(read.builder.values, read.builder.origins, directory, find)
    if choice.table is not None:
        # Which options there are is known only now: all is read again.
        read = _read(argv, env, outside, directory, choice.table)
    read.builder.problems += choice.problems
    read.builder.warnings += choice.warnings
    return _checked(read, directory, choice, activated=env.get("LISTEN_FDS", "0").strip("0").isdigit())


@dataclass(frozen=True)
class _Read:
    builder: Builder
    prints: tuple[str, ...]
    given: tuple[tuple[str, str], ...]


def _read(argv: Sequence[str], env: Mapping[str, str], outside: Outside, directory: str, table: Table) -> _Read:
    line = cli.parse(argv, table)
    expander = Expander(env, partial(outside.fetch, directory=directory))
    reader = Reader(outside, directory, env, machine_magic(directory), expander, table.is_option)
    # A name means its first definition: the command line's come before those of any file.
    for entry in line.entries:
        if entry.key not in GRAMMAR or entry.key in SET or entry.key in SET_PLACEHOLDER:
            expander.define(defining(entry))
    reader.take([*environment.entries(env, table), *line.entries])
    reader.finish()
    found = reader.findings
    builder = Builder(expander, table)
    builder.problems += [*line.problems, *found.problems]
    builder.warnings += found.warnings
    builder.take(found.entries)
    prints = tuple(builder.expand(entry) for entry in found.prints)
    given = tuple((entry.key, builder.expand(entry)) for entry in found.entries)
    return _Read(builder, prints, given)


def _checked(read: _Read, directory: str, choice: Choice, *, activated: bool) -> Examined:
    builder = read.builder
    _resolve_sockets(builder, directory)
    for name in ("ini_paste", "ini_paste_logged"):
        if name in builder.values:  # a file of settings, which does not follow chdir
            builder.values[name] = os.path.join(directory, builder.values[name])
    notes = (*builder.close(), *choice.notes)
    own = {row.field for row in OPTIONS}
    settings = Settings(
        **{name: value for name, value in builder.values.items() if name in own},
        warnings=tuple(builder.warnings),
        notes=notes,
        prints=read.prints,
        plugins=choice.chosen(builder.values),
        activated=activated,
        sockets=doors.numbered(builder.listed),
        origins=builder.origins,
    )
    doubtful = tuple(_located(settings, doubt.fields, doubt.expected) for doubt in doubts(settings, directory))
    settings = replace(settings, warnings=(*settings.warnings, *doubtful))
    found = (
        _located(settings, problem.fields, problem.expected)
        for problem in check(settings, directory)
        if not builder.failed.intersection(problem.fields)
    )
    return Examined(settings, (*builder.problems, *found), read.given, choice.table or TABLE)


def _resolve_sockets(builder: Builder, directory: str) -> None:
    """Make socket paths absolute: workers change their directory before they connect."""
    places = ("socket", "http", "https", "fastcgi_socket", "scgi_socket", "shared_socket")
    for name in ("zeromq", "mongrel2_chroot", *places):
        try:
            values = builder.values.get(name, ())
            builder.values[name] = tuple(value.resolved(directory) for value in values)
        except ConfigError as error:
            option = BY_NAME[name.replace("_", "-")].name
            builder.problems.append(f"{', '.join(builder.origins[name])}: {option}: {error}")
            builder.failed.add(name)


def _located(settings: Settings, fields: tuple[str, ...], expected: str) -> str:
    given = next((name for name in fields if name in settings.origins), None)
    if given is None:
        return expected
    return f"{settings.origin(given)}: {BY_NAME[given.replace('_', '-')].name}: {expected}"
