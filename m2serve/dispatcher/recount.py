"""How many bytes of a connection were taken into the ring, when a predecessor died amid taking some.

TCP counts for us; a Unix socket is peeked first, and consumed when the ledger knows.
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
SO_PEEK_OFF: Final = 42  # asm-generic/socket.h; Python has no name for it
_TCPI_BYTES_RECEIVED: Final = 128  # offset in struct tcp_info, linux/tcp.h
_FIN_TO_COME: Final = (1, 4, 5)
"""TCP states (include/net/tcp_states.h) before the peer's FIN: ESTABLISHED, FIN_WAIT1, FIN_WAIT2."""


def consume(sock: socket.socket, words: memoryview, count: int) -> None:
    """Remove from a Unix socket what the ledger has."""
    while count:
        gone = len(sock.recv(count))
        words[ledger.CONSUMED] += gone
        count -= gone


def recount(sock: socket.socket, words: memoryview, *, is_unix: bool) -> None:
    """Find out what the predecessor had taken from the socket when it died."""
    if is_unix:
        peeked = struct.unpack("i", sock.getsockopt(socket.SOL_SOCKET, SO_PEEK_OFF, 4))[0]
        behind = words[ledger.RECEIVED] - words[ledger.CONSUMED]
        if peeked and behind:  # died before it had consumed, or amid: the kernel counts down as bytes go
            consume(sock, words, min(peeked, behind))
        words[ledger.CONSUMED] = words[ledger.RECEIVED]  # it may have died before it noted that
        sock.setsockopt(socket.SOL_SOCKET, SO_PEEK_OFF, 0)
        return
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
    if not words[ledger.RECEIVED] <= received <= words[ledger.RECEIVED] + BATCH:
        raise TransportError(f"ledger says {words[ledger.RECEIVED]} bytes, kernel {received}")
    words[ledger.RECEIVED] = received


def _unread(sock: socket.socket) -> int:
    """Bytes that have arrived and were not read."""
    count = array.array("i", [0])
    fcntl.ioctl(sock, termios.FIONREAD, count)
    return count[0]
