"""The part of YAML that uWSGI reads by itself: a mapping of mappings, scalars, block lists.

No library: those that know all of YAML turn ``on`` into true, ``0660`` into 432 and ``1:30`` into 90, where
uWSGI takes the text.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from m2serve.config.formats.content import Content, Line

if TYPE_CHECKING:
    from collections.abc import Collection

_PAIR = re.compile(r"(?P<key>\"[^\"]*\"|'[^']*'|[^\s:#\"'][^:]*?)\s*:(?:\s+(?P<value>.*))?")
_UNKNOWN = {
    "|": "a text of several lines",
    ">": "a text of several lines",
    "[": "a list of several lines in brackets",
    "{": "a mapping in braces",
    "&": "an anchor",
    "*": "an alias",
    "!": "a tag",
}
_EXPECTED = "expected 'key: value' or '- value'"


@dataclass
class _State:
    """Where in the file we are.

    ``indent`` is the column of the section's keys, -1 before the first. ``key`` had no value on its line, and may
    have a list below; ``opened`` is the number of that line until the list begins.
    """

    section: str | None = None
    indent: int = -1
    key: str = ""
    opened: int = 0
    content: Content = field(default_factory=Content)

    def complain(self, number: int, text: str) -> None:
        self.content.problems.append((number, text))

    def close(self) -> None:
        """The key has no list: it is a flag, as in an ini file."""
        if self.opened:
            self.content.lines.append(Line(self.key, "", self.opened))
        self.key, self.opened = "", 0


def read(text: str, sections: Collection[str]) -> Content:
    """The keys of these mappings at the top of the file."""
    state = _State()
    for number, raw in enumerate(text.split("\n"), start=1):
        line = _without_comment(raw.rstrip(" \t\r"))
        if not line.strip() or line in ("---", "..."):
            continue
        indent = len(line) - len(line.lstrip(" "))
        if line[indent] == "\t":
            state.complain(number, "expected blanks; YAML knows no tabs in front of a key")
        elif indent == 0 and not line.startswith("-"):
            _top(state, line, number, sections)
        elif state.section in sections:
            _inside(state, line.strip(), indent, number)
        elif state.section is None:
            state.complain(number, f"{line.strip()}: expected a section first, for instance 'uwsgi:'")
    state.close()
    return state.content


def _top(state: _State, line: str, number: int, sections: Collection[str]) -> None:
    match = _PAIR.fullmatch(line)
    state.close()
    state.section, state.indent = "", -1
    if match is None:
        state.complain(number, f"{line}: expected 'section:'")
        return
    state.section = _unquoted(match["key"])
    if state.section in sections:
        state.content.found = True
        if match["value"]:
            state.complain(number, f"{line}: expected the keys of the section on lines of their own")


def _inside(state: _State, line: str, indent: int, number: int) -> None:
    if line == "-" or line.startswith("- "):
        if state.key:
            state.opened = 0
            _value(state, state.key, line[1:].strip(), number)
        else:
            state.complain(number, f"{line}: expected a key in front of the list")
        return
    match = _PAIR.fullmatch(line)
    state.indent = indent if state.indent < 0 else state.indent
    if match is None or indent != state.indent:
        state.complain(number, f"{line}: {_EXPECTED if match is None else 'expected all keys in one column'}")
        return
    state.close()
    key = _unquoted(match["key"])
    if match["value"]:
        _value(state, key, match["value"], number)
    else:
        state.key, state.opened = key, number


def _value(state: _State, key: str, text: str, number: int) -> None:
    if text.startswith("[") and text.endswith("]"):
        for one in text[1:-1].split(","):
            if one.strip():
                _value(state, key, one.strip(), number)
    elif text[:1] in _UNKNOWN:
        state.complain(number, f"{key}: {text}: {_UNKNOWN[text[0]]} is not read here")
    else:
        state.content.lines.append(Line(key, _unquoted(text), number))


def _unquoted(text: str) -> str:
    if len(text) >= 2 and text[0] == text[-1] and text[0] in "\"'":
        return text[1:-1]
    return text


def _without_comment(line: str) -> str:
    """Less what follows `` #`` outside quotes."""
    quote = ""
    for position, character in enumerate(line):
        if quote:
            quote = "" if character == quote else quote
        elif character in "\"'" and line[:position].rstrip()[-1:] in ("", ":", "-"):
            quote = character
        elif character == "#" and (position == 0 or line[position - 1] in " \t"):
            return line[:position].rstrip()
    return line
