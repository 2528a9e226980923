"""Times at which commands are run, and the commands."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple, Self

from m2serve.config import keyval
from m2serve.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Sequence

_FIELDS = ("minute", "hour", "day", "month", "week")
_RANGES = ((0, 59), (0, 23), (1, 31), (1, 12), (0, 7))
_LINE = re.compile(r"\s*" + r"\s+".join([r"([+-]?[0-9]{1,6})"] * 5) + r"\s+(\S.*)", re.DOTALL)
_KEYS = {**{name: name for name in _FIELDS}, "unique": "unique", "harakiri": "harakiri", "legion": "legion"}


class CronLine(NamedTuple):
    """When a command runs: -1 is any, -N every N; a week's days count from Sunday, 0."""

    minute: int
    hour: int
    day: int
    month: int
    week: int
    command: str
    unique: bool = False
    harakiri: int = 0
    """Seconds until SIGKILL; 0: never."""
    text: str = ""
    """As it was written."""

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read ``minute hour day month week command``.

        Raises: ConfigError: with what was expected.
        """
        match = _LINE.fullmatch(text)
        if match is None or "\0" in text:
            raise ConfigError("expected five numbers (minute hour day month weekday; -1 for any) and a command")
        return cls(*_times([int(word) for word in match.groups()[:5]]), match[6], text=text)

    def __str__(self) -> str:
        return self.text


class UniqueCronLine(CronLine):
    """The same; it is not started while it runs."""

    @classmethod
    def parse(cls, text: str) -> Self:
        line = CronLine.parse(text)
        return cls(*line._replace(unique=True))


class KeyedCronLine(CronLine):
    """``minute=-5,unique=1,harakiri=60 command``."""

    @classmethod
    def parse(cls, text: str) -> Self:
        times, blank, command = text.strip().partition(" ")
        if not blank or not command.strip() or "\0" in text:
            raise ConfigError("expected minute=...,hour=...,day=...,month=...,week=... and, behind a blank, a command")
        values = keyval.parse(times, _KEYS)
        if "legion" in values:
            raise ConfigError("expected no legion: there are none")
        numbers = _times([_number(values, name) for name in _FIELDS])
        unique = keyval.number(values, "unique", 0) != 0
        return cls(*numbers, command.strip(), unique, keyval.number(values, "harakiri", 0), text)


def _number(values: dict[str, str], name: str) -> int:
    text = values.get(name, "-1")
    if re.fullmatch(r"[+-]?[0-9]{1,6}", text) is None:
        raise ConfigError(f"{name}={text}: expected a whole number, -1 for any, -N for every N")
    return int(text)


def _times(numbers: Sequence[int]) -> tuple[int, int, int, int, int]:
    """Raises: ConfigError: such a time never comes."""
    for name, value, (least, most) in zip(_FIELDS, numbers, _RANGES, strict=True):
        if value >= 0 and not least <= value <= most:
            raise ConfigError(f"{name} {value}: expected {least} to {most}, -1 for any, or -N for every N")
    minute, hour, day, month, week = numbers
    return minute, hour, day, month, 0 if week == 7 else week
