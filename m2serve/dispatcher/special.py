"""What comes from Mongrel2 and is no plain request: bad messages, notices, requests that say more than a request does.

The dispatcher knows the others by the head of their frames alone. These it parses: only a few have the words in them
that bring them here, and of those not all mean it.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from m2serve.dispatcher.taken import Arrival, Marked, Taken
from m2serve.errors import RemoteProtocolError
from m2serve.wire import mongrel2, pieces

if TYPE_CHECKING:
    from m2serve.dispatcher.intake import Intake
    from m2serve.dispatcher.outgoing import Outgoing
    from m2serve.dispatcher.routing import Router
    from m2serve.dispatcher.streams import Streams
    from m2serve.dispatcher.tally import Counts
    from m2serve.dispatcher.uploads import Uploads

log = logging.getLogger("m2serve.dispatcher")


class Special:
    """Decides what such a message is; requests are handed on to the router."""

    def __init__(self, router: Router, uploads: Uploads, streams: Streams, outgoing: Outgoing, counts: Counts) -> None:
        self._router = router
        self._streams = streams
        self._uploads = uploads
        self._outgoing = outgoing
        self._counts = counts

    def arrived(self, intake: Intake, arrival: Arrival | Marked, now: float) -> None:
        """A message came from Mongrel2."""
        if isinstance(arrival, Marked):
            self._marked(arrival)
        elif arrival.fault is not None:
            self._garbage(intake, arrival, *arrival.fault)
        elif not (arrival.is_notice and self._noticed(intake, arrival)):
            taken = Taken(intake, arrival.frame, arrival.position, arrival.size, arrival.sender, arrival.conn, now)
            self._router.arrive(taken)

    def _marked(self, marked: Marked) -> None:
        taken = marked.taken
        try:
            if pieces.KEY in marked.raw and self._streams.took(taken, marked.raw):
                return
            request = mongrel2.parse(marked.raw)
            if taken.intake.marks_credits and mongrel2.granted_credits(request) is not None:
                taken.intake.count_debts(proven=True)  # before the first answer leaves
            if self._streams.begins(taken, request) or not self._uploads.took(taken, request):
                self._router.arrive(taken)
        except RemoteProtocolError:
            self._router.arrive(taken)  # whichever worker gets it finds the same, and answers

    def _noticed(self, intake: Intake, arrival: Arrival) -> bool:
        """Heed a notice; False: it only looks like one."""
        raw = intake.ring.copy(arrival.position, arrival.size)
        kind = mongrel2.notice(raw)
        if kind is None:
            return False
        intake.ring.take(arrival.frame)
        if kind is mongrel2.Kind.DISCONNECT:
            self._counts.disconnected()
            self._uploads.gone(intake, arrival.conn)
            self._router.gone(intake, arrival.conn)
        else:
            intake.credited(arrival.conn, mongrel2.granted_credits(mongrel2.parse(raw)) or 0)
        return True

    def _garbage(self, intake: Intake, arrival: Arrival, status: int, reason: str) -> None:
        self._counts.garbage()
        head = intake.ring.copy(arrival.position, min(arrival.size, 60)) if status == 400 else b""
        log.warning(
            "bad message endpoint=%s conn=%s status=%s reason=%s size=%d head=%r",
            intake.pair.send, arrival.conn.decode("latin-1") or "-", status if arrival.conn else "dropped",
            reason, arrival.size, head,
        )  # fmt: skip
        if arrival.conn:
            self._outgoing.answer(intake, arrival.sender, arrival.conn, status)
        intake.ring.take(arrival.frame)
