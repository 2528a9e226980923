"""How many bytes of a connection were taken into the ring, when a predecessor died amid taking some.

The kernel counts in both cases. TCP says what has arrived. A Unix socket has an offset for peeking, SO_PEEK_OFF, which
goes down by every byte that is read: set to a large number, and never used to peek, it is a counter.
"""

from __future__ import annotations

import array
import fcntl
import os
import socket
import struct
import termios
from typing import Final

from m2serve.errors import TransportError
from m2serve.transports import ledger

BATCH: Final = 256 * 1024
"""Bytes taken at once."""
ARM_AFTER: Final = 1 << 30
"""Bytes after which the count of a Unix socket has to begin anew: it would reach 0 at some time."""
_FULL: Final = (1 << 31) - 1
_SO_PEEK_OFF: Final = 42  # asm-generic/socket.h; Python has no name for it
_TCPI_BYTES_RECEIVED: Final = 128  # offset in struct tcp_info, linux/tcp.h
_FIN_TO_COME: Final = (1, 4, 5)
"""TCP states (include/net/tcp_states.h) before the peer's FIN: ESTABLISHED, FIN_WAIT1, FIN_WAIT2."""


def arm(sock: socket.socket, words: memoryview) -> None:
    """Have the kernel count what is read from a Unix socket from here on; the ledger is in step with it."""
    # in this order: a count that is full when bytes were taken since ARMED tells that we died in between
    sock.setsockopt(socket.SOL_SOCKET, _SO_PEEK_OFF, _FULL)
    words[ledger.ARMED] = words[ledger.RECEIVED]


def recount(sock: socket.socket, words: memoryview, *, is_unix: bool) -> None:
    """Find out what the predecessor had taken from the socket when it died.

    Raises:
        TransportError: the connection is broken, or the ledger cannot be right.
    """
    known = words[ledger.RECEIVED]
    received = _taken_of_unix(sock, words) if is_unix else _taken_of_tcp(sock, words)
    if not known <= received <= known + BATCH:
        raise TransportError(f"ledger says {known} bytes, kernel {received}")
    words[ledger.RECEIVED] = received
    if is_unix:
        arm(sock, words)


def _taken_of_unix(sock: socket.socket, words: memoryview) -> int:
    left = struct.unpack("i", sock.getsockopt(socket.SOL_SOCKET, _SO_PEEK_OFF, 4))[0]
    if left == _FULL:  # nothing was taken since, or it died while it armed
        return int(words[ledger.RECEIVED])
    return int(words[ledger.ARMED]) + _FULL - int(left)


def _taken_of_tcp(sock: socket.socket, words: memoryview) -> int:
    unread, info = -1, b""
    while unread != (unread := _unread(sock)):  # else more came between the two: they do not belong together
        info = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 256)
    arrived = struct.unpack_from("Q", info, _TCPI_BYTES_RECEIVED)[0]
    received = arrived - unread - words[ledger.OPENING]
    if info[0] not in _FIN_TO_COME:
        error = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if error:
            raise TransportError(os.strerror(error).lower())
        received -= 1  # the peer's FIN counts as a byte that has arrived, but not as one that is unread
    return int(received)


def _unread(sock: socket.socket) -> int:
    """Bytes that have arrived and were not read."""
    count = array.array("i", [0])
    fcntl.ioctl(sock, termios.FIONREAD, count)
    return count[0]
