"""FastCGI, for a responder: records of one request at a time, and of one behind the other if the web server likes.

A record is ``u8 version, u8 type, u16 id, u16 size, u8 padding, u8 reserved``, big-endian, content and padding. A
request is BEGIN, PARAMS up to an empty one, STDIN up to an empty one; its answer STDOUT, an empty one, END.

Source: FastCGI Specification 1.0 (Brown, 1996), sections 3 to 6; seen on the wire of nginx 1.22.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from m2serve.errors import RemoteProtocolError
from m2serve.wire.cgi import Reader
from m2serve.wire.door import Head
from m2serve.wire.statusline import as_cgi

if TYPE_CHECKING:
    from collections.abc import Sequence

    from m2serve.message import Request
    from m2serve.wire.door import Limits, Peer

_RECORD = struct.Struct(">BBHHBx")
_BEGIN_BODY = struct.Struct(">HB5x")
_END_BODY = struct.Struct(">IB3x")

BEGIN, ABORT, END, PARAMS, STDIN, STDOUT, STDERR, DATA, GET_VALUES, GET_VALUES_RESULT, UNKNOWN_TYPE = range(1, 12)
COMPLETE, CANNOT_MULTIPLEX, _OVERLOADED, UNKNOWN_ROLE = range(4)
_RESPONDER = 1
_KEEP = 1

_LARGEST_CONTENT = 65528
"""A multiple of 8, so that no record needs padding to have the next one aligned."""
_VALUES = {b"FCGI_MAX_CONNS": b"1024", b"FCGI_MAX_REQS": b"1024", b"FCGI_MPXS_CONNS": b"0"}
_MOST_REPLIES = 4096
"""Bytes that a peer is told of itself between two requests: more, and it only asks."""


def pairs(block: bytes) -> list[tuple[bytes, bytes]]:
    """Take the content of PARAMS apart.

    Raises: RemoteProtocolError: its lengths do not add up.
    """
    found = []
    at, end = 0, len(block)
    try:
        while at < end:
            name = block[at]
            at += 1
            if name > 127:
                name = (name & 127) << 24 | block[at] << 16 | block[at + 1] << 8 | block[at + 2]
                at += 3
            value = block[at]
            at += 1
            if value > 127:
                value = (value & 127) << 24 | block[at] << 16 | block[at + 1] << 8 | block[at + 2]
                at += 3
            middle = at + name
            found.append((block[at:middle], block[middle : middle + value]))
            at = middle + value
    except IndexError:
        at = end + 1
    if at != end:
        raise RemoteProtocolError("FastCGI parameters with lengths that do not add up")
    return found


def record(kind: int, request: int, content: bytes = b"") -> bytes:
    """One whole record of little content, without padding."""
    return _RECORD.pack(1, kind, request, len(content), 0) + content


class FastCgiDoor:
    """What the connections of one door share."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.reader = Reader(b"fastcgi", pairs, whole_path=True)

    def connection(self, peer: Peer) -> FastCgi:
        """The codec of a new connection."""
        return FastCgi(self, peer)


