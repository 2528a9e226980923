"""Dispatcher ↔ worker messages on the crew link: 24 bytes each, a PIECE with its bytes behind; no socket here."""

from __future__ import annotations

import struct
from enum import IntEnum
from typing import NamedTuple

from m2serve.errors import RemoteProtocolError

_FORM = struct.Struct("=BxHIQQ")
SIZE = _FORM.size


class Word(IntEnum):
    """What is said. In brackets: who says it; then what ``a`` and ``b`` hold. ``thread`` is the number of a slot, or,
    from the worker's number of threads on, of a cell for an answer without a slot."""

    HELLO = 1
    """(worker) the application is loaded; mail may come."""
    UP = 2
    """(worker) the responder of *endpoint* is subscribed; a: its generation."""
    DOWN = 3
    """(worker) the responder of *endpoint* is lost; a: its generation."""
    SYNC = 4
    """(worker) the responder is proven for the PUSH connection; a: epoch."""
    LEAVE = 5
    """(worker) send nothing more."""
    RESUME = 6
    """(dispatcher) I am new: say HELLO, UP, SYNC, LEAVE and every unanswered DETACH again as far as they
    hold."""
    PROVEN = 7
    """(dispatcher) PUSH connection a (epoch) was alive after responder generation b was up."""
    LOST = 8
    """(dispatcher) PUSH connection a (epoch) has ended: its clients have gone."""
    GONE = 9
    """(dispatcher) the client of the request in the cell *thread* has gone; a: the request's mail serial."""
    LEFT = 10
    """(dispatcher) you get nothing more."""
    PIECE = 11
    """(dispatcher) a piece of the streamed body of the request in slot *thread*; a: its mail serial; b: offset of the
    piece, and LAST_PIECE. The bytes follow."""
    CREDIT = 12
    """(dispatcher) the request in the cell *thread* may send more: its CREDIT word has grown; a: its mail serial."""
    DETACH = 13
    """(worker) the thread in slot *thread* has done its part, the answer goes on without it; a: mail serial."""
    DETACHED = 14
    """(dispatcher) the request with mail serial a, in slot *thread*, has got the cell b; b counts from the worker's
    number of threads on, as everywhere."""
    DRAINED = 15
    """(worker) the answer in the cell *thread* is over; a: its serial."""


LAST_PIECE = 1 << 63

PIECE_MOST = 64 * 1024
"""Bytes of a body behind one PIECE: several fit into the socket's buffer, which is 208 KiB on most systems."""


class CrewMessage(NamedTuple):
    """One message, decoded."""

    word: Word
    endpoint: int
    thread: int
    a: int
    b: int
    data: bytes = b""
    """Of a PIECE alone; only the last one of a body may be empty."""


def encode(word: Word, endpoint: int = 0, thread: int = 0, a: int = 0, b: int = 0) -> bytes:
    """One message for the SEQPACKET link."""
    return _FORM.pack(word, endpoint, thread, a, b)


def encode_piece(endpoint: int, thread: int, serial: int, offset: int, last: bool, data: bytes) -> bytes:
    """One PIECE: *data*, at most PIECE_MOST bytes, stands at *offset* of the body; *last*: nothing follows it."""
    return _FORM.pack(Word.PIECE, endpoint, thread, serial, offset | LAST_PIECE if last else offset) + data


def decode(data: bytes) -> CrewMessage:
    """The message in *data*.

    Raises:
        RemoteProtocolError: not a message of this codec.
    """
    try:
        number, endpoint, thread, a, b = _FORM.unpack_from(data)
        word = Word(number)
    except (struct.error, ValueError) as error:
        raise RemoteProtocolError(f"crew link: {error}") from None
    behind = data[SIZE:]
    if behind and word is not Word.PIECE:
        raise RemoteProtocolError(f"crew link: {len(behind)} bytes behind {word.name}")
    if len(behind) > PIECE_MOST:
        raise RemoteProtocolError(f"crew link: a piece of {len(behind)} bytes, at most {PIECE_MOST}")
    return CrewMessage(word, endpoint, thread, a, b, behind)
