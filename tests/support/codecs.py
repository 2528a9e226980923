"""Connections to a door's codec without a socket: bytes in, what an engine would make of them out."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from m2serve.errors import RemoteProtocolError
from m2serve.trusted import LOCAL
from m2serve.wire.door import Limits, Peer
from m2serve.wire.kinds import codec_factory

if TYPE_CHECKING:
    from collections.abc import Iterable

    from m2serve.door import DoorProtocol
    from m2serve.message import Request
    from m2serve.trusted import Trusted
    from m2serve.wire.door import Codec, CodecFactory, Head

PEER = Peer(b"127.0.0.1", 4711, False, ("127.0.0.1", 8080), b"door", b"7")


class Got(NamedTuple):
    """A request, whole."""

    request: Request
    length: int | None
    keep: bool
    expects: bool
    body: bytes


class Seen(NamedTuple):
    """What became of a connection's bytes."""

    requests: list[Got]
    refused: int | None
    """The status; None: nothing was."""
    replies: bytes
    idle: bool
    """Nothing was refused, and nothing is left that waits for more."""


class Connection:
    """Does what an engine does, but for answers."""

    def __init__(self, codec: Codec) -> None:
        self.codec = codec
        self.requests: list[Got] = []
        self.refused: int | None = None
        self.why = ""
        self.replies = b""
        self._head: Head | None = None
        self._body = b""

    def feed(self, data: bytes) -> None:
        """Some bytes have come: take all that they make whole."""
        if self.refused is not None:
            return
        self.codec.feed(data)
        try:
            while self._step():
                pass
        except RemoteProtocolError as error:
            self.refused = error.status
            self.why = str(error)
        self.replies += self.codec.reply()

    def _step(self) -> bool:
        if self._head is None:
            self._head = self.codec.head()
            self._body = b""
            return self._head is not None
        self._body += self.codec.body()
        if not self.codec.ended:
            return False
        self.requests.append(Got(*self._head, self._body))
        self._head = None
        self.codec.next()
        return True

    def seen(self) -> Seen:
        """All that has happened."""
        return Seen(self.requests, self.refused, self.replies, self.refused is None and self.codec.idle)


def factory(protocol: DoorProtocol, *, trusted: Trusted = LOCAL, **limits: int) -> CodecFactory:
    """As a worker has it for one door."""
    return codec_factory(protocol, Limits(**limits), trusted)


def read(
    protocol: DoorProtocol | CodecFactory, pieces: bytes | Iterable[bytes], peer: Peer = PEER, **limits: int
) -> Seen:
    """What a new connection makes of some bytes."""
    make = factory(protocol, **limits) if isinstance(protocol, str) else protocol
    connection = Connection(make(peer))
    for piece in [pieces] if isinstance(pieces, bytes) else pieces:
        connection.feed(piece)
    return connection.seen()


def refusal(protocol: DoorProtocol, data: bytes, peer: Peer = PEER, **limits: int) -> tuple[int | None, str]:
    """Status and reason of a refusal."""
    connection = Connection(factory(protocol, **limits)(peer))
    connection.feed(data)
    return connection.refused, connection.why


def uwsgi_packet(variables: dict[str, str], modifier: int = 0) -> bytes:
    """A packet as nginx sends it."""
    block = b"".join(
        len(word).to_bytes(2, "little") + word
        for pair in variables.items()
        for word in (pair[0].encode("latin-1"), pair[1].encode("latin-1"))
    )
    return bytes((modifier,)) + len(block).to_bytes(2, "little") + b"\0" + block


def scgi_packet(variables: dict[str, str], body: bytes = b"") -> bytes:
    """A request as nginx sends it: the length first."""
    words = [("CONTENT_LENGTH", str(len(body))), *variables.items()]
    block = "".join(f"{name}\0{value}\0" for name, value in words).encode("latin-1")
    return b"%d:%b," % (len(block), block) + body


def fastcgi_record(kind: int, content: bytes = b"", request: int = 1, padding: int = 0) -> bytes:
    """One record."""
    header = bytes((1, kind)) + request.to_bytes(2, "big") + len(content).to_bytes(2, "big") + bytes((padding, 0))
    return header + content + b"\xee" * padding


def fastcgi_pairs(variables: dict[str, str]) -> bytes:
    """The content of PARAMS; long words with lengths of four bytes."""

    def size(word: bytes) -> bytes:
        return bytes((len(word),)) if len(word) < 128 else (len(word) | 1 << 31).to_bytes(4, "big")

    words = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in variables.items()]
    return b"".join(size(name) + size(value) + name + value for name, value in words)


def fastcgi_request(
    variables: dict[str, str], body: bytes = b"", *, request: int = 1, keep: bool = False, cut: int = 65535
) -> bytes:
    """A whole request as nginx sends it; *cut* is the most that a record holds."""
    params = fastcgi_pairs(variables)
    records = [fastcgi_record(1, bytes((0, 1, keep, 0, 0, 0, 0, 0)), request)]
    for kind, data in ((4, params), (5, body)):
        for at in range(0, len(data), cut):
            piece = data[at : at + cut]
            records.append(fastcgi_record(kind, piece, request, -len(piece) % 8))
        records.append(fastcgi_record(kind, b"", request))
    return b"".join(records)
