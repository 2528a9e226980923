"""The body of an answer on its way, when it does not leave in one message: what may leave when, and what waits."""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING, Final, NamedTuple

from m2serve.errors import ClientGone
from m2serve.gateways.base import UNLIMITED
from m2serve.gateways.pace import JOIN, Pace
from m2serve.gateways.spool import Spool

if TYPE_CHECKING:
    from collections.abc import Callable

    from m2serve.gateways.base import Channel
    from m2serve.gateways.courier import Courier
    from m2serve.gateways.filewrapper import RestOfFile

log = logging.getLogger("m2serve.gateway")

_SOON: Final = 0.002
"""Seconds a piece that came too fast may wait for the next: a token or two of the pace."""
_SHORT: Final = 0.005
"""Seconds for which a thread rather waits than leaves the end of its answer to others."""
_PIECE: Final = 32 * 1024
"""Bytes of a message under flow control: three fill the credit, so one is written while another is acknowledged."""
_FILE_PIECE: Final = 4 * 1024 * 1024
"""Bytes of a file in one call, which then waits for the disk so long."""
_LEAST: Final = 16 * 1024
"""Bytes for which it is worth to wait; each message costs a notice."""
_PATIENCE: Final = 0.05
"""Seconds until the credit is looked at again without having been called: two processors may see the store of
WAITING and that of CREDIT in different orders."""
_BACKSTOP: Final = 1.0
"""The same, later: whoever was to call may have died."""
_FIRST_PROBE: Final = 1.0
_PROBES: Final = 30.0
"""Seconds between two questions whether a client that takes nothing is there; at first fewer."""
_GIVE_UP: Final = -1.0
_CHUNK_FRAME: Final = 14
_LAST_CHUNK: Final = b"0\r\n\r\n"


class Means(NamedTuple):
    """What streamed answers of a worker share."""

    clock: Callable[[], float]
    """Monotonic seconds."""
    sleep: Callable[[float], None]
    courier: Courier
    buffer: int
    """Bytes of an answer that may wait in memory."""
    spool: int
    """Bytes of an answer that may wait on disk."""
    patience: float = 0.0
    """Seconds for which a client may take nothing of what waits for it; 0: for ever."""


