"""Which worker gets a request, and which request is next."""

from __future__ import annotations

from typing import TYPE_CHECKING

from m2serve.dispatcher.taken import State

if TYPE_CHECKING:
    from collections import deque
    from collections.abc import Iterable

    from m2serve.dispatcher.crew import Crew
    from m2serve.dispatcher.intake import Intake
    from m2serve.dispatcher.taken import Taken


def choose(crews: Iterable[Crew], endpoint: int, epoch: int, previous: Crew | None) -> Crew | None:
    """The worker for a request that may go anywhere; None if no thread is free."""
    best: Crew | None = None
    least = 0
    for crew in crews:
        if not crew.free or crew.epochs[endpoint] != epoch:
            continue
        load = len(crew.running)
        if best is None or load < least or (load == least and crew is previous):
            best, least = crew, load
    return best


def queue_of(intake: Intake) -> deque[Taken]:
    """The queue of an endpoint whose head is next; that is no request whose client has left."""
    queue = intake.urgent
    while queue and queue[0].state is not State.QUEUED:
        queue.popleft()
    if not queue:
        queue = intake.queue
        while queue and queue[0].state is not State.QUEUED:
            queue.popleft()
    return queue
