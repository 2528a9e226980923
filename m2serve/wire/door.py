"""What a stream protocol has to say about a connection: bytes to requests, answers to bytes. No input or output here.

Doors are the sockets that m2serve itself listens at. Their protocols differ; what is done with them does not.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import TypeAlias

    from m2serve.message import Request


class Head(NamedTuple):
    """A request as far as it is known before its body."""

    request: Request
    """Its body is empty here."""
    length: int | None = 0
    """Bytes of the body; None: it ends where the protocol says so."""
    keep: bool = False
    """Another request may follow on the connection."""
    expects: bool = False
    """The client waits for ``100 Continue`` before it sends the body."""


class Limits(NamedTuple):
    """What is refused while it is being read."""

    head: int = 32 * 1024
    """Bytes of a request line and its headers, or of a block of variables (buffer-size): beyond it 431, 414."""
    fields: int = 128
    """Headers of a request: beyond it 431."""
    chunk: int = 0
    """Bytes of one chunk of a body (chunked-input-limit): beyond it 413; 0: any number."""


class Peer(NamedTuple):
    """Who is at the other end, and at which door."""

    address: bytes = b""
    """The IP address as text; empty for Unix sockets."""
    port: int = 0
    tls: bool = False
    local: tuple[str, int] = ("", 0)
    """The door's own address: what a request without Host is for."""
    sender: bytes = b""
    conn_id: bytes = b""
    """What requests have as theirs: the door's name, and a number of the connection's own."""


class Codec(Protocol):
    """One connection. Calls come from one thread at a time.

    In the order of a request: :meth:`feed` and :meth:`head` until there is one, :meth:`feed` and :meth:`body` until
    ``ended``, :meth:`answer` for each part, :meth:`end`, :meth:`next`. Bytes behind the end of a request stay.
    """

    @property
    def idle(self) -> bool:
        """Nothing of a request has come."""

    @property
    def ended(self) -> bool:
        """The body of the request has come to its end."""

    def feed(self, data: bytes) -> None:
        """The peer has sent *data*."""

    def head(self) -> Head | None:
        """The next request; None: it has not all come.

        Raises: RemoteProtocolError: it is refused; its ``status`` is the answer's, 0: close without one.
        """

    def body(self) -> bytes:
        """What has come of the body, decoded, and was not given before.

        Raises: RemoteProtocolError: as :meth:`head`.
        """

    def reply(self) -> bytes:
        """What the protocol itself has to say to what was read, and is to be sent at once; asked for after each
        :meth:`head` and :meth:`body`, also when they have raised. Nearly always nothing.
        """

    def next(self) -> None:
        """The request is over."""

    def answer(self, parts: Sequence[bytes]) -> Sequence[bytes]:
        """A piece of the answer as the protocol wants it; the first begins with a status line, ``HTTP/1.1 200 OK``."""

    def end(self) -> bytes:
        """What stands behind a complete answer."""


CodecFactory: TypeAlias = "Callable[[Peer], Codec]"
