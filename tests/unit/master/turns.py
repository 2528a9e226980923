"""A server of the master's, driven by the test in place of the master's loop."""

from __future__ import annotations

import select
from typing import TYPE_CHECKING

from m2serve.ids import Seconds

if TYPE_CHECKING:
    from m2serve.master.attachment import Attachment

NOW = Seconds(1000.0)


def turn(server: Attachment, now: float = NOW) -> None:
    """One of the master's, without any wait."""
    server.turn(Seconds(now))
    poller = select.poll()
    for fd, events in server.polled().items():
        poller.register(fd, events)
    for fd, _ in poller.poll(0):
        server.ready(fd, Seconds(now))
