"""Closed-loop clients in one thread: each sends its next request when the last one is answered, and checks that."""

from __future__ import annotations

import contextlib
import itertools
import select
import socket
import threading
import time
from typing import NamedTuple


class Answer(NamedTuple):
    """What became of one request; times are monotonic."""

    started: float
    ended: float
    outcome: str
    """A status, or ``closed``, ``refused``, ``timeout``, ``foreign`` (another request's answer)."""
    loaded: float
    """When the code that answered was imported; 0: no good answer."""

    @property
    def seconds(self) -> float:
        return self.ended - self.started


class _Client:
    """One connection, and the request that is under way on it."""

    def __init__(self, prefix: str) -> None:
        self.prefix = prefix
        self.sock: socket.socket | None = None
        self.path = b""
        self.started = 0.0
        self.received = b""


class Clients(threading.Thread):
    """Runs while its ``with`` block does; ``answers`` only grows.

    Args:
        slow: so many of the clients ask for ``/slow``.
    """

    def __init__(self, port: int, number: int, *, slow: int = 0, timeout: float = 10.0) -> None:
        super().__init__(name="clients", daemon=True)
        self.answers: list[Answer] = []
        self._port = port
        self._timeout = timeout
        self._clients = [_Client("/slow" if index < slow else "/quick") for index in range(number)]
        self._tags = itertools.count()
        self._poller = select.epoll()
        self._by_fd: dict[int, _Client] = {}
        self._over = False

    def __enter__(self) -> Clients:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over = True
        self.join()
        self._poller.close()

    def run(self) -> None:
        for client in self._clients:
            self._send(client)
        looked = time.monotonic()
        while self._by_fd:
            for fd, _ in self._poller.poll(0.2):
                self._receive(self._by_fd[fd])
            now = time.monotonic()
            if now > looked + 0.2:
                looked = now
                for client in list(self._by_fd.values()):
                    if now > client.started + self._timeout:
                        self._end(client, "timeout")

    def _send(self, client: _Client) -> None:
        client.path = b"%b/%d" % (client.prefix.encode(), next(self._tags))
        client.received = b""
        client.started = time.monotonic()
        if client.sock is None:
            client.sock = self._connect(client)
            self._by_fd[client.sock.fileno()] = client
            self._poller.register(client.sock, select.EPOLLIN)
        with contextlib.suppress(OSError):  # reading says so, too
            client.sock.sendall(b"GET %b HTTP/1.1\r\nHost: localhost\r\n\r\n" % client.path)

    def _connect(self, client: _Client) -> socket.socket:
        """The front never ends in what is measured here: all wait for it, should it refuse one."""
        while True:
            try:
                return socket.create_connection(("127.0.0.1", self._port), self._timeout)
            except OSError:
                self._note(client, "refused", 0.0)
                time.sleep(0.05)

    def _receive(self, client: _Client) -> None:
        assert client.sock is not None
        try:
            data = client.sock.recv(65536)
        except OSError:
            data = b""
        if not data:
            self._end(client, "closed")
            return
        client.received += data
        head, found, body = client.received.partition(b"\r\n\r\n")
        if not found:
            return
        lower = head.lower()
        length = int(lower.partition(b"content-length:")[2].partition(b"\r\n")[0] or 0)
        if len(body) < length:
            return
        outcome, loaded = head[9:12].decode("latin-1"), 0.0
        if outcome == "200":
            stamp, _, path = body.partition(b" ")
            if path == client.path:
                loaded = float(stamp)
            else:
                outcome = "foreign"
        self._note(client, outcome, loaded)
        if b"connection: close" in lower or self._over:
            self._close(client)
        if not self._over:
            self._send(client)

    def _end(self, client: _Client, outcome: str) -> None:
        self._note(client, outcome, 0.0)
        self._close(client)
        if not self._over:
            self._send(client)

    def _note(self, client: _Client, outcome: str, loaded: float) -> None:
        self.answers.append(Answer(client.started, time.monotonic(), outcome, loaded))

    def _close(self, client: _Client) -> None:
        if client.sock is not None:
            del self._by_fd[client.sock.fileno()]
            self._poller.unregister(client.sock)
            client.sock.close()
            client.sock = None
