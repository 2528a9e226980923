"""Looks after the size of the log: ``log-maxsize``."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from m2serve.ids import Seconds
from m2serve.master.attachment import Attachment

if TYPE_CHECKING:
    from m2serve.master.commands import Commands

PERIOD = Seconds(1.0)


@dataclass
class LogSize(Attachment):
    """Once a second.

    Args: largest: bytes; 0: it may grow.
    """

    commands: Commands
    largest: int
    _next: Seconds = field(default=Seconds(0.0))

    def turn(self, now: Seconds) -> bool:
        if self.largest and now >= self._next:
            self._next = Seconds(now + PERIOD)
            self.commands.rotate_log("log-maxsize", self.largest)
        return False

    def due(self, now: Seconds) -> Seconds | None:
        return self._next if self.largest else None
