"""Where one request's answer goes."""

from __future__ import annotations

from contextlib import suppress
from enum import Enum
from typing import TYPE_CHECKING, Protocol

from m2serve.errors import ClientGone
from m2serve.transports.card import UNLIMITED
from m2serve.wire import zmtp

if TYPE_CHECKING:
    from collections.abc import Callable

    from m2serve.transports.responder import Origin, Responder


class Verdict(Enum):
    """What becomes of a request that was taken away from its thread; the log says it."""

    UNANSWERED = "answered 504"
    BEGUN = "connection closed, its answer had begun"
    COMPLETE = "its answer was complete and has left"
    GONE = "its client has left"


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

    @property
    def detachable(self) -> bool:
        """Whether an answer may go on when its thread has left."""
        return False

    @property
    def paced(self) -> bool:
        """Mongrel2 takes few messages for a client at a time."""
        return True

    def connected(self) -> bool:
        """Whether the client is not known to have left: what applications may ask."""
        return not self.gone

    def allowed(self) -> int:
        """Bytes that may leave now."""
        return UNLIMITED

    def ask(self) -> int:
        """As :meth:`allowed`, and be called when it has grown."""
        return UNLIMITED

    def watch(self, look: Callable[[], None]) -> None:
        """Have *look* called when what is allowed has grown, or the client has left. Here nobody does: the request's
        thread does all, and looks by itself."""

    def probe(self) -> None:
        """Ask whether a client that takes nothing is there. Where nothing is asked for credit, nobody waits for it."""

    def settle(self) -> None:
        """Called by whoever sends, before it looks at what is allowed."""

    def detach(self) -> None:
        """The thread leaves, and the answer goes on without it, until :meth:`ended`. Only if ``detachable``."""
        raise NotImplementedError

    def ended(self) -> None:
        """The detached answer is over."""
        raise NotImplementedError

    def _begin(self) -> None:
        """Called before the first byte leaves."""
        self.began = True

    def send(self, *parts: bytes) -> None:
        """Send one message to the client.

        Raises:
            ClientGone: it cannot arrive any more.
        """
        if not self.began:
            self._begin()
        # in this order: whoever answers in our place does the reverse
        if self.gone:
            raise ClientGone("the client has left")
        if not any(parts):
            return  # an empty message would close the connection
        try:
            self._responder.send(self._origin, self._envelope, *parts)
        except ClientGone:
            self.gone = True
            raise

    def send_last(self, *parts: bytes) -> bool:
        """Send a complete answer: nothing but :meth:`close` will follow.

        Returns: False: more than is allowed, and nothing was sent.
        Raises:
            ClientGone: it cannot arrive any more.
        """
        self.send(*parts)
        return True

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

    @property
    def send_file(self) -> Callable[[int, int, int], int | None] | None:
        """Mongrel2 wants bytes."""
        return None

    def close(self) -> None:
        """Close the client's connection behind what was sent."""
        if self.gone:
            return
        if not self.began:
            self._begin()
            if self.gone:
                return
        try:
            self._responder.send(self._origin, self._envelope)
        except ClientGone:
            self.gone = True

    # -- a thread that is stuck; the service thread's ----------------------------------------------------------------

    def seize(self) -> Verdict | None:
        """Take the client away from the thread: whatever it still says is dropped, as if the client had left.

        Returns: what :meth:`reply` is to do; None: the thread has just finished.
        """
        if self.gone:
            return Verdict.GONE
        self.gone = True
        return Verdict.BEGUN if self.began else Verdict.UNANSWERED

    def reply(self, verdict: Verdict, message: bytes) -> None:
        """End a seized request. May wait for Mongrel2, so this is for a thread that has the time.

        Args: message: the answer to one that has none.
        """
        parts = {Verdict.UNANSWERED: (message, b""), Verdict.BEGUN: (b"",)}.get(verdict, ())
        with suppress(ClientGone):
            for part in parts:
                self._responder.send(self._origin, self._envelope, part)
