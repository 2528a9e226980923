"""The road back for a request that came by a door."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

from m2serve.errors import ClientGone
from m2serve.transports.channel import Verdict

if TYPE_CHECKING:
    from collections.abc import Callable

    from m2serve.message import Request
    from m2serve.transports.channel import Sink
    from m2serve.transports.doors.body import Collected
    from m2serve.transports.doors.connection import Connection

log = logging.getLogger("m2serve.door")

_MOST: Final = 256 * 1024
"""Bytes of a streamed answer that may wait here, where nobody counts them; the rest waits where it is counted."""
_HEAD_END: Final = b"\r\n\r\n"


class DoorChannel:
    """See :class:`m2serve.gateways.base.Channel`. Made for one request.

    Threads: the request's, and the courier's once the answer goes on without it; ``gone`` is set by any.
    """

    __slots__ = (
        "_asked",
        "_conn",
        "_detached",
        "_look",
        "_over",
        "_seized",
        "_whole",
        "began",
        "body",
        "gone",
        "request",
    )

    detachable = True
    paced = False

    def __init__(self, conn: Connection, request: Request, body: Collected | None) -> None:
        self._conn = conn
        self._look: Callable[[], None] | None = None
        self._asked = False
        self._detached = False
        self._over = False
        self._seized = False
        self._whole = False
        """A complete answer was handed over at once."""
        self.request = request
        self.body = body
        """Of the request, where it does not lie in that."""
        self.began = False
        self.gone = False

    def connected(self) -> bool:
        """Whether the client is not known to have left: what applications may ask."""
        return not self.gone and not self._conn.leaves()

    def allowed(self) -> int:
        """Bytes that may leave now."""
        return max(0, _MOST - self._conn.backlog)

    def ask(self) -> int:
        """As :meth:`allowed`, and be called when it has grown."""
        self._asked = True
        return self.allowed()

    def watch(self, look: Callable[[], None]) -> None:
        """Have *look* called, from any thread."""
        self._look = look

    def drained(self) -> None:
        """Some of what waited has left, or its client has."""
        if self._look is not None and (self.gone or (self._asked and self._conn.backlog <= _MOST // 2)):
            self._asked = False
            self._look()

    def lose(self) -> None:
        """The client has left."""
        self.gone = True
        self.drained()

    def probe(self) -> None:
        """Nothing is to be asked: the kernel tells."""

    def settle(self) -> None:
        """Nothing moves."""

    def control(self, order: bytes) -> None:
        """There is no Mongrel2 to be told anything."""

    def expect(self, sink: Sink | None) -> None:
        """Bodies are complete before their requests begin."""

    def send(self, *parts: bytes) -> None:
        """Send a piece of the answer; what the client does not take at once waits.

        Raises: ClientGone: it cannot arrive any more.
        """
        first = not self.began
        self.began = True
        # in this order: whoever answers in our place does the reverse
        if self.gone:
            raise ClientGone("the client has left")
        conn = self._conn
        if first and conn.leaving and conn.keep:
            parts = (_announcing_the_end(parts[0]), *parts[1:])
            conn.keep = False
        try:
            conn.send(parts)
        except ClientGone:
            self.gone = True
            raise

    def send_last(self, *parts: bytes) -> bool:
        """Send a complete answer."""
        self._whole = True
        self.send(*parts)
        return True

    @property
    def send_file(self) -> Callable[[int, int, int], int | None] | None:
        """How files are sent from their descriptors; see :class:`m2serve.gateways.base.Channel`."""
        return self._send_file if self._conn.sends_files else None

    def _send_file(self, fd: int, at: int, size: int) -> int | None:
        if self.gone:
            raise ClientGone("the client has left")
        self._asked = True
        try:
            return self._conn.send_file(fd, at, size)
        except ClientGone:
            self.gone = True
            raise

    def close(self) -> None:
        """Close the connection behind what was sent. Behind a part of an answer the protocol says nothing more, so that
        a web server in front sees that it breaks off.
        """
        self.began = True
        self._conn.keep = False
        if not self._whole:
            self._conn.cut = True

    # -- without a thread ------------------------------------------------------------------------------------------

    def detach(self) -> None:
        """The thread leaves; the request is over when :meth:`ended` is called."""
        self._detached = True

    def ended(self) -> None:
        """The detached answer is over."""
        self._finish()

    def leave(self) -> None:
        """The thread has done its part."""
        if not self._detached:
            self._finish()

    def _finish(self) -> None:
        conn = self._conn
        with conn.lock:
            if self._over or self._seized:
                return
            self._over = True
        try:
            conn.finish(gone=self.gone)
        except Exception:
            # the thread has other requests to run
            log.exception("connection of door %s broken off", conn.door.name)
            conn.close()

    # -- a thread that is stuck; the service thread's ----------------------------------------------------------------

    def seize(self) -> Verdict | None:
        """Take the client away from the thread; see :class:`~m2serve.transports.channel.Channel`."""
        with self._conn.lock:
            if self._over:
                return None
            was_gone, self.gone = self.gone, True
            self._seized = True
        if was_gone:
            return Verdict.GONE
        return Verdict.BEGUN if self.began else Verdict.UNANSWERED

    def reply(self, verdict: Verdict, message: bytes) -> None:
        """End a seized request; see :class:`~m2serve.transports.channel.Channel`."""
        conn = self._conn
        conn.keep = False
        if verdict is not Verdict.UNANSWERED:
            conn.close()
            return
        try:
            conn.send([message])
        except ClientGone:
            conn.close()
        else:
            conn.finish(gone=False)  # that was a word for the thread, whose calls come too late from now on


def _announcing_the_end(head: bytes) -> bytes:
    """The head of an answer after which the connection will be closed."""
    end = head.find(_HEAD_END)
    if end < 0:
        return head
    lines = head[:end].replace(b"\r\nConnection: keep-alive", b"")
    return lines + b"\r\nConnection: close" + head[end:]
