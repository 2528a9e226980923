"""The command line, turned into the same entries as a file."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING

from m2serve.config.entry import COMMAND_LINE, Entry
from m2serve.config.ini import INCLUDE, SET, SET_PLACEHOLDER, definition, split_section
from m2serve.config.table import BY_NAME, GRAMMAR, Option, lookup, nearest

if TYPE_CHECKING:
    from collections.abc import Sequence

_INI_ENDING = ".ini"


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

    ``files`` are ini files, each maybe with a section.
    """

    entries: list[Entry] = field(default_factory=list)
    files: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    wants: Information | None = None

    def complain(self, argument: str, expected: str) -> None:
        """Note a mistake."""
        self.problems.append(f"{COMMAND_LINE}: {argument}: {expected}")


def parse(argv: Sequence[str]) -> CommandLine:
    """Read the arguments after the program's name; mistakes are collected, not raised."""
    line = CommandLine()
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
        line.files.append(argument)
    else:
        line.complain(argument, "expected an option or an ini file (app.ini, app.ini:section)")


def _long(line: CommandLine, argument: str, rest: deque[str]) -> None:
    written, separator, value = argument.partition("=")
    name = written[2:]
    option = lookup(name)
    if option is None and name not in GRAMMAR:
        _unknown(line, written, name)
        if not separator and rest and not rest[0].startswith("-") and not _is_file(rest[0]):
            rest.popleft()  # Most likely its value: one mistake, one message.
        return
    if separator:
        _add(line, name, option, written, value)
    elif option is not None and option.kind.flag:
        _add(line, name, option, written, "")
    else:
        _add(line, name, option, written, _value(rest))


def _is_file(argument: str) -> bool:
    return split_section(argument)[0].endswith(_INI_ENDING)


def _value(rest: deque[str]) -> str | None:
    return rest.popleft() if rest else None


def _unknown(line: CommandLine, written: str, name: str) -> None:
    guess = nearest(name)
    line.complain(written, "unknown option" + (f"; did you mean --{guess}?" if guess else ""))


def _short(line: CommandLine, argument: str, rest: deque[str]) -> None:
    """``-M``, ``-p 4``, ``-p4`` and ``-Mp4``, as getopt has them."""
    for position, letter in enumerate(argument[1:], start=1):
        option = BY_NAME.get(letter)
        if option is None:
            line.complain(f"-{letter}", "unknown option")
            return
        if option.kind.flag:
            _add(line, option.name, option, f"-{letter}", "")
            continue
        value = argument[position + 1 :] or _value(rest)
        _add(line, option.name, option, f"-{letter}", value)
        return


def _add(line: CommandLine, name: str, option: Option | None, written: str, value: str | None) -> None:
    if value is None:
        metavar = option.metavar if option else GRAMMAR[name].metavar
        line.complain(written, f"expected a value ({metavar})")
    elif name in INCLUDE:
        line.files.append(value)
    elif name in SET or name in SET_PLACEHOLDER:
        line.entries.append(definition(Entry(name, value, COMMAND_LINE, written)))
    else:
        line.entries.append(Entry(option.name if option else name, value, COMMAND_LINE, written))
