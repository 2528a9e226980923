"""The uwsgi protocol: one packet of variables, the body behind it, an HTTP answer, and the end of the connection.

A packet is ``u8 modifier1, u16 size, u8 modifier2`` and pairs of ``u16 length, bytes``, little-endian. Modifiers other
than 0 were orders to uWSGI's plugins, the evaluation of code among them. None is obeyed.

Source: uwsgi-docs, Protocol.rst; seen on the wire of nginx 1.22 and uWSGI 2.0.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from m2serve.errors import RemoteProtocolError
from m2serve.wire.buffered import Buffered
from m2serve.wire.cgi import Reader
from m2serve.wire.door import Head

if TYPE_CHECKING:
    from collections.abc import Sequence

    from m2serve.wire.door import Limits, Peer

_REQUESTS = (0, 30)
"""30: a request whose SCRIPT_NAME is to be taken off PATH_INFO, which is done to all that need it."""
_PING = b"\x64\x00\x00\x00"
_PONG = b"\x64\x00\x00\x01"
_MOST_PINGS = 64
"""On one connection; who monitors a server sends one."""
_LOOKS_LIKE_HTTP = re.compile(rb"[A-Z]{3}[A-Z ]")


def pairs(block: bytes) -> list[tuple[bytes, bytes]]:
    """Take a packet's block apart.

    Raises: RemoteProtocolError: its lengths do not add up.
    """
    found = []
    at, end = 0, len(block)
    try:
        while at < end:
            middle = at + 2 + (block[at] | block[at + 1] << 8)
            last = middle + 2 + (block[middle] | block[middle + 1] << 8)
            found.append((block[at + 2 : middle], block[middle + 2 : last]))
            at = last
    except IndexError:
        at = end + 1
    if at != end:
        raise RemoteProtocolError("a uwsgi packet with lengths that do not add up")
    return found


class UwsgiDoor:
    """What the connections of one door share."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.reader = Reader(b"uwsgi", pairs, whole_path=False)

    def connection(self, peer: Peer) -> Uwsgi:
        """The codec of a new connection."""
        return Uwsgi(self, peer)


class Uwsgi(Buffered):
    """One connection; see :class:`m2serve.wire.door.Codec`."""

    __slots__ = ("_door", "_peer", "_pings", "_reply")

    def __init__(self, door: UwsgiDoor, peer: Peer) -> None:
        super().__init__()
        self._door = door
        self._peer = peer
        self._reply = b""
        self._pings = 0

    def head(self) -> Head | None:
        """The request; None: it has not all come.

        Raises: RemoteProtocolError: it is refused.
        """
        data = self._buffer
        while data.startswith(_PING):
            self._pings += 1
            if self._pings > _MOST_PINGS:
                raise RemoteProtocolError("a peer that sends nothing but pings", status=0)
            self._reply += _PONG
            data = self._buffer = data[4:]
        if len(data) < 4:
            return None
        size = data[1] | data[2] << 8
        if data[0] not in _REQUESTS:
            self._refuse(data[:4])
        if size > self._door.limits.head:
            limit = self._door.limits.head
            raise RemoteProtocolError(f"a uwsgi packet of {size} bytes, more than buffer-size={limit}", status=431)
        if len(data) < size + 4:
            return None
        request, block = self._door.reader.read(data[4 : size + 4], self._peer)
        if block.length is None and block.coded:
            raise RemoteProtocolError("a chunked body that the front end has not collected", status=411)
        self._buffer = data[size + 4 :]
        self._within = True
        self._left = block.length or 0
        self.ended = not self._left
        return Head(request, self._left)

    def _refuse(self, header: bytes) -> None:
        if _LOOKS_LIKE_HTTP.match(header):
            raise RemoteProtocolError("HTTP at a uwsgi door (http-socket is the option for it)", status=0)
        if header.startswith(b"\x16\x03"):
            raise RemoteProtocolError("TLS at a uwsgi door", status=0)
        raise RemoteProtocolError(f"modifier {header[0]} of uwsgi is not served", status=0)

    def reply(self) -> bytes:
        """The answer to pings."""
        reply, self._reply = self._reply, b""
        return reply

    def next(self) -> None:
        """The request is over, and with it the connection: what else comes is another one's business."""
        super().next()
        self._buffer = b""

    def answer(self, parts: Sequence[bytes]) -> Sequence[bytes]:
        """As it is: front ends read HTTP here."""
        return parts
