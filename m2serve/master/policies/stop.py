"""The order in which the server stops.

1. nurseries: STOP, and they leave.
   dispatcher: STOP. It serves what it took, leaves Mongrel2's PUSH, serves what came meanwhile and says QUIET.
2. workers: DRAIN, and they leave.
3. dispatcher: DRAIN, and it leaves.
4. daemons: TERM. Mongrel2 is the last, so that it can deliver every answer.

Each step waits for the one before, workers until the order's deadline; then they get STOP_GRACE.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from m2serve.ids import Seconds
from m2serve.master.actions import Drain, Finish, Kill, Stop
from m2serve.master.board import STOP_GRACE, Board, StopOrder, Urgency
from m2serve.master.child import ChildKind, ChildState
from m2serve.master.generation import GenerationState
from m2serve.master.policies import respawn
from m2serve.master.policies.reload import STARTING_GRACE, farewell

if TYPE_CHECKING:
    from collections.abc import Sequence

    from m2serve.master.actions import Action
    from m2serve.master.child import Child

LINGER = Seconds(0.2)
"""Mongrel2 drops what it has not sent when it is told to stop: time for the last answers to go out."""

_BEFORE_STOP = (ChildState.STARTING, ChildState.READY, ChildState.DRAINING)


def decide(board: Board, now: Seconds) -> list[Action]:
    """The next step of a stop that was ordered; nothing while it has to wait."""
    stop = board.stop
    if stop is None:
        return []
    if not board.children:
        return [Finish(stop.code)]
    if stop.urgency is Urgency.BRUTAL:
        alive = [child for child in board.children if child.alive and child.state is not ChildState.KILLED]
        return [Kill(child, stop.reason) for child in alive]
    # What they have been asked for they fork first; whoever dies from now on is replaced without them.
    actions = _stop_all(board.of_kind(ChildKind.NURSERY), stop, Seconds(now + STARTING_GRACE))
    dispatcher = board.dispatcher
    if dispatcher is not None and dispatcher.state in (ChildState.STARTING, ChildState.READY):
        actions.append(Drain(dispatcher, stop.reason, Seconds(stop.deadline + STOP_GRACE + stop.patience)))
    if board.workers:
        if stop.urgency is Urgency.AT_ONCE:
            return actions + _stop_all(board.workers, stop, Seconds(now + STOP_GRACE))
        return actions + (_drain_workers(board, stop, now) if _settled(board, stop, now) else [])
    if dispatcher is not None and not actions and _needs_nobody(board, stop, now):
        return []
    if dispatcher is not None:
        return actions + (_stop_all([dispatcher], stop, Seconds(now + stop.patience)) if not actions else [])
    if now < board.last_burial + LINGER:
        return []
    return [
        Stop(child, stop.reason, Seconds(now + (child.patience(stop.patience) if stop.patient else stop.patience)))
        for child in board.children
        if child.state in _BEFORE_STOP
    ]


def next_due(board: Board) -> Seconds | None:
    """When `decide` may have something to say without any event."""
    if board.stop is None:
        return None
    if board.workers or board.dispatcher is not None:
        return board.stop.deadline
    return Seconds(board.last_burial + LINGER)


def escalate(stop: StopOrder, now: Seconds) -> StopOrder:
    """A further signal during a stop: at once, then brutally."""
    urgency = Urgency(min(stop.urgency + 1, Urgency.BRUTAL))
    return StopOrder(stop.reason, min(stop.deadline, now), urgency, stop.code, STOP_GRACE)


def _settled(board: Board, stop: StopOrder, now: Seconds) -> bool:
    """Nothing more will come to the workers, or nobody is left who could take it."""
    if not board.dispatched or board.quiet or now >= stop.deadline:
        return True
    if board.dispatcher is None:
        # Unless a successor is due, which knows what the last one had taken.
        return not any(slot.kind is ChildKind.DISPATCHER and respawn.wanted(board, slot, now) for slot in board.slots)
    return not any(_hopeful(board, worker) for worker in board.workers)


def _needs_nobody(board: Board, stop: StopOrder, now: Seconds) -> bool:
    """All workers had left for want of work. The dispatcher leaves Mongrel2's PUSH all the same, and calls for workers
    if it finds requests on the way."""
    if board.quiet or stop.urgency is not Urgency.GRACEFUL or now >= stop.deadline:
        return False
    return board.asleep or any(slot.worker and respawn.wanted(board, slot, now) for slot in board.slots)


def _hopeful(board: Board, worker: Child) -> bool:
    if worker.state is ChildState.READY:
        return True
    generation = board.generation(worker.generation)
    proven = generation is not None and generation.state is GenerationState.SERVING
    return proven and worker.state is ChildState.STARTING


def _drain_workers(board: Board, stop: StopOrder, now: Seconds) -> list[Action]:
    leaving = [farewell(worker, stop.reason, stop.deadline, now) for worker in board.workers]
    return [action for action in leaving if action is not None]


def _stop_all(children: Sequence[Child], stop: StopOrder, deadline: Seconds) -> list[Action]:
    return [Stop(child, stop.reason, deadline) for child in children if child.state in _BEFORE_STOP]
