"""A ZeroMQ PUSH socket for lines of the log, one message each: uWSGI's ``logger = zeromq:ENDPOINT``.

uWSGI's blocks: with nobody there, a thousand lines later its master stands still. This one waits for the peer's
greeting for a moment when it connects, and for nothing else: lines that cannot leave wait in a bounded buffer, the
oldest are dropped, and the next peer is told how many.
"""

from __future__ import annotations

import collections
import contextlib
import socket
import threading
import time
from typing import TYPE_CHECKING, Final

from m2serve.errors import ProtocolError
from m2serve.wire.zmtp import COMMAND, GREETING, Decoder, Handshake, frame_header, pong, ready, split_command

if TYPE_CHECKING:
    from collections.abc import Callable

    from m2serve.endpoint import Endpoint

_PATIENCE: Final = 0.5
"""Seconds for connection and handshake. Whoever logs waits that long, at most once in :data:`_PAUSES`."""
_PAUSES: Final = (1.0, 30.0)
"""Seconds after a failure until the next attempt: the first, and the most; doubling in between."""
_AT_ONCE: Final = 64 * 1024
"""Bytes."""
_WAITING: Final = 1000
"""Lines; ZeroMQ's own high-water mark."""


class Push:
    """Connects when the first line comes, and again when the connection has broken.

    Threads: any; a lock keeps lines whole. A process forked while another thread writes must not use it.

    Args: clock: monotonic seconds.
    """

    def __init__(self, endpoint: Endpoint, clock: Callable[[], float] = time.monotonic) -> None:
        self._endpoint = endpoint
        self._clock = clock
        self._lock = threading.Lock()
        self._sock: socket.socket | None = None
        self._decoder = Decoder(1 << 16)
        self._waiting: collections.deque[bytes] = collections.deque()
        self._begun = b""
        """The rest of what the peer has got the beginning of."""
        self._lines = 0
        """So many were in it."""
        self._dropped = 0
        self._again = 0.0
        self._pause = _PAUSES[0]

    def write(self, line: bytes) -> None:
        """Send it, or keep it for later."""
        with self._lock:
            self._waiting.append(line)
            if len(self._waiting) > _WAITING:
                self._waiting.popleft()
                self._dropped += 1
            if self._sock is None and self._clock() >= self._again:
                self._connect()
            if self._sock is not None:
                self._flush(self._sock)

    def reopen(self) -> None:
        pass

    def forget(self) -> None:
        if self._sock is not None:
            self._sock.detach()
            self._sock = None

    def close(self) -> None:
        if self._sock is not None:
            self._sock.close()
            self._sock = None

    def _connect(self) -> None:
        sock = socket.socket(self._endpoint.family, socket.SOCK_STREAM)
        try:
            sock.settimeout(_PATIENCE)
            sock.connect(self._endpoint.address)
            sock.sendall(GREETING + ready(b"PUSH"))
            shake = Handshake(b"PULL")
            end = self._clock() + _PATIENCE
            rest = b""
            while not shake.done:
                left = end - self._clock()
                if left <= 0:
                    raise TimeoutError
                sock.settimeout(left)
                chunk = sock.recv(4096)
                if not chunk:
                    raise ConnectionResetError
                rest = shake.feed(chunk)
        except (OSError, ProtocolError):
            sock.close()
            self._failed()
            return
        sock.setblocking(False)
        self._sock, self._pause, self._decoder, self._begun = sock, _PAUSES[0], Decoder(1 << 16), b""
        if self._dropped:
            self._waiting.appendleft(b"m2serve: %d lines of the log were dropped\n" % self._dropped)
            self._dropped = 0
        with contextlib.suppress(ProtocolError):
            self._heed(rest)

    def _failed(self) -> None:
        if self._begun:
            self._dropped += self._lines  # some of them may have arrived
        self._begun = b""
        self._again = self._clock() + self._pause
        self._pause = min(2 * self._pause, _PAUSES[1])

    def _flush(self, sock: socket.socket) -> None:
        try:
            # A peer that has left is noticed before lines are given to nobody; PINGs are answered by the way.
            with contextlib.suppress(BlockingIOError):
                while True:
                    self._heed(sock.recv(4096) or _ended())
            while self._begun or self._waiting:
                if not self._begun:
                    self._begin()
                self._begun = self._begun[sock.send(self._begun) :]
        except BlockingIOError:
            return
        except (OSError, ProtocolError):
            sock.close()
            self._sock = None
            self._failed()

    def _begin(self) -> None:
        """Some lines as frames: a small send each would fill the kernel's buffer with little."""
        frames: list[bytes] = []
        size = 0
        while self._waiting and size < _AT_ONCE:
            line = self._waiting.popleft()
            frames += (frame_header(len(line)), line)
            size += len(line)
        self._begun, self._lines = b"".join(frames), len(frames) // 2

    def _heed(self, chunk: bytes) -> None:
        for frame in self._decoder.feed(chunk):
            if frame.flags & COMMAND:
                name, data = split_command(frame.body)
                if name == b"PING":
                    self._begun += pong(data[2:])  # behind the frame that is on its way


def _ended() -> bytes:
    raise ConnectionResetError
