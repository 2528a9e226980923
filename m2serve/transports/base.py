"""The seam between the two topologies: a thread's subscription."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from m2serve.transports.channel import Channel


class Delivery(NamedTuple):
    """One request, unparsed, and the road back."""

    raw: bytes
    channel: Channel
    endpoint: int
    kind: int = 0
    """How the body comes: PLAIN, UPLOAD or STREAM of :mod:`m2serve.transports.card`. Only the dispatcher can know."""


class Subscription(Protocol):
    """One thread's source of requests, under a UUID of its own.

    Threads: :meth:`receive` and :meth:`done` belong to the subscribed thread, the rest to the service thread.
    """

    uuid: str

    def receive(self) -> Delivery | None:
        """Wait for the next request; None: nothing will come any more."""

    def done(self) -> None:
        """The request of the last :meth:`receive` is over."""

    def client_gone(self, conn: bytes, endpoint: int) -> None:
        """The client of a connection has left."""

    def stop(self) -> None:
        """Let :meth:`receive` return None once everything taken has been received."""
