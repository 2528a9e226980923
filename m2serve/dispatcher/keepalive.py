"""Tells Mongrel2 that connections which seem idle are not: their answers are still being made, or read slowly."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

from m2serve.dispatcher.outbox import framed
from m2serve.wire import control

if TYPE_CHECKING:
    from m2serve.dispatcher.intake import Intake

_AGE: Final = 2 / 3
"""Of the interval: a request younger than this was sent by a client whose connection is fresh."""


class KeepAlive:
    """When to say it, and for whom.

    Args: interval: seconds; 0: never.
    """

    def __init__(self, interval: float) -> None:
        self._interval = interval
        self.due = 0.0 if interval else math.inf
        """Monotonic seconds."""

    def messages(self, intake: Intake, now: float) -> bytes:
        """What to send to one Mongrel2, framed: as few messages as there can be."""
        before = now - self._interval * _AGE
        found: dict[bytes, list[bytes]] = {}
        for conn, taken in intake.current.items():
            if taken.arrived <= before:
                found.setdefault(taken.sender, []).append(conn)
        most = control.TARGETS_MOST
        return b"".join(
            framed(control.keep_alive(sender, conns[at : at + most]))
            for sender, conns in found.items()
            for at in range(0, len(conns), most)
        )

    def said(self, now: float) -> None:
        """All were told."""
        self.due = now + self._interval
