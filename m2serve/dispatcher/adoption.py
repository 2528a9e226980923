"""What a dispatcher makes of what a predecessor has left: cells, connections, and what lies in the rings."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

from m2serve.dispatcher.credits import settle
from m2serve.dispatcher.drains import found_in
from m2serve.transports import card as cards

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from m2serve.dispatcher.crew import Crew
    from m2serve.dispatcher.intake import Intake
    from m2serve.dispatcher.outgoing import Outgoing
    from m2serve.dispatcher.routing import Router
    from m2serve.dispatcher.streams import Streams
    from m2serve.dispatcher.taken import Taken
    from m2serve.dispatcher.uploads import Uploads
    from m2serve.transports.node import NodeFds


def adopt(
    node: NodeFds,
    intakes: Sequence[Intake],
    router: Router,
    outgoing: Outgoing,
    uploads: Uploads,
    streams: Streams,
    now: float,
) -> Iterator[Intake]:
    """Go on with whatever there is; the router has its crews already.

    Yields: each endpoint whose connection lives: what is complete in its ring is to be routed before the next step.
    """
    claimed: dict[int, set[tuple[int, int]]] = {i.index: set() for i in intakes}
    for crew in router.crews:
        _adopt_cells(crew, intakes, router, outgoing.close_later, claimed)
    running = [taken for crew in router.crews for taken in crew.running.values()]
    uploads.adopt(running, intakes)
    streams.adopt(running)
    for intake in intakes:
        fd = node.pulls.pop(intake.index, None)
        if fd is None:
            continue
        intake.adopt(fd, now, claimed[intake.index])
        if intake.sock is None:
            continue
        own = [taken for taken in running if taken.intake is intake and taken.epoch == intake.epoch]
        intake.live.extend(sorted(own, key=lambda taken: taken.frame))
        yield intake
    for intake in intakes:
        if intake.sock is None:
            uploads.lost(intake)


def _adopt_cells(
    crew: Crew,
    intakes: Sequence[Intake],
    router: Router,
    close_later: Callable[[Taken], None],
    claimed: dict[int, set[tuple[int, int]]],
) -> None:
    """Go on with the requests in a worker's cells, and settle those that are over.

    Args:
        close_later: closes a connection whose answer broke off.
        claimed: by endpoint ``(epoch, frame)`` of each request that a slot names; added to.
    """
    has_ended = _has_ended(crew)
    moved = crew.drains.adopt(intakes)
    drains = {taken.serial: taken for taken in crew.drains.running.values()}
    router.resume_drains(crew)
    for slot, serial in enumerate(crew.mails.tolist()):
        state, index, epoch, _, _, _, frame, *_ = crew.card.read(slot)
        if not state or (state == cards.HANDED and not serial):
            continue  # nothing was ever put into this slot, or it was not mailed yet
        claimed[index].add((epoch, frame))
        if serial in drains:
            router.resume(drains[serial], crew, slot, serial)
            continue
        taken = found_in(crew.card, slot, intakes)
        if not serial:
            if (index, epoch, frame) in moved:
                crew.vacate(slot)
            if taken.road == cards.OWN_ROAD:
                router.follows(taken, crew)
            settle(crew.card, slot, taken)
            continue
        if crew.card.answered[slot] == serial | cards.SENDING:
            crew.card.wipe(slot)  # how far the predecessor came nobody knows
            close_later(taken)
            continue
        router.resume(taken, crew, slot, serial)
        if not has_ended:
            crew.ring()  # the predecessor may have died before it did; one ring too many is ignored


def _has_ended(crew: Crew) -> bool:
    """Whether the worker has died."""
    try:
        return not crew.link.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
    except BlockingIOError:
        return False
    except OSError:
        return True
