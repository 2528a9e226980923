"""What the dispatcher itself sends to one Mongrel2: its own answers, and those that lie in the workers' slots."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final

from m2serve.errors import ClientGone
from m2serve.wire import mongrel2, zmtp

if TYPE_CHECKING:
    from collections.abc import Iterable

    from m2serve.dispatcher.taken import Taken
    from m2serve.transports.responder import Origin, Responder

_MOST: Final = 10_000


def framed(envelope: bytes, body: bytes = b"") -> bytes:
    """One message as it goes over the wire; without *body* it closes the client's connection."""
    return zmtp.frame_header(len(envelope) + len(body)) + envelope + body


class Outbox:
    """Messages in order; leaves only over a connection proven for their origin, and never waits.

    An answer from a slot keeps its slot until the kernel has it all: if this process dies before, the successor finds
    the slot marked SENDING and closes the client's connection.
    """

    __slots__ = ("_batches", "_responder", "_sent")

    def __init__(self, responder: Responder) -> None:
        self._responder = responder
        self._batches: deque[tuple[bytes, list[Taken]]] = deque()
        self._sent = 0
        """Bytes of the first batch that have left."""

    def __bool__(self) -> bool:
        return bool(self._batches)

    def put(self, data: bytes, owners: list[Taken]) -> None:
        """Append framed messages; *owners* are the requests whose slots hold them."""
        if owners or len(self._batches) < _MOST:
            self._batches.append((data, owners))

    def flush(self, origin: Origin) -> list[Taken]:
        """Send what the kernel takes.

        Returns: requests whose answers have left, or never will.
        """
        done: list[Taken] = []
        batches = self._batches
        while batches:
            data, owners = batches[0]
            if origin.dead:
                done += owners
                batches.popleft()
                self._sent = 0
                continue
            try:
                self._sent += self._responder.try_write(origin, data[self._sent :] if self._sent else data)
            except ClientGone:
                if self._sent:
                    done += owners
                    batches.popleft()
                    self._break_off(owners)
                return done
            if self._sent < len(data):
                return done
            done += owners
            batches.popleft()
            self._sent = 0
        return done

    def _break_off(self, owners: Iterable[Taken]) -> None:
        """The connection broke amid a batch: nobody knows who has what, so these clients are closed."""
        self._sent = 0
        closes = b"".join(framed(mongrel2.head(taken.sender, taken.conn)) for taken in owners)
        if closes:
            self._batches.appendleft((closes, []))
