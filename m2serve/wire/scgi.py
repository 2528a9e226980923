"""SCGI: a netstring of variables, the body behind it, an answer as CGI has it, and the end of the connection.

Source: https://python.ca/scgi/protocol.txt; seen on the wire of nginx 1.22.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from m2serve.errors import RemoteProtocolError
from m2serve.wire.buffered import Buffered
from m2serve.wire.cgi import Reader
from m2serve.wire.door import Head
from m2serve.wire.statusline import as_cgi

if TYPE_CHECKING:
    from collections.abc import Sequence

    from m2serve.wire.door import Limits, Peer

_SIZE = re.compile(rb"([1-9][0-9]{0,8}):")
_BEGINNING = re.compile(rb"[1-9][0-9]{0,8}")


def pairs(block: bytes) -> list[tuple[bytes, bytes]]:
    """Take a head apart.

    Raises: RemoteProtocolError: it is none of SCGI's.
    """
    words = block.split(b"\0")
    if words.pop() or len(words) % 2:
        raise RemoteProtocolError("an SCGI head that is not made of pairs")
    found = list(zip(words[::2], words[1::2], strict=True))
    if not found or found[0][0] != b"CONTENT_LENGTH" or not found[0][1]:
        raise RemoteProtocolError("an SCGI head that does not begin with CONTENT_LENGTH")
    if (b"SCGI", b"1") not in found:
        raise RemoteProtocolError("an SCGI head without SCGI=1")
    return found


class ScgiDoor:
    """What the connections of one door share."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.reader = Reader(b"scgi", pairs, whole_path=True)

    def connection(self, peer: Peer) -> Scgi:
        """The codec of a new connection."""
        return Scgi(self, peer)


class Scgi(Buffered):
    """One connection; see :class:`m2serve.wire.door.Codec`."""

    __slots__ = ("_begun", "_door", "_peer")

    def __init__(self, door: ScgiDoor, peer: Peer) -> None:
        super().__init__()
        self._door = door
        self._peer = peer
        self._begun = False
        """The answer has."""

    def head(self) -> Head | None:
        """The request; None: it has not all come.

        Raises: RemoteProtocolError: it is refused.
        """
        data = self._buffer
        match = _SIZE.match(data)
        if match is None:
            if data and not _BEGINNING.fullmatch(data):
                raise RemoteProtocolError(f"not SCGI: {data[:20]!r}", status=0)
            return None
        size, start = int(match[1]), match.end()
        if size > self._door.limits.head:
            limit = self._door.limits.head
            raise RemoteProtocolError(f"an SCGI head of {size} bytes, more than buffer-size={limit}", status=431)
        end = start + size
        if len(data) <= end:
            return None
        if data[end] != 0x2C:
            raise RemoteProtocolError("an SCGI head without a comma behind it")
        request, block = self._door.reader.read(data[start:end], self._peer)
        self._buffer = data[end + 1 :]
        self._within = True
        self._left = block.length or 0
        self.ended = not self._left
        return Head(request, self._left)

    def next(self) -> None:
        """The request is over, and with it the connection: what else comes is another one's business."""
        super().next()
        self._begun = False
        self._buffer = b""

    def answer(self, parts: Sequence[bytes]) -> Sequence[bytes]:
        """The first piece has its status line exchanged."""
        if self._begun:
            return parts
        self._begun = True
        return as_cgi(parts)
