"""``wsgi.input`` of a streamed upload: the application reads while the client sends.

Mongrel2 sends a body on credit, in bytes, of which an upload has none at first. Credit is given as the application
reads: never for more than a *window* beyond what it has read, so no more than that (and the rest of one chunk of a
chunked body, which Mongrel2 never divides) waits here, whatever the size of the body. An application that does not
read gets nothing sent.
"""

from __future__ import annotations

import io
import threading
from collections import deque
from typing import TYPE_CHECKING, Final

from m2serve.errors import BodyError, BodyGone, ClientGone
from m2serve.wire import pieces

if TYPE_CHECKING:
    from collections.abc import Callable

WINDOW_MOST: Final = 256 * 1024
"""Bytes; more makes nothing faster."""


class StreamBody(io.BufferedIOBase):
    """A body of which the beginning is there and the rest comes in pieces.

    Not seekable. ``read(n)`` waits for *n* bytes or the end of the body, ``read1(n)`` gives what is there, but waits
    for something. When nothing more can come, reading raises BodyGone or BodyError; both are OSError.

    Threads: one thread reads; the service thread calls :meth:`feed` and :meth:`lose`. ``_changed`` guards all that
    is not the reader's own, which are ``_front`` and ``_at``.

    Args:
        beginning: what has come with the request.
        length: of the whole body; None: chunked, nobody knows.
        whole: nothing follows the beginning.
        grant: lets Mongrel2 send that many more bytes; raises ClientGone.
        window: bytes beyond what was read that may be on their way.
        timeout: seconds without a byte after which reading fails with 408.
        limit: largest body in bytes; past it reading fails with 413.
    """

    def __init__(
        self,
        beginning: bytes,
        *,
        length: int | None,
        whole: bool = False,
        grant: Callable[[int], None],
        window: int,
        timeout: float,
        limit: int | None = None,
    ) -> None:
        self.length = length
        self._grant = grant
        self._window = min(window, WINDOW_MOST)
        self._timeout = timeout
        self._limit = limit
        self._changed = threading.Condition()
        self._pieces: deque[bytes] = deque()
        self._failure: Callable[[], OSError] | None = None
        self._over = False
        self._front = beginning
        self._at = 0
        self.received = self._taken = self._granted = len(beginning)
        """Of the body: bytes that have come; that the reader has taken; that may come. Only the first one is public."""
        self.complete = whole or self.received == length
        """All of it has come, read or not."""

    # -- the service thread ------------------------------------------------------------------------------------

    def feed(self, offset: int, data: bytes, last: bool) -> None:
        """A piece has come. What was there before is ignored: a new dispatcher may send it again.

        Args:
            offset: of the piece in the body, modulo 2**32.
            last: the body ends behind it.
        """
        with self._changed:
            if self._over or self.complete or self._failure is not None:
                return
            ahead = pieces.ahead(offset, self.received)
            if ahead > 0:
                at = self.received
                self._fail(lambda: BodyError(f"{ahead} bytes of the body are missing at byte {at}", status=500))
                return
            data = data[-ahead:] if ahead else data
            if data:
                self.received += len(data)
                self._pieces.append(data)
            elif not last:
                return
            if self._limit is not None and self.received > self._limit:
                self._fail(lambda: BodyError(f"a body of more than {self._limit} bytes (limit-post)", status=413))
            elif last or self.received == self.length:
                self.complete = True
            self._changed.notify_all()

    def lose(self) -> None:
        """The client has left, or its Mongrel2: nothing more will come."""
        with self._changed:
            if not self.complete:
                self._fail(lambda: BodyGone("the client has left"))

    def _fail(self, failure: Callable[[], OSError]) -> None:
        if self._failure is None:
            self._failure = failure
        self._pieces.clear()
        self._changed.notify_all()

    # -- the request's thread ----------------------------------------------------------------------------------

    def end(self) -> None:
        """The request is over: what still comes is ignored, and nobody reads any more."""
        with self._changed:
            self._over = True
            self._fail(lambda: BodyGone("the request is over"))
        self._front, self._at = b"", 0

    def readable(self) -> bool:
        return True

    def read(self, size: int | None = -1, /) -> bytes:
        """Wait for *size* bytes, or for all the rest; fewer only at the end of the body."""
        left = -1 if size is None else size
        parts: list[bytes] = []
        while left and self._fill():
            part = self._cut(left)
            parts.append(part)
            if left > 0:
                left -= len(part)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def read1(self, size: int = -1, /) -> bytes:
        """At most *size* bytes of what has come; waits only if nothing has."""
        return self._cut(size) if size and self._fill() else b""

    def readline(self, size: int | None = -1, /) -> bytes:
        """Up to and with the next line feed, or *size* bytes, or all the rest."""
        left = -1 if size is None else size
        parts: list[bytes] = []
        while left and self._fill():
            found = self._front.find(b"\n", self._at) + 1
            wanted = found - self._at if found else len(self._front) - self._at
            part = self._cut(wanted if left < 0 else min(wanted, left))
            parts.append(part)
            if part.endswith(b"\n"):
                break
            if left > 0:
                left -= len(part)
        return b"".join(parts)

    def _cut(self, size: int) -> bytes:
        """Take that many bytes of the front piece, all of it if *size* is negative or more."""
        front, at = self._front, self._at
        if size < 0 or size >= len(front) - at:
            self._front, self._at = b"", 0
            return front[at:] if at else front
        self._at = at + size
        return front[at : at + size]

    def _fill(self) -> bool:
        """See to it that there is something in front; False at the end of the body."""
        if self.closed:
            raise ValueError("I/O operation on closed file")
        if self._at < len(self._front):
            return True
        while True:
            with self._changed:
                if self._failure is not None:
                    raise self._failure()
                found = bool(self._pieces)
                if found:
                    self._front, self._at = self._pieces.popleft(), 0
                    self._taken += len(self._front)
                elif self.complete:
                    return False
                credit = self._due(hungry=not found)
            if credit:
                self._pay(credit)
            if found:
                return True
            self._wait()

    def _due(self, *, hungry: bool) -> int:
        """How much more may come now. Few large grants rather than many small ones: each is a message."""
        if self.complete:
            return 0
        until = self._taken + self._window
        if self.length is not None:
            until = min(until, self.length)
        more = until - self._granted
        if more <= 0:
            return 0
        if more < self._window // 2 and until != self.length and not (hungry and self._granted <= self.received):
            return 0
        self._granted = until
        return more

    def _pay(self, credit: int) -> None:
        # without the lock: this waits for Mongrel2, and the service thread must not
        try:
            self._grant(credit)
        except ClientGone as gone:
            self.lose()
            raise BodyGone(str(gone)) from None

    def _wait(self) -> None:
        """Wait until something has come or happened."""
        with self._changed:
            if not self._changed.wait_for(lambda: self._pieces or self.complete or self._failure, self._timeout):
                which = "socket-timeout" if self.length is not None else "socket-timeout, chunked-input-timeout"
                text = f"nothing more of the body came for {self._timeout:g} s ({which})"
                self._fail(lambda: BodyError(text, status=408))
