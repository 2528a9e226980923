"""What a connection is read from and written to: a socket, or a socket with TLS around it. Nothing here waits."""

from __future__ import annotations

import socket
import ssl
import struct
from typing import TYPE_CHECKING, Final, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

_SEND: Final = socket.MSG_NOSIGNAL | socket.MSG_DONTWAIT
MOST_PARTS: Final = 16
"""Of one call of :meth:`Pipe.send`."""
_AT_ONCE: Final = struct.pack("ii", 1, 0)


class Pipe(Protocol):
    """Both ways of one connection."""

    layered: bool
    """More may lie in it than its socket tells: it is read until there is nothing."""

    def fileno(self) -> int:
        """The descriptor, to be waited for."""

    def shake(self) -> bool:
        """Go on with whatever comes before the first byte; whether it is over.

        Raises: OSError: it has failed.
        """

    def recv(self, size: int) -> bytes | None:
        """At most *size* bytes; none at the end; None: nothing has come.

        Raises: OSError: the connection is broken.
        """

    def send(self, parts: Sequence[bytes | memoryview]) -> int:
        """Send what there is room for of so many parts, and say how many bytes that was.

        Raises: OSError: the connection is broken.
        """

    def leaves(self) -> bool:
        """Whether its peer is known to send nothing more, as far as that can be told without taking anything."""

    def half_close(self) -> None:
        """Say that nothing more comes from us. Raises: OSError."""

    def reset(self) -> None:
        """Have :meth:`close` break the connection off. TCP knows such a thing; on a Unix socket it is an end."""

    def close(self) -> None:
        """Let go of it."""


class PlainPipe:
    """A stream socket, as it was accepted."""

    __slots__ = ("_sock", "close", "fileno")
    layered = False

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self.fileno = sock.fileno
        self.close = sock.close

    def shake(self) -> bool:
        """Nothing is to be done."""
        return True

    def recv(self, size: int) -> bytes | None:
        """See :class:`Pipe`."""
        try:
            return self._sock.recv(size, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return None

    def send(self, parts: Sequence[bytes | memoryview]) -> int:
        """See :class:`Pipe`."""
        try:
            return self._sock.sendmsg(parts, (), _SEND)
        except BlockingIOError:
            return 0

    def leaves(self) -> bool:
        """See :class:`Pipe`."""
        try:
            return not self._sock.recv(1, socket.MSG_DONTWAIT | socket.MSG_PEEK)
        except BlockingIOError:
            return False
        except OSError:
            return True

    def half_close(self) -> None:
        """See :class:`Pipe`."""
        self._sock.shutdown(socket.SHUT_WR)

    def reset(self) -> None:
        """See :class:`Pipe`."""
        self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _AT_ONCE)


class TlsPipe:
    """A stream socket with TLS. The connection sees to it that nobody reads while another writes."""

    __slots__ = ("_sock", "close", "fileno")
    layered = True

    def __init__(self, sock: socket.socket, context: ssl.SSLContext) -> None:
        sock.setblocking(False)
        self._sock = context.wrap_socket(sock, server_side=True, do_handshake_on_connect=False)
        self.fileno = self._sock.fileno
        self.close = self._sock.close

    def shake(self) -> bool:
        """See :class:`Pipe`."""
        try:
            self._sock.do_handshake()
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            return False
        return True

    def recv(self, size: int) -> bytes | None:
        """See :class:`Pipe`."""
        try:
            return self._sock.recv(size)
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            return None

    def send(self, parts: Sequence[bytes | memoryview]) -> int:
        """See :class:`Pipe`."""
        sent = 0
        try:
            for part in parts:
                if len(part):
                    n = self._sock.send(part)
                    sent += n
                    if n < len(part):
                        break
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            pass
        return sent

    def leaves(self) -> bool:
        """See :class:`Pipe`; with TLS it cannot be told."""
        return False

    def half_close(self) -> None:
        """See :class:`Pipe`."""
        self._sock.shutdown(socket.SHUT_WR)

    def reset(self) -> None:
        """See :class:`Pipe`."""
        self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _AT_ONCE)
