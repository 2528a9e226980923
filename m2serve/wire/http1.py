"""HTTP/1.1 at a door of ours: heads, bodies, one request behind the other.

Any cutting of the bytes gives the same requests, and the same refusals.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from m2serve.errors import RemoteProtocolError
from m2serve.message import Request
from m2serve.wire.buffered import Buffered
from m2serve.wire.chunked import Chunks
from m2serve.wire.door import Head
from m2serve.wire.httphead import find_control, parse
from m2serve.wire.memo import Memo, Sightings

if TYPE_CHECKING:
    from collections.abc import Sequence

    from m2serve.message import Headers
    from m2serve.trusted import Trusted
    from m2serve.wire.door import Limits, Peer

_new = tuple.__new__

# What is kept: a head without a body, of this size at most.
_REPEATS = 512
_LARGEST_REPEAT = 4096
_MOST_EMPTY_LINES = 8
"""CR LFs before a request: some clients send one behind a body (RFC 9112, section 2.2)."""
_FIRST = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]")


class _Known(NamedTuple):
    """A head that was seen before."""

    path: bytes
    headers: Headers
    key: bytes
    keep: bool
    forwarded: bool


class Http1Door:
    """What the connections of one door share: the heads that come again and again.

    Threads: any.
    """

    def __init__(self, limits: Limits, trusted: Trusted) -> None:
        self.limits = limits
        self.trusted = trusted
        self.known: Memo[bytes, _Known] = Memo(_REPEATS)
        self.seen = Sightings()

    def connection(self, peer: Peer) -> Http1:
        """The codec of a new connection."""
        return Http1(self, peer)


class Http1(Buffered):
    """One connection; see :class:`m2serve.wire.door.Codec`."""

    __slots__ = (
        "_chunks",
        "_conn_id",
        "_door",
        "_empty_lines",
        "_looked",
        "_peer",
        "_prefix",
        "_recall",
        "_sender",
    )

    def __init__(self, door: Http1Door, peer: Peer) -> None:
        super().__init__()
        self._door = door
        self._recall = door.known.get
        self._peer = peer
        self._sender = peer.sender
        self._conn_id = peer.conn_id
        # no message of Mongrel2 begins with a NUL, and none of the parts has one
        self._prefix = b"\0http\0%b\0%d%b:%d\0" % (
            peer.address,
            peer.tls,
            peer.local[0].encode("utf-8", "surrogateescape"),
            peer.local[1],
        )
        self._looked = 0
        """Bytes of the buffer in which the head does not end, and nothing is wrong with them."""
        self._empty_lines = 0
        self._chunks: Chunks | None = None

    def head(self) -> Head | None:
        """The next request; None: it has not all come.

        Raises: RemoteProtocolError: it is refused.
        """
        data = self._buffer
        size = data.find(b"\r\n\r\n", max(self._looked - 3, 0)) + 4
        key = self._prefix + (data if size == len(data) else data[:size])
        known = self._recall(key)
        if known is None:
            return self._read()
        path, headers, key, keep, forwarded = known
        self._buffer = data[size:]
        self._looked = 0
        self._within = True
        port = 0 if forwarded else self._peer.port
        request = _new(Request, (self._sender, self._conn_id, path, headers, b"", key, None, port))
        return _new(Head, (request, 0, keep, False))

    def _read(self) -> Head | None:
        if self._buffer[:1] == b"\r" and not self._skip_empty_lines():
            return None
        data = self._buffer
        end = data.find(b"\r\n\r\n", max(self._looked - 3, 0)) + 4
        if end == 3 or end > self._door.limits.head:
            self._judge_beginning(data)
            return None
        raw = data[:end]
        path, headers, length, keep, expects, forwarded = parse(raw, self._peer, self._door.limits, self._door.trusted)
        self._buffer = data[end:]
        self._looked = 0
        self._within = True
        if length is None:
            self._chunks = Chunks(self._door.limits)
            self.ended = False
        elif length:
            self._left = length
            self.ended = False
        key = self._remember(raw, path, headers, keep, forwarded) if length == 0 and end <= _LARGEST_REPEAT else b""
        port = 0 if forwarded else self._peer.port
        request = Request(self._sender, self._conn_id, path, headers, b"", key, None, port)
        return Head(request, length, keep, expects)

    def _remember(self, raw: bytes, path: bytes, headers: Headers, keep: bool, forwarded: bool) -> bytes:
        """Keep a head that comes for the second time; gives its key, or nothing."""
        key = self._prefix + raw
        if not self._door.seen.again(key):
            return b""
        self._door.known.put(key, _Known(path, headers, key, keep, forwarded))
        return key

    def _skip_empty_lines(self) -> bool:
        """Returns: False: no more has come."""
        data = self._buffer
        while data.startswith(b"\r\n"):
            data = data[2:]
            self._empty_lines += 1
            if self._empty_lines > _MOST_EMPTY_LINES:
                raise RemoteProtocolError("empty lines in place of a request")
        self._buffer = data
        self._looked = 0
        return data not in (b"", b"\r")

    def _judge_beginning(self, data: bytes) -> None:
        """Refuse a head that can only become worse, without waiting for its end."""
        if not data:
            return
        limit = self._door.limits.head
        end = min(len(data), limit)
        if not _FIRST.match(data):
            raise RemoteProtocolError(
                "TLS at a door without it" if data[:1] == b"\x16" else f"not a request line: {data[:40]!r}"
            )
        if find_control(data, max(self._looked - 1, 0), end):
            raise RemoteProtocolError("a control character in a head, or a line that does not end with CR LF")
        self._looked = end
        if len(data) > limit:
            if data.find(b"\r\n", 0, limit) < 0:
                raise RemoteProtocolError(f"a request line longer than {limit} bytes", status=414)
            raise RemoteProtocolError(f"a head longer than {limit} bytes", status=431)

    def body(self) -> bytes:
        """What has come of the body, decoded, and was not given before.

        Raises: RemoteProtocolError: its chunks are none.
        """
        if not self._buffer or self.ended:
            return b""
        if self._chunks is None:
            return super().body()
        data, self._buffer = self._chunks.decode(self._buffer)
        self.ended = self._chunks.ended
        return data

    def next(self) -> None:
        """The request is over."""
        super().next()
        self._empty_lines = 0
        self._chunks = None

    def answer(self, parts: Sequence[bytes]) -> Sequence[bytes]:
        """As it is: the gateway writes HTTP."""
        return parts
