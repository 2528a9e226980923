"""Tells who connects how the server is, whatever else he does or does not do.

Its owner has no time: accepting, sending and closing never wait, only so many clients are served at a time, and each
only for so long. What is told is made at most ten times a second.
"""

from __future__ import annotations

import contextlib
import logging
import os
import select
import socket
import stat
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from m2serve.errors import ConfigError
from m2serve.ids import Seconds
from m2serve.observe.stats import encode

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from m2serve.endpoint import StatsAddress
    from m2serve.observe.stats import Document

log = logging.getLogger("m2serve.stats")

CLIENTS: Final = 32
"""At a time; further ones wait to be accepted."""
PATIENCE: Final = 3.0
"""Seconds a client may take."""
FRESH: Final = 0.1
"""Seconds for which a document is good for further clients."""
_BACKLOG: Final = 128

_HTTP: Final = (
    b"HTTP/1.0 200 OK\r\nConnection: close\r\nAccess-Control-Allow-Origin: *\r\n"
    b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n"
)


@dataclass(eq=False)
class Client:
    """Somebody who has connected."""

    sock: socket.socket
    deadline: Seconds
    rest: memoryview = field(default_factory=lambda: memoryview(b""))
    """Not sent yet."""
    heard: bytes = b""
    answered: bool = False
    """Nothing comes after ``rest``. When that has left our half is closed, and what he sends is read away until he
    closes his: closing with unread bytes would be a reset, and might cost him the document."""


@dataclass(eq=False)
class Teller:
    """Listens from `listen` to `close`; asks to be polled as the master's attachments do.

    Args:
        http: in front of what is told stands the head of an HTTP answer; no request is waited for.
        own: gives the socket's file to the user who is to remove it.
        what: for messages.
    """

    address: StatsAddress
    http: bool = False
    minified: bool = False
    own: Callable[[str], None] | None = None
    what: str = "statistics"
    _listener: socket.socket | None = None
    _inode: tuple[int, int] | None = None
    _clients: dict[int, Client] = field(default_factory=dict)
    _made: Seconds | None = None
    _data: bytes = b""

    def make(self, now: Seconds) -> Document:
        """What is told. Asked for when somebody is served."""
        raise NotImplementedError

    def listen(self) -> None:
        """Raises: ConfigError: somebody else listens there, or nobody can."""
        family, address = self.address.family, self.address.address
        try:
            listener = socket.socket(family, socket.SOCK_STREAM)
        except OSError as error:
            raise ConfigError(f"{self.what} at {self.address}: {error.strerror}") from error
        try:
            if family == socket.AF_UNIX:
                _remove_stale(self.address.path)
            else:
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(address)
            listener.listen(_BACKLOG)
        except OSError as error:
            listener.close()
            # A name that cannot be looked up has no strerror of its own.
            raise ConfigError(f"{self.what} at {self.address}: cannot listen: {error.strerror or error}") from error
        listener.setblocking(False)
        self._listener = listener
        if self.address.is_file:
            self._inode = inode(self.address.path)
            if self.own is not None:
                self.own(self.address.path)
        # Tests wait for this line.
        log.info("%s at %s", self.what, self.address)

    @property
    def clients(self) -> int:
        """Who is being served."""
        return len(self._clients)

    def polled(self) -> Mapping[int, int]:
        wanted = {fd: select.POLLOUT if client.rest else select.POLLIN for fd, client in self._clients.items()}
        if self._listener is not None and len(self._clients) < CLIENTS:
            wanted[self._listener.fileno()] = select.POLLIN
        return wanted

    def ready(self, fd: int, now: Seconds) -> None:
        client = self._clients.get(fd)
        if client is not None:
            self._go_on(client, now)
        elif self._listener is not None and fd == self._listener.fileno():
            self._accept(now)

    def turn(self, now: Seconds) -> bool:
        for client in [one for one in self._clients.values() if one.deadline <= now]:
            self._drop(client)
        return False

    def due(self, now: Seconds) -> Seconds | None:
        return min((client.deadline for client in self._clients.values()), default=None)

    def close(self) -> None:
        """Drop everybody, and remove the socket's file if it is still ours."""
        for client in list(self._clients.values()):
            self._drop(client)
        if self._listener is not None:
            self._listener.close()
            self._listener = None
        if self._inode is not None and inode(self.address.path) == self._inode:
            with contextlib.suppress(OSError):
                os.unlink(self.address.path)

    def abandon(self) -> None:
        """In a forked child: these numbers will be other descriptors."""
        for client in self._clients.values():
            client.sock.detach()
        self._clients.clear()
        if self._listener is not None:
            self._listener.detach()
            self._listener = None
        self._inode = None

    def _accept(self, now: Seconds) -> None:
        assert self._listener is not None
        while len(self._clients) < CLIENTS:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return  # nobody any more; or he has gone already; or there are no descriptors left
            sock.setblocking(False)
            client = Client(sock, Seconds(now + PATIENCE))
            self._clients[sock.fileno()] = client
            self._greet(client, now)
            self._go_on(client, now)

    def _greet(self, client: Client, now: Seconds) -> None:
        """He has connected."""
        client.rest, client.answered = memoryview(self._told(now)), True

    def _hear(self, client: Client, data: bytes, now: Seconds) -> None:
        """He says something; empty: no more."""
        if not data:
            self._drop(client)

    def _told(self, now: Seconds) -> bytes:
        if self._made is None or not 0 <= now - self._made < FRESH:
            data = encode(self.make(now), minified=self.minified)
            self._data = _HTTP % len(data) + data if self.http else data
            self._made = now
        return self._data

    def _go_on(self, client: Client, now: Seconds) -> None:
        try:
            if client.rest:
                client.rest = client.rest[client.sock.send(client.rest) :]
                if not client.rest and client.answered:
                    client.sock.shutdown(socket.SHUT_WR)
            else:
                self._hear(client, client.sock.recv(65536), now)
        except BlockingIOError:
            pass
        except OSError:
            self._drop(client)

    def _drop(self, client: Client) -> None:
        del self._clients[client.sock.fileno()]
        client.sock.close()


def inode(path: str) -> tuple[int, int] | None:
    """What tells a file from another one of its name; None: there is none."""
    try:
        found = os.stat(path)
    except OSError:
        return None
    return (found.st_dev, found.st_ino)


def _remove_stale(path: str) -> None:
    """Remove a socket that nobody listens to any more, as a killed server leaves it."""
    if path.startswith("@"):
        return
    try:
        if not stat.S_ISSOCK(os.stat(path).st_mode):
            return  # bind will say so
    except OSError:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)
        with contextlib.suppress(OSError):
            try:
                probe.connect(path)
            except ConnectionRefusedError:
                os.unlink(path)
