"""JSON files: an object with the section's name holds the keys."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from m2serve.config.formats.content import Content, add

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

_BLANK = re.compile(r"[ \t\r\n]*")
_DECODER = json.JSONDecoder(parse_float=str)


class _Unexpected(Exception):
    """The text is no JSON from this position on."""

    def __init__(self, position: int, expected: str) -> None:
        super().__init__(expected)
        self.position = position


def read(text: str, sections: Collection[str]) -> Content:
    """The keys of these objects; a list repeats its key."""
    content = Content()
    try:
        for section, start, value in _members(text, _skip(text, 0), deep=True):
            if section not in sections:
                continue
            content.found = True
            if text[start] != "{":
                content.problems.append((_line(text, start), f"{section}: {value!r}: expected an object"))
                continue
            for key, position, inner in _members(text, start, deep=False):
                add(content, key, inner, _line(text, position))
    except _Unexpected as error:
        content.problems.append((_line(text, error.position), str(error)))
        content.found = True  # nobody knows; one mistake, one message
    return content


def _members(text: str, position: int, *, deep: bool) -> Iterator[tuple[str, int, Any]]:
    """Each key of an object with the position of its value, which the library's own reader does not tell."""
    if text[position : position + 1] != "{":
        raise _Unexpected(position, "expected '{'")
    position = _skip(text, position + 1)
    while text[position : position + 1] != "}":
        if text[position : position + 1] != '"':
            raise _Unexpected(position, "expected a key in \"quotes\" or '}'")
        key, position = _decode(text, position)
        position = _skip(text, position)
        if text[position : position + 1] != ":":
            raise _Unexpected(position, f"expected ':' after {key!r}")
        start = _skip(text, position + 1)
        value, position = _decode(text, start)
        yield key, start, value
        position = _skip(text, position)
        if text[position : position + 1] == ",":
            position = _skip(text, position + 1)
        elif text[position : position + 1] != "}":
            raise _Unexpected(position, f"expected ',' or '}}' after the value of {key!r}")
    position = _skip(text, position + 1)
    if deep and position < len(text):
        raise _Unexpected(position, "expected nothing after the last '}'")


def _decode(text: str, position: int) -> tuple[Any, int]:
    try:
        return _DECODER.raw_decode(text, position)
    except json.JSONDecodeError as error:
        raise _Unexpected(error.pos, f"expected JSON: {error.msg[:1].lower()}{error.msg[1:]}") from None
    except (RecursionError, ValueError):
        raise _Unexpected(position, "expected JSON: too deep, or a number too long") from None


def _skip(text: str, position: int) -> int:
    match = _BLANK.match(text, position)
    return match.end() if match else position


def _line(text: str, position: int) -> int:
    return text.count("\n", 0, position) + 1
