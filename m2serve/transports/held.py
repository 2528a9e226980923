"""Answers of one thread of the direct topology that leave together, and the road back that they take."""

from __future__ import annotations

import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from m2serve.errors import ClientGone
from m2serve.transports.channel import Channel, Verdict
from m2serve.wire import zmtp

if TYPE_CHECKING:
    from m2serve.transports.responder import Origin, Responder

_QUICK: Final = 0.0005
"""Seconds of a request, beyond which nobody is to wait for the next one."""
_CAUTION: Final = 1.0
"""Seconds for which nothing is held behind a slow one."""
_MOST: Final = 16 * 1024
"""Bytes that are held."""


class HeldAnswers:
    """Complete answers of one thread that leave with one call, as long as its requests are quick.

    An answer is held only while the next request has been read already, which then waits for this thread anyhow, and
    only if no request of the last second took longer than 0.5 ms: so the first slow one delays a few answers, once.

    Threads: the subscribed one. When that is stuck, another may :meth:`flush`; ``_flushing`` guards what is taken.
    """

    def __init__(self) -> None:
        self.more = False
        """Whether the thread has read further requests."""
        self._data: list[bytes] = []
        self._envelopes: list[bytes] = []
        self._to: tuple[Responder, Origin] | None = None
        self._size = 0
        self._began = 0.0
        self._slow = 0.0
        self._flushing = threading.Lock()

    def begin(self) -> None:
        """A request begins."""
        self._began = time.monotonic()

    def end(self) -> None:
        """It is over; the next one, if there is any, has been read."""
        now = time.monotonic()
        if now - self._began > _QUICK:
            self._slow = now
        if self._data and (not self.more or now - self._slow < _CAUTION):
            self.flush()

    def take(self, responder: Responder, origin: Origin, envelope: bytes, parts: tuple[bytes, ...]) -> bool:
        """Hold an answer; False if it is to leave at once."""
        if not self.more or self._began - self._slow < _CAUTION:
            return False
        if self._to != (responder, origin):
            self.flush()
            self._to = (responder, origin)
        size = len(envelope) + sum(map(len, parts))
        self._data += (zmtp.frame_header(size), envelope, *parts)
        self._envelopes.append(envelope)
        self._size += size
        if self._size > _MOST:
            self.flush()
        return True

    def flush(self) -> None:
        """Send what is held."""
        if not self._data or self._to is None:
            return
        with self._flushing:
            responder, origin = self._to
            data, envelopes = b"".join(self._data), self._envelopes
            self._data, self._envelopes, self._size = [], [], 0
        if not envelopes:
            return
        with suppress(ClientGone):  # their threads of control have ended; the responder closes these clients if it can
            responder.send_frames(origin, envelopes[-1], data, *envelopes[:-1])


class DirectChannel(Channel):
    """The road back for a request of the direct topology; complete answers may leave together."""

    __slots__ = ("_held",)

    def __init__(self, responder: Responder, origin: Origin, envelope: bytes, held: HeldAnswers) -> None:
        super().__init__(responder, origin, envelope)
        self._held = held

    def send(self, *parts: bytes) -> None:
        """Send one message, behind what is held."""
        self._held.flush()
        super().send(*parts)

    def send_last(self, *parts: bytes) -> bool:
        """Send a complete answer, or hold it for the next one to take along."""
        self.began = True  # before the look at *gone*: whoever answers in our place does the reverse
        if self.gone or not any(parts) or not self._held.take(self._responder, self._origin, self._envelope, parts):
            self.send(*parts)
        return True

    def reply(self, verdict: Verdict, message: bytes) -> None:
        """End a seized request, behind what its thread holds."""
        self._held.flush()
        super().reply(verdict, message)

    def close(self) -> None:
        """Close the client's connection behind what was sent."""
        self._held.flush()
        super().close()
