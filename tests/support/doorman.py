"""A door with threads behind it, in this process, and a protocol of lines: ``PATH LENGTH WORDS``, then a body.

The word ``close`` ends the connection behind the answer, ``continue`` waits to be asked for the body; a length of ``?``
is for a body up to a line with a dot.
"""

from __future__ import annotations

import mmap
import socket
import threading
import uuid
from typing import TYPE_CHECKING, Any

from m2serve.config.postlimits import PostLimits
from m2serve.config.values import PostLimit
from m2serve.door import Door
from m2serve.errors import ClientGone, RemoteProtocolError
from m2serve.ids import Bytes
from m2serve.message import Request
from m2serve.transports.doors.guests import Policy
from m2serve.transports.doors.room import DoorRoom
from m2serve.transports.doors.subscription import DoorSubscription
from m2serve.wire.door import Head

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from m2serve.transports.doors.channel import DoorChannel
    from m2serve.wire.door import Peer


BIG = 8 * 1024 * 1024
"""More than the buffers of a connection on loopback take."""


class Lines:
    """The protocol."""

    def __init__(self, peer: Peer) -> None:
        self.peer = peer
        self._data = b""
        self._left: int | None = 0
        self.idle = True
        self.ended = True

    def feed(self, data: bytes) -> None:
        self._data += data
        self.idle = not self._data

    def head(self) -> Head | None:
        line, end, rest = self._data.partition(b"\n")
        if not end:
            if len(line) > 100:
                raise RemoteProtocolError("too long", status=431)
            return None
        if line == b"bug":
            raise KeyError("a mistake of ours")
        if not line.startswith(b"/"):
            raise RemoteProtocolError("no path")
        path, size, *words = line.split(b" ")
        self._data = rest
        self._left = None if size == b"?" else int(size)
        self.ended = self._left == 0
        request = Request(b"lines", b"", path, {b"METHOD": b"GET", b"transfer-encoding": b"dot"}, b"")
        return Head(request, self._left, b"close" not in words, b"continue" in words)

    def body(self) -> bytes:
        if self._left is None:
            data, end, rest = self._data.partition(b".\n")
            self.ended = bool(end)
            self._data = rest
            return data
        data, self._data = self._data[: self._left], self._data[self._left :]
        self._left -= len(data)
        self.ended = not self._left
        return data

    def next(self) -> None:
        self.idle = not self._data

    def reply(self) -> bytes:
        return b""

    def answer(self, parts: Sequence[bytes]) -> Sequence[bytes]:
        return parts

    def end(self) -> bytes:
        return b""


class Doorman:
    """Answers with what *serve* sends; a thread a core, as in a worker."""

    def __init__(
        self,
        serve: Callable[[Request, DoorChannel], Any],
        threads: int = 2,
        *,
        limit: int | None = None,
        policy: dict[str, Any] | None = None,
        **door: Any,
    ) -> None:
        self.listener = socket.socket()
        self.listener.bind(("127.0.0.1", 0))
        self.listener.listen(64)
        self.address = self.listener.getsockname()
        limits = PostLimits([] if limit is None else [PostLimit("", Bytes(limit))])
        self.visitors = memoryview(mmap.mmap(-1, 4096)).cast("Q")
        self.refused = memoryview(bytearray(8)).cast("Q")
        self.room = DoorRoom(Policy(limits, **(policy or {})), self.visitors, 1, self.refused)
        door = {"keepalive": 30.0, "head_timeout": 30.0, "body_timeout": 30.0, **door}
        door = {"protocol": "http", "name": "lines", "fd": self.listener.fileno(), "local": self.address, **door}
        self.room.add(Door(**door), Lines)
        self.room.start()
        self.lost = 0
        """Requests whose clients had left."""
        self.served = 0
        self._serve = serve
        self.threads = [threading.Thread(target=self._run, daemon=True) for _ in range(threads)]
        for thread in self.threads:
            thread.start()

    def _run(self) -> None:
        subscription = DoorSubscription(self.room, None, uuid.uuid4())
        while (delivery := subscription.receive()) is not None:
            channel: Any = delivery.channel
            try:
                self._serve(channel.request, channel)
            except ClientGone:
                self.lost += 1
            finally:
                self.served += 1
                if channel.body is not None:
                    channel.body.close()
                subscription.done()

    def connect(self) -> socket.socket:
        return socket.create_connection(self.address, 20)

    def stop(self) -> None:
        self.room.stop()
        for thread in self.threads:
            thread.join(20)
        assert not any(thread.is_alive() for thread in self.threads)
        self.listener.detach()  # the room has closed it


def echo(request: Request, channel: Any) -> None:
    """Says how long the body was, and the body."""
    body = request.body if channel.body is None else channel.body.input.read()
    channel.send_last(b"%b=%d:" % (request.path, len(body)), body, b"\n")


def receive(sock: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size and (more := sock.recv(size - len(data))):
        data += more
    return data


def receive_all(sock: socket.socket) -> bytes:
    data = b""
    while more := sock.recv(65536):
        data += more
    return data
