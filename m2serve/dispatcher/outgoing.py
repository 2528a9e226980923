"""What leaves the dispatcher for Mongrel2: answers out of the slots, answers of its own, closes and keep-alives."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Final

from m2serve.dispatcher import credits
from m2serve.dispatcher.credits import WINDOW
from m2serve.dispatcher.keepalive import KeepAlive
from m2serve.dispatcher.outbox import Outbox, framed
from m2serve.dispatcher.phase import Phase
from m2serve.transports import ledger
from m2serve.transports.responder import Responder
from m2serve.wire import mongrel2, pieces
from m2serve.wire.control import upload_credits

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from m2serve.dispatcher.intake import Intake
    from m2serve.dispatcher.routing import Router
    from m2serve.dispatcher.taken import Taken
    from m2serve.endpoint import ZmqPair

log = logging.getLogger("m2serve.dispatcher")

_BROKEN_ANSWER_PAUSE: Final = 0.1
"""Seconds between a worker's death amid an answer and the close: its last bytes take another road to Mongrel2."""
_RETRY_AFTER: Final = 1


class Outgoing:
    """One responder and one outbox an endpoint.

    Attributes:
        router: whose requests are answered; set once both exist.
        closing: connections to close: when, and what closes them.

    Args:
        keep_alive_interval: seconds; 0: never.
        count: is told the status of each answer of our own.
    """

    router: Router

    def __init__(self, pairs: Sequence[ZmqPair], keep_alive_interval: float, count: Callable[[int], None]) -> None:
        # patience 0: this thread also drives the responder, so it must never wait for it
        self.responders = [Responder(pair.recv, patience=0.0) for pair in pairs]
        self.outboxes = [Outbox(responder) for responder in self.responders]
        self.closing: list[tuple[float, Intake, int, bytes]] = []
        self._keep_alive = KeepAlive(keep_alive_interval)
        self._count = count

    @property
    def is_blocked(self) -> bool:
        """Whether something waits for a Mongrel2 that does not keep up, or is not proven."""
        return any(self.outboxes)

    @property
    def is_idle(self) -> bool:
        """Whether everything has left."""
        return not self.closing and not any(self.outboxes)

    # -- answers out of the slots ------------------------------------------------------------------------------

    def send(self, intakes: Sequence[Intake], answers: list[Taken]) -> None:
        """One message stream per Mongrel2, however many answers there are."""
        if len(intakes) == 1:
            self._send_batch(intakes[0], answers)
            return
        for intake in intakes:
            own = [taken for taken in answers if taken.intake is intake]
            if own:
                self._send_batch(intake, own)

    def _send_batch(self, intake: Intake, answers: list[Taken]) -> None:
        data = b"".join([taken.answer or b"" for taken in answers])
        # as late as possible: of what is marked when this process dies, the clients are closed
        for taken in answers:
            if taken.crew is not None:
                taken.crew.sending(taken)
        self.outboxes[intake.index].put(data, answers)
        self.flush(intake)

    def flush(self, intake: Intake) -> None:
        """Send what waits for one Mongrel2, as far as it goes."""
        outbox = self.outboxes[intake.index]
        done = outbox.flush(intake.origin)
        if outbox:
            intake.words[ledger.AWAKE] = 0  # Mongrel2 does not keep up: the workers wait by themselves
        if done:
            self.router.sent(done)

    def may_answer_for(self, intake: Intake) -> bool:
        """Whether answers left in the slots can be sent at once."""
        index = intake.index
        return not self.outboxes[index] and self.responders[index].generation == intake.origin.proof != 0

    # -- answers of our own ------------------------------------------------------------------------------------

    def refuse(self, taken: Taken, status: int, reason: str) -> None:
        """Answer a request with an error, say why in the log, and close its connection."""
        log.log(
            logging.WARNING if status in (413, 503) else logging.ERROR,
            "request answered %d endpoint=%s conn=%s reason=%s",
            status, taken.intake.pair.send, taken.conn.decode(), reason,
        )  # fmt: skip
        self.answer(taken.intake, taken.sender, taken.conn, status, streaming=taken.streaming)

    def answer(self, intake: Intake, sender: bytes, conn: bytes, status: int, *, streaming: bool = False) -> None:
        """Send an error and close the connection."""
        self._count(status)
        retry_after = _RETRY_AFTER if status == 503 else None
        envelope = mongrel2.head(sender, conn)
        answer = mongrel2.error_answer(status, retry_after=retry_after)
        close = _close(sender, conn, streaming)
        if intake.debts is None or intake.debts.of(int(conn)) + len(answer) <= WINDOW:
            close = framed(envelope, answer) + close
        # else it has not even read the answer before this one, which so much more would cut off
        self._put(intake, close)

    def close_later(self, taken: Taken) -> None:
        """Close the connection of an answer that broke off."""
        due = time.monotonic() + _BROKEN_ANSWER_PAUSE
        self.closing.append((due, taken.intake, taken.epoch, _close(taken.sender, taken.conn, taken.streaming)))

    def tick(self, intakes: Sequence[Intake], now: float) -> None:
        """Whatever is due."""
        for intake in intakes:
            if intake.doubts_credits and (stalled := credits.stalled(intake, now)):
                self._disbelieve(intake, stalled)
            self.flush(intake)
        if self.closing:
            self._close_due(now)
        if now >= self._keep_alive.due:
            self._keep_alive_all(intakes, now)

    def close(self) -> None:
        """Drop the connections."""
        for responder in self.responders:
            responder.close()

    def _put(self, intake: Intake, data: bytes) -> None:
        self.outboxes[intake.index].put(data, [])
        self.flush(intake)

    def _close_due(self, now: float) -> None:
        due = [entry for entry in self.closing if entry[0] <= now]
        self.closing = [entry for entry in self.closing if entry[0] > now]
        for _, intake, epoch, close in due:
            if epoch == intake.epoch:
                self._put(intake, close)

    def _keep_alive_all(self, intakes: Sequence[Intake], now: float) -> None:
        """Not to a Mongrel2 that we have left: its notice of a connection that has gone would find nobody."""
        self._keep_alive.said(now)
        for intake in intakes:
            if intake.phase is Phase.OPEN and (messages := self._keep_alive.messages(intake, now)):
                self._put(intake, messages)

    def _disbelieve(self, intake: Intake, stalled: list[Taken]) -> None:
        """Close those who would wait for ever, and count no more."""
        log.error(
            "no download credits endpoint=%s: they were expected, and none came in 10 s; connections closed=%d; does "
            "Mongrel2 run with download.flow_control=1? Start it anew, or say mongrel2-setting download.flow_control=0",
            intake.pair.send, len(stalled),
        )  # fmt: skip
        intake.disbelieve_credits()
        for taken in stalled:
            self.router.gone(intake, taken.conn)
            self.close_later(taken)


def _close(sender: bytes, conn: bytes, streaming: bool) -> bytes:
    """What closes a connection, framed; of a streamed upload, so that Mongrel2 wakes up and notices."""
    close = framed(mongrel2.head(sender, conn))
    return close + framed(upload_credits(sender, conn, pieces.ENOUGH)) if streaming else close
