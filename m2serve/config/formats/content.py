"""What any format gives: the keys of the sections that were asked for, each with its line."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple


class Line(NamedTuple):
    """A key with its text, and the line of the file where it stands; lines count from 1."""

    key: str
    value: str
    number: int


@dataclass
class Content:
    """One file.

    ``problems`` and ``warnings`` are pairs of a line's number and a text; the number is 0 for the file as a
    whole. ``found`` says whether any of the sections was there.
    """

    lines: list[Line] = field(default_factory=list)
    problems: list[tuple[int, str]] = field(default_factory=list)
    warnings: list[tuple[int, str]] = field(default_factory=list)
    found: bool = False


def scalar(value: object) -> str | None:
    """A value of JSON or TOML as the text that an ini file would hold; None when there is no such text."""
    if value is None:
        return "false"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (str, int, float)):
        try:
            return str(value)
        except ValueError:  # a number of more digits than Python prints
            return None
    return None


def add(content: Content, key: str, value: object, number: int) -> None:
    """Add a key whose value is a scalar, or a list of them: a list repeats the key."""
    for one in value if isinstance(value, list) else [value]:
        text = scalar(one)
        if text is None or not _is_text(text):
            content.problems.append((number, f"{key}: expected text, a number, true or false, or a list of them"))
        else:
            content.lines.append(Line(key, text, number))


def _is_text(text: str) -> bool:
    """Whether the system could take it: JSON can write halves of characters, which no file name can hold."""
    try:
        text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return False
    return True
