"""How many connections wait at a listening socket."""

from __future__ import annotations

import os
import socket
import struct
from typing import TYPE_CHECKING, Final, NamedTuple

from m2serve.wire import sockdiag

if TYPE_CHECKING:
    from m2serve.door import Door

_TCP_INFO_QUEUE: Final = 24
"""Of a listening socket ``tcpi_unacked``, which stands here, is the length of its queue and the next word its limit."""
_SO_MEMINFO: Final = 55
_DROPS: Final = 8
"""Index of SK_MEMINFO_DROPS: a listening socket counts connections that it had no room for."""
_ANSWER: Final = 4096


class Backlog(NamedTuple):
    """What is known; 0 where nothing is."""

    waiting: int = 0
    most: int = 0
    dropped: int = 0
    """Attempts to connect that found the queue full, so far; each client makes several. Known of TCP sockets with
    no-defer-accept only: else the kernel counts other things, too, and of Unix sockets nothing."""


def backlog(door: Door) -> Backlog:
    """Never waits, never raises."""
    try:
        return _unix(door.fd) if door.family == socket.AF_UNIX else _tcp(door)
    except (OSError, struct.error):
        return Backlog()


def _tcp(door: Door) -> Backlog:
    sock = socket.socket(door.family, socket.SOCK_STREAM, 0, door.fd)
    try:
        info = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 104)
        memory = sock.getsockopt(socket.SOL_SOCKET, _SO_MEMINFO, 64)
        if sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_DEFER_ACCEPT):
            memory = b""  # each connection that was kept back is among those
    finally:
        sock.detach()
    waiting, most = struct.unpack_from("=2I", info, _TCP_INFO_QUEUE)
    drops = struct.unpack_from("=I", memory, 4 * _DROPS) if len(memory) > 4 * _DROPS else (0,)
    return Backlog(waiting, most, drops[0])


def _unix(fd: int) -> Backlog:
    """The kernel answers while it is asked."""
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_NONBLOCK, sockdiag.NETLINK_SOCK_DIAG) as kernel:
        kernel.send(sockdiag.question(os.fstat(fd).st_ino))
        found = sockdiag.answer(kernel.recv(_ANSWER))
    return Backlog() if found is None else Backlog(found.waiting, found.most)
