"""A Mongrel2 without a web server: its two sockets, and a test that says what goes over them."""

from __future__ import annotations

import contextlib
import threading
import time
from typing import TYPE_CHECKING

import tnetstring
import zmq
from support.ports import free_ports

if TYPE_CHECKING:
    from collections.abc import Callable


class FakeMongrel2:
    """Binds PUSH and SUB as the real one does; answers are collected by connection id.

    Threads: one of its own reads the answers; everything else is the test's.
    """

    def __init__(self, ident: str = "fake-1") -> None:
        self.ident = ident
        self.answers: dict[bytes, list[bytes]] = {}
        """Connection id to everything sent to it; an empty message is a closing."""
        self.malformed: list[bytes] = []
        self._context = zmq.Context()
        self._push, self._sub = self._context.socket(zmq.PUSH), self._context.socket(zmq.SUB)
        send, recv = free_ports(2)
        self.send_spec, self.recv_spec = f"tcp://127.0.0.1:{send}", f"tcp://127.0.0.1:{recv}"
        self._push.bind(self.send_spec)
        self._sub.subscribe(ident.encode())
        self._sub.set(zmq.RCVHWM, 0)
        self._sub.bind(self.recv_spec)
        self._over = threading.Event()
        self._reader = threading.Thread(target=self._read, name="fake-mongrel2")
        self._reader.start()

    def __enter__(self) -> FakeMongrel2:
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._reader.join()
        self._push.close(linger=0)
        self._context.term()

    @property
    def pair(self) -> str:
        return f"{self.send_spec},{self.recv_spec}"

    def send(self, message: bytes, timeout: float = 30.0) -> None:
        """Push any bytes at all."""
        assert self._push.poll(int(timeout * 1000), zmq.POLLOUT), "nobody takes requests"
        self._push.send(message)

    def request(self, conn: int, target: str = "/", body: bytes = b"") -> bytes:
        """A good request, as Mongrel2 writes it."""
        path = target.partition("?")[0]
        headers = {
            b"PATH": path.encode(),
            b"METHOD": b"POST" if body else b"GET",
            b"VERSION": b"HTTP/1.1",
            b"URI": target.encode(),
            b"PATTERN": b"/",
            b"URL_SCHEME": b"http",
            b"REMOTE_ADDR": b"127.0.0.1",
            b"host": b"localhost",
            b"x-forwarded-for": b"127.0.0.1",
        }
        if body:
            headers[b"content-length"] = str(len(body)).encode()
        start = f"{self.ident} {conn} {path} ".encode()
        return start + tnetstring.dumps(headers) + tnetstring.dumps(body)

    def wait(self, condition: Callable[[], bool], timeout: float, what: str) -> None:
        deadline = time.monotonic() + timeout
        while not condition():
            assert time.monotonic() < deadline, f"not within {timeout} s: {what}"
            time.sleep(0.01)

    def _read(self) -> None:
        while not self._over.is_set():
            if self._sub.poll(20):
                with contextlib.suppress(zmq.Again):
                    while True:
                        self._take(self._sub.recv(zmq.NOBLOCK))
        self._sub.close(linger=0)

    def _take(self, message: bytes) -> None:
        """``UUID SP LENGTH ":" ID *( SP ID ) "," SP BODY``, strictly: a malformed one stops the real Mongrel2."""
        try:
            ident, rest = message.split(b" ", 1)
            length, rest = rest.split(b":", 1)
            ids, tail = rest[: int(length)], rest[int(length) :]
            assert ident == self.ident.encode()
            assert tail[:2] == b", "
            assert ids.replace(b" ", b"").isdigit()
        except (ValueError, AssertionError):
            self.malformed.append(message)
            return
        for one in ids.split(b" "):
            self.answers.setdefault(one, []).append(tail[2:])
