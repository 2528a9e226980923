"""Which lines of the log raise an alarm. The master is told, in whatever process the line was written."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Final, NamedTuple

from m2serve.config.log_values import LogTarget
from m2serve.observe.sinks import EachProcess

if TYPE_CHECKING:
    from collections.abc import Callable

    from m2serve.config.settings import Settings
    from m2serve.observe.encoders import Said

_SEGFAULT: Final = r"died: killed by signal 11, SIGSEGV"
_BACKLOG: Final = r"requests wait already \(queue-limit\)|the ring is full"
"""The master's and the dispatcher's own words."""
_LARGEST: Final = 16 * 1024

OF_ALARMS: Final = "alarm"
"""What the names of loggers begin with whose lines raise none: an alarm must not raise itself."""


class Sender:
    """Tells a master of alarms, from any process of its node."""

    def __init__(self, master: int) -> None:
        self._sink = EachProcess(LogTarget("alarm", str(master), ""))

    def __call__(self, name: str, text: bytes) -> None:
        self._sink.write(name.encode("utf-8", "replace") + b"\0" + text[:_LARGEST] + b"\n")

    def close(self) -> None:
        self._sink.close()


class _Rule(NamedTuple):
    regexp: re.Pattern[str]
    name: str
    wanted: bool


class AlarmLines:
    """Looks at every line; gives those that matter to the master, as ``NAME NUL TEXT``."""

    def __init__(self, settings: Settings, send: Callable[[str, bytes], None]) -> None:
        self.send = send
        self._rules = [
            *(_Rule(rule.pattern.regexp, name, True) for rule in settings.alarm_log for name in rule.names),
            *(_Rule(re.compile(_SEGFAULT), name, True) for name in settings.alarm_segfault),
            *(_Rule(re.compile(_BACKLOG), name, True) for name in settings.alarm_backlog),
        ]
        self._exceptions = [
            _Rule(rule.pattern.regexp, name, False) for rule in settings.alarm_not_log for name in rule.names
        ]

    @classmethod
    def of(cls, settings: Settings) -> AlarmLines | None:
        """To be asked in the master, before it forks; None: nobody wants to be told."""
        if not settings.alarm or not (settings.alarm_log or settings.alarm_segfault or settings.alarm_backlog):
            return None
        return cls(settings, Sender(os.getpid()))

    def look(self, said: Said, text: str) -> None:
        """One line: *text* without its newline."""
        if said.logger.startswith(OF_ALARMS):
            return
        names = {rule.name for rule in self._rules if rule.regexp.search(text)}
        names -= {rule.name for rule in self._exceptions if rule.name in names and rule.regexp.search(text)}
        for name in sorted(names):
            self.send(name, said.line.rstrip(b"\n"))
