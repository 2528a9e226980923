"""What the kernel says of one Unix socket: the question and the answer of sock_diag(7), netlink without its library.

Numbers are in the machine's own order, as for everything that does not leave it.
"""

from __future__ import annotations

import struct
from typing import Final, NamedTuple

NETLINK_SOCK_DIAG: Final = 4
"""The protocol of the netlink socket that this goes over."""

_BY_FAMILY: Final = 20
"""SOCK_DIAG_BY_FAMILY; answers have the same type."""
_REQUEST: Final = 1
_AF_UNIX: Final = 1
_SHOW_RQLEN: Final = 0x10
_RQLEN: Final = 4
_ANY_STATE: Final = 0xFFFFFFFF
_NO_COOKIE: Final = 0xFFFFFFFF

_HEADER = struct.Struct("=IHHII")
_QUESTION = struct.Struct("=BBHIIIII")
_ANSWER = struct.Struct("=BBBBIII")
_ATTRIBUTE = struct.Struct("=HH")
_LENGTHS = struct.Struct("=II")


class Lengths(NamedTuple):
    """Of a listening socket's queue."""

    waiting: int
    """Connections that nobody has accepted yet."""
    most: int
    """The backlog."""


def question(inode: int) -> bytes:
    """About the socket with that inode number, as fstat(2) tells it of its descriptor."""
    body = _QUESTION.pack(_AF_UNIX, 0, 0, _ANY_STATE, inode & 0xFFFFFFFF, _SHOW_RQLEN, _NO_COOKIE, _NO_COOKIE)
    return _HEADER.pack(_HEADER.size + len(body), _BY_FAMILY, _REQUEST, 1, 0) + body


def answer(data: bytes) -> Lengths | None:
    """What the kernel says; None: it does not know, or not how to say it."""
    if len(data) < _HEADER.size:
        return None
    length, kind, *_ = _HEADER.unpack_from(data)
    if kind != _BY_FAMILY or length > len(data):
        return None
    at = _HEADER.size + _ANSWER.size
    while at + _ATTRIBUTE.size <= length:
        size, name = _ATTRIBUTE.unpack_from(data, at)
        if size < _ATTRIBUTE.size:
            return None
        if name == _RQLEN and at + _ATTRIBUTE.size + _LENGTHS.size <= length:
            return Lengths(*_LENGTHS.unpack_from(data, at + _ATTRIBUTE.size))
        at += (size + 3) & ~3
    return None
