"""Listening sockets: bound, inherited, and the files that Unix sockets leave."""

from __future__ import annotations

import errno
import os
import socket
import stat
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from m2serve.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable

    from m2serve.config.addresses import SocketAddress

_IP_FREEBIND = 15
"""linux/in.h; the module socket has no name for it before Python 3.12."""

_DEFER: Final = 3
"""Seconds; then it is to be accepted though its client is silent. The kernel rounds up to its retransmissions."""

Inode = tuple[int, int]
"""Device and number: whether a path still leads to the same file."""


@dataclass(frozen=True)
class Manner:
    """How to listen."""

    backlog: int = 128
    mode: int | None = None
    """Of a Unix socket's file; None: umask decides."""
    own: Callable[[str], None] | None = None
    """Gives the file to somebody."""
    reuse_port: bool = False
    freebind: bool = False
    keepalive: bool = False
    """Of accepted connections, too: they get both from their listener."""
    nodelay: bool = False
    defer: bool = False
    """Leave a connection with the kernel until its client has said something."""
    only_v6: bool = False
    """An IPv6 wildcard leaves the port to IPv4's."""


def listen(address: SocketAddress, manner: Manner) -> socket.socket:
    """A socket that listens there, non-blocking and close-on-exec.

    Raises: ConfigError: somebody else listens there, or nobody can.
    """
    try:
        listener = socket.socket(address.family, socket.SOCK_STREAM)
    except OSError as error:
        raise ConfigError(f"cannot listen: {error.strerror}") from error
    try:
        if address.family == socket.AF_UNIX:
            if address.is_file:
                make_room(address.path)
            listener.bind(address.address)
            if address.is_file:
                _furnish(address.path, manner)
        else:
            _set_options(listener, manner)
            listener.bind(address.address)
        listener.listen(manner.backlog)
    except OSError as error:
        listener.close()
        # A name that cannot be looked up has no strerror of its own.
        raise ConfigError(f"cannot listen: {error.strerror or error}{_hint(error, address)}") from error
    except ConfigError:
        listener.close()
        raise
    listener.setblocking(False)
    return listener


def _hint(error: OSError, address: SocketAddress) -> str:
    if error.errno == errno.EACCES and not address.path:
        return "; ports below 1024 are root's, who gives up his rights with uid"
    if error.errno == errno.EADDRNOTAVAIL:
        return "; expected an address of this host, or freebind"
    return ""


def adopt(fd: int, manner: Manner) -> socket.socket:
    """A socket that whoever started us has left open, made to listen.

    Raises: ConfigError: it is none.
    """
    try:
        listener = socket.socket(fileno=fd)
        if listener.type != socket.SOCK_STREAM or listener.family not in (
            *(socket.AF_INET, socket.AF_INET6),
            socket.AF_UNIX,
        ):
            listener.detach()
            raise ConfigError("expected a stream socket, of TCP or Unix")
        # The length of its queue is ours to say, as in uWSGI.
        listener.listen(manner.backlog)
        if listener.family != socket.AF_UNIX:
            _set_streams(listener, manner)
    except OSError as error:
        raise ConfigError(f"expected a socket that listens: {error.strerror}") from error
    listener.set_inheritable(False)
    listener.setblocking(False)
    return listener


def _set_options(listener: socket.socket, manner: Manner) -> None:
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if manner.reuse_port:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    if manner.freebind:
        listener.setsockopt(socket.IPPROTO_IP, _IP_FREEBIND, 1)
    if listener.family == socket.AF_INET6:
        listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, int(manner.only_v6))
    _set_streams(listener, manner)


def _set_streams(listener: socket.socket, manner: Manner) -> None:
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, int(manner.keepalive))
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, int(manner.nodelay))
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_DEFER_ACCEPT, _DEFER if manner.defer else 0)


def _furnish(path: str, manner: Manner) -> None:
    """Nobody can connect yet: it does not listen."""
    if manner.own is not None:
        manner.own(path)
    if manner.mode is not None:
        os.chmod(path, manner.mode)


def name_of(listener: socket.socket) -> str:
    """Where it listens, as people write it."""
    bound = listener.getsockname()
    if listener.family == socket.AF_UNIX:
        name = os.fsdecode(bound)
        return "@" + name[1:] if name.startswith("\0") else name
    return f"[{bound[0]}]:{bound[1]}" if listener.family == socket.AF_INET6 else f"{bound[0]}:{bound[1]}"


def inode(path: str) -> Inode | None:
    """Which file is there."""
    try:
        found = os.stat(path, follow_symlinks=False)
    except OSError:
        return None
    return (found.st_dev, found.st_ino)


def remove(path: str, was: Inode | None) -> bool:
    """Remove a socket's file, if it is still the one that it was; False: it is, and cannot be removed."""
    if was is not None and inode(path) == was:
        try:
            os.unlink(path)
        except OSError:
            return False
    return True


def make_room(path: str) -> None:
    """Remove a socket that nobody listens at any more, as a killed server leaves it.

    Raises: ConfigError: somebody listens there, or it is no socket.
    """
    try:
        found = os.stat(path, follow_symlinks=False)
    except OSError:
        return  # bind says what is wrong
    if not stat.S_ISSOCK(found.st_mode):
        raise ConfigError("cannot listen: there is a file that is no socket")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)
        try:
            probe.connect(path)
        except ConnectionRefusedError:
            pass
        except BlockingIOError:
            raise ConfigError("cannot listen: somebody else does, and his queue is full") from None
        except OSError as error:
            raise ConfigError(f"cannot listen: there is a socket that cannot be asked: {error.strerror}") from error
        else:
            raise ConfigError("cannot listen: somebody else does")
    remove(path, (found.st_dev, found.st_ino))
