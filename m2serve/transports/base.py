"""The seam between the two topologies: a thread's subscription."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

if TYPE_CHECKING:
    from typing import TypeAlias

    from m2serve.transports.channel import Channel
    from m2serve.transports.direct import DirectSubscription
    from m2serve.transports.dispatched import MailSubscription
    from m2serve.transports.doors.channel import DoorChannel
    from m2serve.transports.doors.subscription import DoorSubscription

    Road: TypeAlias = Channel | DoorChannel
    Source: TypeAlias = MailSubscription | DirectSubscription | DoorSubscription

DOOR: Final = 3
"""The kind of delivery that we have read ourselves; the others are those of :mod:`m2serve.transports.card`."""


class Delivery(NamedTuple):
    """One request, and the road back."""

    raw: bytes
    """Unparsed; nothing of kind DOOR, whose channel has the request."""
    channel: Road
    endpoint: int
    kind: int = 0
    """How the body comes: PLAIN, UPLOAD or STREAM, which only the dispatcher can know, or DOOR."""


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
