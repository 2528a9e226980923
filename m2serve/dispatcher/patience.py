"""Who waits no longer: too long already, for too much, or while the node leaves."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from m2serve.dispatcher.taken import State
from m2serve.transports import ledger

if TYPE_CHECKING:
    from m2serve.dispatcher.intake import Intake
    from m2serve.dispatcher.routing import Router

log = logging.getLogger("m2serve.dispatcher")


def expire(router: Router, before: float) -> float | None:
    """Refuse requests that arrived before *before* and still wait; gives the arrival of the oldest left."""
    oldest: float | None = None
    for queue in [*(q for i in router.intakes for q in (i.urgent, i.queue)), *(c.waiting for c in router.crews)]:
        while queue and (queue[0].state is not State.QUEUED or queue[0].arrived < before):
            taken = queue.popleft()
            if router.withdraw(taken):
                router.refuse(taken, 503, "waited too long for a free thread (queue-timeout)")
        if queue and (oldest is None or queue[0].arrived < oldest):
            oldest = queue[0].arrived
    return oldest


def make_room(router: Router, intake: Intake) -> None:
    """The ring is full, and its oldest request waits: refuse it.

    What it waits for may itself need the ring: a streamed upload, whose pieces come through it.
    """
    intake.full = False
    intake.free()
    while intake.live:
        taken = intake.live[0]
        if taken.is_piece:
            return  # it waits for its worker alone, and not for long
        if taken.state is State.HELD:
            first = intake.current.get(taken.conn)
            if first is None:
                return
            log.warning("pipelined requests refused: the ring is full (request-buffer) conn=%s", taken.conn.decode())
            router.drop_held(first)
            first.doomed = True
        elif router.withdraw(taken):
            router.refuse(taken, 503, "the ring is full, and this was the oldest that waits (request-buffer)")
        else:
            return
        before = intake.words[ledger.TAIL]
        intake.free()
        if intake.words[ledger.TAIL] - before > intake.ring.size // 8:
            return  # enough for now; the others may still be served


def give_up(router: Router) -> None:
    """The node leaves now: answer 503 to everybody who still waits."""
    for taken in [
        *router.parked,
        *(t for i in router.intakes for t in (*i.urgent, *i.queue)),
        *(t for c in router.crews for t in c.waiting),
    ]:
        if router.withdraw(taken):
            router.refuse(taken, 503, "the server stops, and the time for it is over")
    router.parked.clear()