class FastCgi:
    """One connection; see :class:`m2serve.wire.door.Codec`."""

    __slots__ = (
        "_at",
        "_begun",
        "_buffer",
        "_door",
        "_id",
        "_keep",
        "_left",
        "_params",
        "_peer",
        "_pending",
        "_pieces",
        "_replies",
        "_said",
        "_within",
        "ended",
    )

    def __init__(self, door: FastCgiDoor, peer: Peer) -> None:
        self._door = door
        self._peer = peer
        self._buffer = b""
        self._at = 0
        """Bytes of the buffer that were read."""
        self._replies = b""
        self._said = 0
        """Bytes of replies since the latest request."""
        self._id = 0
        """Of the request that is being read or answered; 0: there is none."""
        self._keep = False
        self._within = False
        """Its head was given."""
        self._params = b""
        self._pending: Request | None = None
        """A request whose first STDIN has to say whether there is a body."""
        self._pieces: list[bytes] = []
        self._left: int | None = 0
        """Bytes of the body that are still to come; None: nobody said how many."""
        self._begun = False
        """The answer has."""
        self.ended = True

    @property
    def idle(self) -> bool:
        """Nothing of a request has come."""
        return self._at == len(self._buffer) and not self._id

    def feed(self, data: bytes) -> None:
        """The peer has sent *data*."""
        self._buffer = self._buffer[self._at :] + data
        self._at = 0

    def head(self) -> Head | None:
        """The next request; None: it has not all come.

        Raises: RemoteProtocolError: it is refused.
        """
        head = None
        while head is None and (found := self._next_record()) is not None:
            kind, request, content = found
            if kind == BEGIN:
                self._begin(request, content)
            elif kind == GET_VALUES or kind > UNKNOWN_TYPE or kind == 0:
                self._manage(kind, content)
            elif request != self._id or not self._id:
                pass  # of one that is over, or was refused
            elif kind == ABORT:
                self._abort()
            elif kind == PARAMS:
                head = self._parameters(content)
            elif kind == STDIN:
                head = self._first_input(content)
        return head

    def body(self) -> bytes:
        """What has come of the body, and was not given before.

        Raises: RemoteProtocolError: it breaks off.
        """
        while not self.ended and (found := self._next_record()) is not None:
            kind, request, content = found
            if kind == BEGIN:
                self._begin(request, content)
            elif kind == GET_VALUES or kind > UNKNOWN_TYPE or kind == 0:
                self._manage(kind, content)
            elif request == self._id and kind == ABORT:
                self._abort()
            elif request == self._id and kind == STDIN:
                self._input(content)
        data = b"".join(self._pieces)
        self._pieces.clear()
        return data

    def _next_record(self) -> tuple[int, int, bytes] | None:
        """Type, id and content of the next whole record."""
        data, at = self._buffer, self._at
        if at < len(data) and data[at] != 1:
            first = data[at]
            known = "HTTP" if chr(first).isalpha() else "TLS" if first == 0x16 else f"version {first}"
            raise RemoteProtocolError(f"not FastCGI: {known}", status=0)
        if len(data) < at + 8:
            return None
        _, kind, request, size, padding = _RECORD.unpack_from(data, at)
        end = at + 8 + size
        if len(data) < end + padding:
            return None
        self._at = end + padding
        return kind, request, data[at + 8 : end]

    def _begin(self, request: int, content: bytes) -> None:
        if len(content) != 8 or not request or request == self._id:
            raise RemoteProtocolError("not the beginning of a FastCGI request", status=0)
        role, flags = _BEGIN_BODY.unpack(content)
        if self._id:
            self._say(_end(request, CANNOT_MULTIPLEX))
        elif role != _RESPONDER:
            self._say(_end(request, UNKNOWN_ROLE))
            if not flags & _KEEP:
                raise RemoteProtocolError(f"role {role} of FastCGI is not served", status=0)
        else:
            self._id = request
            self._keep = bool(flags & _KEEP)
            self._params = b""

    def _parameters(self, content: bytes) -> Head | None:
        if self._pending is not None or self._within:
            return None
        limit = self._door.limits.head
        if len(self._params) + len(content) > limit:
            raise RemoteProtocolError(f"FastCGI parameters of more than buffer-size={limit} bytes", status=431)
        if content:
            self._params += content
            return None
        request, block = self._door.reader.read(self._params, self._peer)
        self._params = b""
        if block.length is None:
            self._pending = request
            return None
        return self._give(request, block.length)

    def _first_input(self, content: bytes) -> Head | None:
        if self._pending is None:
            raise RemoteProtocolError("a FastCGI body before its parameters")
        request = self._pending
        if not content:
            return self._give(request, 0)
        self._pieces.append(content)
        return self._give(request, None)

    def _give(self, request: Request, length: int | None) -> Head:
        self._pending = None
        self._within = True
        self._left = length
        self.ended = length == 0
        return Head(request if length == 0 else request._replace(key=b""), length, self._keep)

    def _input(self, content: bytes) -> None:
        left = self._left
        if not content:
            if left:
                raise RemoteProtocolError(f"the body is {left} bytes shorter than CONTENT_LENGTH")
            self.ended = True
            return
        if left is not None:
            content = content[:left]
            self._left = left = left - len(content)
            self.ended = not left
        self._pieces.append(content)

    def _abort(self) -> None:
        self._say(_end(self._id, COMPLETE))
        raise RemoteProtocolError("the front end has broken the request off", status=0)

    def _manage(self, kind: int, content: bytes) -> None:
        if kind != GET_VALUES:
            self._say(record(UNKNOWN_TYPE, 0, bytes((kind, 0, 0, 0, 0, 0, 0, 0))))
            return
        told = b""
        for name, _ in pairs(content):
            if (value := _VALUES.get(name)) is not None and name not in told:
                told += bytes((len(name), len(value))) + name + value
        self._say(record(GET_VALUES_RESULT, 0, told))

    def _say(self, reply: bytes) -> None:
        self._said += len(reply)
        if self._said > _MOST_REPLIES:
            raise RemoteProtocolError("a peer that asks, and has no request", status=0)
        self._replies += reply

    def reply(self) -> bytes:
        """What the records that are about no request of ours are answered with."""
        replies, self._replies = self._replies, b""
        return replies

    def next(self) -> None:
        """The request is over; what is left of its body is skipped when it comes."""
        self._id = 0
        self._said = 0
        self._within = self._begun = False
        self._pending = None
        self._pieces.clear()
        self._left = 0
        self.ended = True

    def answer(self, parts: Sequence[bytes]) -> Sequence[bytes]:
        """Records of STDOUT."""
        if not self._begun:
            self._begun = True
            parts = as_cgi(parts)
        number = self._id or 1
        size = sum(map(len, parts))
        if not size:
            return ()
        if size <= _LARGEST_CONTENT:
            return (_RECORD.pack(1, STDOUT, number, size, 0), *parts)
        data = memoryview(b"".join(parts))
        records: list[bytes] = []
        for at in range(0, size, _LARGEST_CONTENT):
            content = bytes(data[at : at + _LARGEST_CONTENT])
            records += (_RECORD.pack(1, STDOUT, number, len(content), 0), content)
        return records

    def end(self) -> bytes:
        """The end of the output, and of the request."""
        number = self._id or 1
        return record(STDOUT, number) + _end(number, COMPLETE)


def _end(request: int, status: int) -> bytes:
    return record(END, request, _END_BODY.pack(0, status))
