"""The command line, turned into the same entries as a file."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING

from m2serve.config.entry import COMMAND_LINE, Entry
from m2serve.config.reader import split_section
from m2serve.config.table import TABLE, Table
from m2serve.config.words import FORMAT_OF_ENDING, GRAMMAR, ORDERS
from m2serve.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Sequence


class Information(Enum):
    """A question that is answered instead of starting a server."""

    HELP = "help"
    VERSION = "version"


_INFORMATION = {
    "-h": Information.HELP,
    "--help": Information.HELP,
    "-V": Information.VERSION,
    "--version": Information.VERSION,
}


@dataclass
class CommandLine:
    """What the arguments say.

    ``entries`` are in the order of the arguments; a file is an entry with the key ``include``.
    """

    table: Table = TABLE
    entries: list[Entry] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    orders: list[tuple[str, str]] = field(default_factory=list)
    """For servers that run: the word and a pid file."""
    wants: Information | None = None
    check: bool = False
    doctor: bool = False
    allow_exec: bool = False

    def complain(self, argument: str, expected: str) -> None:
        """Note a mistake."""
        self.problems.append(f"{COMMAND_LINE}: {argument}: {expected}")


def parse(argv: Sequence[str], table: Table = TABLE) -> CommandLine:
    """Read the arguments after the program's name; mistakes are collected, not raised."""
    line = CommandLine(table)
    rest = deque(argv)
    while rest:
        argument = rest.popleft()
        if argument in _INFORMATION:
            line.wants = line.wants or _INFORMATION[argument]
        elif argument == "--":
            while rest:
                _positional(line, rest.popleft())
        elif argument.startswith("--"):
            _long(line, argument, rest)
        elif argument.startswith("-") and len(argument) > 1:
            _short(line, argument, rest)
        else:
            _positional(line, argument)
    return line


def _positional(line: CommandLine, argument: str) -> None:
    if _is_file(argument):
        line.entries.append(Entry("include", argument, COMMAND_LINE))
    elif not argument.startswith("["):  # uWSGI passes over these.
        line.complain(argument, "expected an option or a file (app.ini, app.ini:section; also .yaml, .json, .toml)")


def _long(line: CommandLine, argument: str, rest: deque[str]) -> None:
    written, separator, value = argument.partition("=")
    name = written[2:]
    if name in ("check", "doctor", "allow-exec"):
        line.check = line.check or name == "check"
        line.doctor = line.doctor or name == "doctor"
        line.allow_exec = line.allow_exec or name == "allow-exec"
        return
    if name in ORDERS:
        file = value if separator else _value(rest)
        if file:
            line.orders.append((name, file))
        else:
            line.complain(written, f"expected a value ({GRAMMAR[name].metavar})")
        return
    word = GRAMMAR.get(name)
    if word is not None and not word.shell:
        line.complain(written, "expected it in a file only")
        if word.metavar and not separator:
            _value(rest)
        return
    expected = line.table.metavar(name)
    if expected is None:
        _unknown(line, written, name)
        if not separator and rest and not rest[0].startswith("-") and not _is_file(rest[0]):
            rest.popleft()  # Most likely its value: one mistake, one message.
    elif separator:
        _add(line, name, written, value)
    else:
        _add(line, name, written, _next(line, name, rest) if expected else "")


def _is_file(argument: str) -> bool:
    ending = split_section(argument)[0].rpartition(".")[2]
    return ending != argument and ending.lower() in (*FORMAT_OF_ENDING, "xml")


def _next(line: CommandLine, name: str, rest: deque[str]) -> str | None:
    """The value behind an option. One that may be left out is taken if it can be one; getopt would not even then."""
    option = line.table.by_name.get(name)
    if option is None or not option.kind.optional:
        return _value(rest)
    word = rest[0] if rest else ""
    if word.startswith("-") or _is_file(word):
        return ""  # any text may be a date
    try:
        option.kind.parse(word)
    except ConfigError:
        return ""
    return _value(rest) or ""


def _value(rest: deque[str]) -> str | None:
    return rest.popleft() if rest else None


def _unknown(line: CommandLine, written: str, name: str) -> None:
    guess = line.table.nearest(name)
    line.complain(written, "unknown option" + (f"; did you mean --{guess}?" if guess else ""))


def _short(line: CommandLine, argument: str, rest: deque[str]) -> None:
    """``-M``, ``-p 4``, ``-p4`` and ``-Mp4``, as getopt has them."""
    for position, letter in enumerate(argument[1:], start=1):
        name = line.table.long_name(letter)
        if name is None:
            line.complain(f"-{letter}", "unknown option")
            return
        if not line.table.metavar(name):
            _add(line, name, f"-{letter}", "")
            continue
        value = argument[position + 1 :] or _next(line, name, rest)
        _add(line, name, f"-{letter}", value)
        return


def _add(line: CommandLine, name: str, written: str, value: str | None) -> None:
    if value is None:
        line.complain(written, f"expected a value ({line.table.metavar(name)})")
        return
    option = line.table.by_name.get(name)
    key = option.name if option is not None and option.kind.named is None else name
    line.entries.append(Entry(key, value, COMMAND_LINE, written))
