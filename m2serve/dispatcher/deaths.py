"""What becomes of the requests of a worker that has died."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

from m2serve.dispatcher.credits import settle
from m2serve.dispatcher.taken import State, Taken
from m2serve.errors import RemoteProtocolError
from m2serve.transports import card as cards
from m2serve.transports import ledger
from m2serve.wire import mongrel2

if TYPE_CHECKING:
    from m2serve.dispatcher.crew import Crew
    from m2serve.dispatcher.routing import Router

log = logging.getLogger("m2serve.dispatcher")

_SAFE: Final = (b"GET", b"HEAD")


def died(router: Router, crew: Crew) -> None:
    """A worker's link has ended: settle what lies in its cells."""
    router.collect()
    router.leaves(crew)
    router.crews.remove(crew)
    back: list[Taken] = []
    for taken in crew.running.values():
        if not taken.drain and _settle_slot(router, crew, taken):
            back.append(taken)
        crew.card.wipe(taken.slot)
    crew.running.clear()
    for cell, taken in crew.drains.running.items():
        _settle_drain(router, crew, cell, taken)
    crew.drains.wipe()
    for taken in sorted(back, key=lambda t: t.serial, reverse=True):
        _requeue(router, taken)
    router.recent = {key: known for key, known in router.recent.items() if known is not crew}
    if router.waiting:
        router.drain()


def _settle_slot(router: Router, crew: Crew, taken: Taken) -> bool:
    """End a request by how far it was; True: it goes back to the queue."""
    if taken.metered:
        settle(crew.card, taken.slot, taken)
    state, late = crew.state(taken.slot), taken.slot in crew.late
    if _has_no_client(taken):
        taken.state = State.OVER
    elif taken.answer is not None:
        router.over(taken, crew)  # it had finished; we have the answer
    elif state == cards.HANDED:
        taken.intake.ring.untake(taken.frame)
        return True
    elif state == cards.RUNNING and router.retry and not late and _may_run_again(taken):
        log.warning(
            "worker %d died while it ran a request: another one gets it (retry-idempotent) conn=%s",
            crew.worker, taken.conn.decode(),
        )  # fmt: skip
        taken.retried = True
        taken.intake.ring.untake(taken.frame)
        return True
    elif state == cards.RUNNING:
        router.break_off(taken)
        reason = f"worker {crew.worker} died while it ran the request{' for too long (harakiri)' if late else ''}"
        router.refuse(taken, 504 if late else 502, reason)
    else:
        _close_broken(router, taken, crew)
    return False


def _settle_drain(router: Router, crew: Crew, cell: int, taken: Taken) -> None:
    """End an answer that went on without its slot."""
    if crew.drains.is_over(cell) or _has_no_client(taken):
        if taken.metered:
            settle(crew.card, cell, taken)
        router.over(taken, crew)
    else:
        _close_broken(router, taken, crew)


def _has_no_client(taken: Taken) -> bool:
    """Whether the Mongrel2 it came from has gone."""
    origin = taken.intake.origin
    return origin.dead or origin.epoch != taken.epoch


def _close_broken(router: Router, taken: Taken, crew: Crew) -> None:
    router.break_off(taken)
    log.error("worker %d died while it answered: connection closed conn=%s", crew.worker, taken.conn.decode())
    router.close_later(taken)


def _requeue(router: Router, taken: Taken) -> None:
    """It was handed out but nobody had begun, or it may begin again: it goes to the front of the queue."""
    taken.state = State.QUEUED
    taken.crew = None
    router.waiting += 1
    taken.intake.queue.appendleft(taken)


def _may_run_again(taken: Taken) -> bool:
    """Whether nothing is changed by running *taken* a second time, by RFC 9110, and its bytes are still there."""
    if taken.retried or taken.kind != cards.PLAIN or taken.frame < taken.intake.words[ledger.TAIL]:
        return False
    try:
        method = mongrel2.parse(taken.intake.ring.copy(taken.position, taken.size)).headers.get(b"METHOD")
    except RemoteProtocolError:
        return False
    return method in _SAFE
