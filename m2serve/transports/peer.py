"""Plain stream sockets to Mongrel2's ZeroMQ addresses."""

from __future__ import annotations

import errno
import os
import socket
from typing import TYPE_CHECKING

from m2serve.errors import TransportError

if TYPE_CHECKING:
    from m2serve.endpoint import Endpoint

_IN_PROGRESS = {0, errno.EINPROGRESS, errno.EAGAIN}


def connect(endpoint: Endpoint) -> socket.socket:
    """Begin to connect; non-blocking, close-on-exec. Writable means connected or failed (:func:`connect_error`).

    Raises:
        TransportError: refused at once, or the host name has no address.
    """
    sock, address = _unconnected(endpoint)
    sock.setblocking(False)
    code = sock.connect_ex(address)
    if code not in _IN_PROGRESS:
        sock.close()
        raise TransportError(os.strerror(code).lower())
    return sock


def connect_error(sock: socket.socket) -> str | None:
    """Why a connection begun with :func:`connect` failed; None if it stands."""
    code = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
    return os.strerror(code).lower() if code else None


def tune(sock: socket.socket) -> None:
    """Options for a socket that stays open for days."""
    if sock.family == socket.AF_UNIX:
        return
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    # Mongrel2 sends no heartbeats: let the kernel notice a host that vanished, after about a minute.
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 30)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 10)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 3)


def _unconnected(endpoint: Endpoint) -> tuple[socket.socket, str | tuple[object, ...]]:
    if endpoint.scheme == "ipc":
        return socket.socket(socket.AF_UNIX, socket.SOCK_STREAM), endpoint.address
    try:
        family, kind, proto, _, address = socket.getaddrinfo(endpoint.host, endpoint.port, type=socket.SOCK_STREAM)[0]
    except OSError as error:
        raise TransportError(f"cannot resolve {endpoint.host}: {error.strerror}") from None
    except UnicodeError:  # the idna codec refuses labels that are empty or longer than 63 letters
        raise TransportError(f"cannot resolve {endpoint.host}: not a host name") from None
    sock = socket.socket(family, kind, proto)
    tune(sock)
    return sock, address