class Outflow:
    """Bytes for one client, in order: head, pieces, perhaps a file, perhaps the end of the connection.

    Under flow control a message never exceeds the credit; else :class:`Pace` rules. Where the channel can detach,
    what may not leave yet waits in the spool, and the application's thread goes on; else that thread waits.

    Threads: the request's, except :meth:`flow`, which is the courier's too. ``_lock`` guards everything; ``_room``
    (on that lock) is notified when something has left.
    """

    def __init__(self, channel: Channel, head: bytes, means: Means, *, chunked: bool) -> None:
        self._channel = channel
        self._head = head
        self._means = means
        self._chunked = chunked
        self._pace = Pace(means.clock)
        self._counted = channel.allowed() < UNLIMITED
        self._paced = channel.paced
        self._send_file = None if chunked else channel.send_file
        self._spool = Spool(means.buffer, means.spool if channel.detachable else 0)
        self._file: RestOfFile | None = None
        self._lock = threading.Lock()
        self._room = threading.Condition(self._lock)
        self._queued = False
        self._blocked: float | None = None
        """Since when nothing may leave, and its client has taken nothing."""
        self._left = 0
        """The credit at that time: too little, but it may grow."""
        self._probe_at = 0.0
        self._ended = False
        self._closes = False
        self._then: Callable[[], None] | None = None
        self.body_bytes = 0
        """Sent."""
        self.over = False
        """Nothing will leave any more."""
        self.missing = 0
        """Bytes that a file should have had and had not."""
        self.failure: str | None = None
        """Why the body is not complete although its client is there."""
        channel.watch(self._look)

    # --- the request's thread -------------------------------------------------------------

    def write(self, data: bytes) -> None:
        """Send *data*, or keep it; waits where there is no room for it.

        Raises: ClientGone: nobody is there to read it.
        """
        rest = memoryview(data)
        while True:
            with self._lock:
                if self.failure is not None:
                    raise ClientGone(self.failure)
                if not self._waits() and self._may_pass(len(rest)):
                    self._send(self._take_head(), [data if len(rest) == len(data) else bytes(rest)])
                    return
                rest = rest[self._keep(rest) :]
                delay = self._flow()
                if self._channel.gone:
                    raise ClientGone("the client has left")
                if not rest:
                    self._have_driven(delay)
                    return
                if self._counted:
                    if delay is not None:
                        self._room.wait(delay)
                    continue
                if delay is None:
                    delay = self._pace.delay()
            self._means.sleep(delay)

    def attach(self, file: RestOfFile) -> None:
        """Behind all pieces comes this file, which is closed when it has left; nothing but :meth:`end` follows."""
        with self._lock:
            if self.over:
                file.close()
            else:
                self._file = file

    def end(self, *, close: bool) -> None:
        """Nothing more comes. Afterwards ``over`` tells whether all of it has left.

        Args: close: the client's connection, behind the body.
        """
        while True:
            with self._lock:
                self._ended = True
                self._closes = close
                delay = self._flow()
                if delay is None:
                    return
                if self._channel.detachable and (self._counted or delay > _SHORT):
                    self._have_driven(delay)
                    return
            self._means.sleep(delay)

    def abandon(self) -> None:
        """Send nothing more; what waits is dropped."""
        with self._lock:
            self._drop()

    def then(self, call: Callable[[], None]) -> None:
        """Call when it is over: from here if it is already, else from the thread that finds it so."""
        with self._lock:
            if not self.over:
                self._then = call
                return
        call()

    # --- the courier's thread ---------------------------------------------------------

    def flow(self) -> float | None:
        """Send what may leave now; see :class:`~m2serve.gateways.courier.Holder`."""
        then = None
        with self._lock:
            try:
                delay = self._flow()
            except Exception:
                # whatever it is, the answer must come to an end: a cell, a file and perhaps a thread hang on it
                log.exception("answer broken off")
                self._break_off("internal error")
                delay = None
            self._queued = delay is not None
            if self.over:
                then, self._then = self._then, None
        if then is not None:
            then()
        return delay

    # --- inside, all with the lock ----------------------------------------------------

    def _look(self) -> None:
        """The channel's: there is more credit, or the client has left. Any thread, without the lock."""
        self._means.courier.wake(self)

    def _waits(self) -> bool:
        return self._spool.size > 0 or self._file is not None

    def _may_pass(self, size: int) -> bool:
        """Whether a piece may leave at once, as it is."""
        if self._counted:
            if size > JOIN or size + len(self._head) + _CHUNK_FRAME > self._channel.allowed():
                return False
            if size >= _LEAST or not self._paced:
                return True
        return self._pace.delay() == 0.0

    def _keep(self, data: memoryview) -> int:
        """Take what there is room for; a thread that must wait anyhow keeps only what is joined with more."""
        if self._channel.detachable or self._spool.size + len(data) < JOIN:
            return self._spool.put(data)
        return 0

    def _have_driven(self, delay: float | None) -> None:
        """The courier goes on from here."""
        if delay is not None and not self._queued:
            self._queued = True
            self._means.courier.later(self, max(delay, _SOON))

    def _flow(self) -> float | None:
        """Send as long as something may leave; gives the seconds to wait, None when nothing waits."""
        channel = self._channel
        channel.settle()
        try:
            while not self.over:
                if channel.gone:
                    self._drop()
                elif self._file is not None and self._send_file is not None and not self._head and not self._spool.size:
                    if (delay := self._pass_file(self._send_file)) == _GIVE_UP:
                        self._break_off(f"the client has read nothing for {self._means.patience:g} s (send-timeout)")
                        break
                    if delay is not None:
                        return delay
                elif self._waits() or (self._ended and (self._head or self._chunked)):
                    size, delay = self._next()
                    if not size and delay == _GIVE_UP:
                        self._break_off(f"the client has read nothing for {self._means.patience:g} s (send-timeout)")
                        break
                    if not size:
                        return delay
                    self._send_block(size)
                    self._room.notify_all()
                elif self._ended:
                    self._drop()
                    if self._closes or self.missing:
                        channel.close()
                else:
                    break  # a head goes with the first piece
        except ClientGone:
            self._drop()
        except OSError as error:
            log.error("answer broken off: %s", error)
            self._break_off(f"the rest of the body cannot be read: {error.strerror or error}")
        return None

    def _pass_file(self, send_file: Callable[[int, int, int], int | None]) -> float | None:
        """Send of the file what there is room for; gives the seconds to wait for more room, GIVE_UP, or None."""
        assert self._file is not None
        sent = self._file.send(send_file, _FILE_PIECE)
        if sent:
            self.body_bytes += sent
            self._blocked = None
        if sent == 0 or self._file.missing == 0:
            self.missing = self._file.missing or 0
            self._close_file()
        if sent is not None:
            return None
        now = self._means.clock()
        if self._blocked is None:
            self._blocked = now
        return _GIVE_UP if 0 < self._means.patience <= now - self._blocked else _BACKSTOP

    def _next(self) -> tuple[int, float]:
        """How large the next message may be; 0: wait so many seconds, or GIVE_UP."""
        waits = len(self._head) + self._spool.size + _CHUNK_FRAME
        if not self._counted or (self._paced and waits < _LEAST and self._file is None and not self._ended):
            # counted or not, small pieces are joined when they come fast: each message costs Mongrel2 a notice
            delay = self._pace.delay()
            if delay or not self._counted:
                return (0, delay) if delay else (self._pace.block, 0.0)
        least = _LEAST if self._file is not None else min(_LEAST, waits)
        allowed = self._channel.allowed()
        if allowed < least:
            allowed = self._channel.ask()
        if allowed >= least:
            self._blocked = None
            return min(allowed, _PIECE), 0.0
        now = self._means.clock()
        if self._blocked is None or allowed > self._left:
            self._blocked, self._left, self._probe_at = now, allowed, now + _FIRST_PROBE
        elif 0 < self._means.patience <= now - self._blocked:
            return 0, _GIVE_UP
        elif now >= self._probe_at:
            self._probe_at = now + min(now - self._blocked, _PROBES)
            self._channel.probe()
        return 0, _PATIENCE if now - self._blocked < _PATIENCE else _BACKSTOP

    def _send_block(self, size: int) -> None:
        """Send one message of what waits: with its framing at most *size* bytes, where bytes are counted."""
        head = self._take_head()
        if self._counted:
            size -= _CHUNK_FRAME
            if len(head) > size:
                head, self._head = head[:size], head[size:]
            size -= len(head)
        block: list[bytes] = []
        while size > 0:
            data = self._spool.take(size) or self._read_file(size)
            if not data:
                break
            block.append(data)
            size -= len(data)
        self._send(head, block)

    def _read_file(self, size: int) -> bytes:
        file = self._file
        if file is None:
            return b""
        data = file.read(size)
        if not data or file.missing == 0:
            self.missing = file.missing or 0
            self._close_file()
        return data

    def _close_file(self) -> None:
        file, self._file = self._file, None
        if file is not None:
            file.close()

    def _take_head(self) -> bytes:
        head, self._head = self._head, b""
        return head

    def _send(self, head: bytes, block: list[bytes]) -> None:
        """Send one message; the end of the body goes with its last piece."""
        size = sum(map(len, block))
        parts = [head]
        if not self._chunked:
            parts += block
        elif size:
            parts += (b"%x\r\n" % size, *block, b"\r\n")
        if self._chunked and self._ended and not self._waits() and not self._head:
            parts.append(_LAST_CHUNK)
            self._chunked = False
        if not any(parts):
            return
        if not self._counted or size < _LEAST:
            self._pace.spend(size)
        self._channel.send(*parts)
        self.body_bytes += size

    def _break_off(self, why: str) -> None:
        """The client can see by the end of its connection that it has not all."""
        self.failure = why
        self._drop()
        self._channel.close()

    def _drop(self) -> None:
        self.over = True
        self._head = b""
        self._close_file()
        self._spool.close()
        self._room.notify_all()
