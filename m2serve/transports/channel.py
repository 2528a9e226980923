"""Where one request's answer goes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from m2serve.errors import ClientGone
from m2serve.wire import zmtp

if TYPE_CHECKING:
    from m2serve.transports.responder import Origin, Responder


class Sink(Protocol):
    """The body of a streamed upload; the service thread calls it."""

    def feed(self, offset: int, data: bytes, last: bool) -> None:
        """A piece has come."""

    def lose(self) -> None:
        """Nothing more will come: the client or its Mongrel2 has left."""


class Channel:
    """The road back to one client; made for one request, used by its thread.

    ``gone`` is set by the service thread when the client or its Mongrel2 has left.
    """

    __slots__ = ("_envelope", "_origin", "_responder", "began", "gone")

    def __init__(self, responder: Responder, origin: Origin, envelope: bytes) -> None:
        self._responder = responder
        self._origin = origin
        self._envelope = envelope
        self.gone = origin.dead
        self.began = False

    def _begin(self) -> None:
        """Called before the first byte leaves."""
        self.began = True

    def send(self, *parts: bytes) -> None:
        """Send one message to the client.

        Raises:
            ClientGone: it cannot arrive any more.
        """
        if self.gone:
            raise ClientGone("the client has left")
        if not self.began:
            self._begin()
        if not any(parts):
            return  # an empty message would close the connection
        try:
            self._responder.send(self._origin, self._envelope, *parts)
        except ClientGone:
            self.gone = True
            raise

    def send_last(self, *parts: bytes) -> None:
        """Send a complete answer: nothing but :meth:`close` will follow.

        Raises:
            ClientGone: it cannot arrive any more.
        """
        self.send(*parts)

    def control(self, order: bytes) -> None:
        """Send Mongrel2 an extended message about the client's connection; no part of the answer.

        Raises:
            ClientGone: it cannot arrive any more.
        """
        if self.gone:
            raise ClientGone("the client has left")
        # with the plain envelope: if the connection breaks, it is what closes the client's
        self._responder.send_frames(self._origin, self._envelope, zmtp.frame_header(len(order)) + order)

    def expect(self, sink: Sink | None) -> None:
        """Where pieces of the request's body are to go; None: nowhere. Of those that get any: see MailChannel."""

    def close(self) -> None:
        """Close the client's connection behind what was sent."""
        if self.gone:
            return
        if not self.began:
            self._begin()
        try:
            self._responder.send(self._origin, self._envelope)
        except ClientGone:
            self.gone = True
