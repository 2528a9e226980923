"""Values of options about alarms: whom to tell, and of which lines of the log."""

from __future__ import annotations

import re
from typing import NamedTuple

from m2serve.config.static_values import Pattern
from m2serve.errors import ConfigError

DRIVERS = ("cmd", "log")
NOT_HERE = frozenset({"signal", "mule", "curl", "xmpp", "speech", "rpc", "spooler"})
"""Drivers of uWSGI's that nobody is told by; a file that has one still starts."""

_NAME = re.compile(r"[\w.-]+")
_FD = re.compile(r"(?P<name>[\w.-]+) +(?P<fd>[0-9]{1,9})(?::(?P<size>[1-9][0-9]{0,5}))? (?P<text>.+)", re.DOTALL)


class Alarm(NamedTuple):
    """Somebody to be told."""

    name: str
    driver: str
    argument: str

    @classmethod
    def parse(cls, text: str) -> Alarm:
        """Read ``NAME cmd:COMMAND`` or ``NAME log:TEXT``.

        Raises: ConfigError: with what was expected.
        """
        name, _, rest = text.strip().partition(" ")
        driver, colon, argument = rest.strip().partition(":")
        if _NAME.fullmatch(name) is None or not (colon or driver == "log") or "\0" in text:
            raise ConfigError("expected NAME cmd:COMMAND or NAME log:TEXT")
        if driver not in DRIVERS and driver not in NOT_HERE:
            raise ConfigError(f"{driver!r}: expected one of {', '.join(DRIVERS)}")
        if driver == "cmd" and not argument.strip():
            raise ConfigError("expected a command behind cmd:")
        return cls(name, driver, argument.strip())

    @property
    def done_here(self) -> bool:
        return self.driver in DRIVERS

    def __str__(self) -> str:
        return f"{self.name} {self.driver}:{self.argument}"


class AlarmFd(NamedTuple):
    """A descriptor that raises an alarm when there is something to read: so many bytes are one event."""

    name: str
    fd: int
    size: int
    text: str

    @classmethod
    def parse(cls, text: str) -> AlarmFd:
        """Read ``NAME FD TEXT`` or ``NAME FD:BYTES TEXT``.

        Raises: ConfigError: with what was expected.
        """
        match = _FD.fullmatch(text.strip())
        if match is None or "\0" in text:
            raise ConfigError("expected NAME FD TEXT or NAME FD:BYTES TEXT, for instance boss 7:8 it burns")
        return cls(match["name"], int(match["fd"]), int(match["size"] or 1), match["text"].strip())

    def __str__(self) -> str:
        return f"{self.name} {self.fd}:{self.size} {self.text}"


class AlarmRule(NamedTuple):
    """Lines that match, and the names of the alarms that they raise."""

    names: tuple[str, ...]
    pattern: Pattern

    @classmethod
    def parse(cls, text: str) -> AlarmRule:
        """Read ``NAME[,NAME...] REGEXP``.

        Raises: ConfigError: with what was expected.
        """
        names, _, regexp = text.strip().partition(" ")
        if not regexp.strip() or not all(_NAME.fullmatch(name) for name in names.split(",")):
            raise ConfigError("expected the name of an alarm, or names with commas, a blank and a regular expression")
        return cls(tuple(names.split(",")), Pattern.parse(regexp.strip()))

    def __str__(self) -> str:
        return f"{','.join(self.names)} {self.pattern}"
