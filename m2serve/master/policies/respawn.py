"""When an empty slot is filled again."""

from __future__ import annotations

from typing import TYPE_CHECKING

from m2serve.ids import Seconds
from m2serve.master.actions import Spawn
from m2serve.master.board import Board, Slot, Urgency
from m2serve.master.child import ChildKind, ChildState
from m2serve.master.generation import GenerationState

if TYPE_CHECKING:
    from m2serve.master.actions import Action

SHORT_LIFE = Seconds(10.0)
FIRST_DELAY = Seconds(0.1)
LONGEST_DELAY = Seconds(10.0)

TRIES_WHILE_STOPPING = 3
"""A child that keeps dying shall not hold up a stop until its deadline."""


def delay_after(short_lives: int, longest: Seconds = LONGEST_DELAY) -> Seconds:
    """Pause after so many short lives in a row: none after the first, then 0.1 s, doubling."""
    if short_lives <= 1:
        return Seconds(0.0)
    # The exponent is capped because 2.0 ** 2000 raises.
    return Seconds(min(FIRST_DELAY * 2.0 ** min(short_lives - 2, 16), longest))


def short_lives_after(before: int, lifetime: Seconds) -> int:
    """Length of the streak after a death."""
    return before + 1 if lifetime < SHORT_LIFE else 0


def decide(board: Board, now: Seconds) -> list[Action]:
    """Fill what is empty, wanted and due. Nothing waits here: a delay is a slot's due time."""
    return [Spawn(slot) for slot in board.slots if slot.due <= now and wanted(board, slot, now)]


def next_due(board: Board, now: Seconds) -> Seconds | None:
    """When `decide` may have something to say without any event."""
    return min((slot.due for slot in board.slots if wanted(board, slot, now)), default=None)


def wanted(board: Board, slot: Slot, now: Seconds) -> bool:
    """Nobody is there and somebody should be."""
    if slot.child is not None:
        return False
    if board.stop is not None:
        return _wanted_while_stopping(board, slot, now)
    if slot.kind is ChildKind.DAEMON:
        return True
    if slot.kind is ChildKind.DISPATCHER:
        return board.gate_open and board.dispatcher is None
    generation = board.generation(slot.generation)
    if generation is None or not generation.current or not board.gate_open:
        return False
    # Without its nursery a worker would load what code there is now, which may not be its generation's.
    alone = slot.kind is ChildKind.NURSERY or not generation.preload
    return alone or board.nursery(generation.number) is not None


def _wanted_while_stopping(board: Board, slot: Slot, now: Seconds) -> bool:
    """Workers need a dispatcher until they have left, and it needs workers until it is quiet."""
    stop = board.stop
    assert stop is not None
    if stop.urgency is not Urgency.GRACEFUL or now >= stop.deadline or not board.dispatched:
        return False
    if slot.short_lives > TRIES_WHILE_STOPPING:
        return False
    if slot.kind is ChildKind.DISPATCHER:
        # Quiet or not: workers need its word before they leave.
        waits = bool(board.workers) or (board.asleep and not board.quiet)
        return slot.was_ready and board.dispatcher is None and waits
    if slot.kind is ChildKind.WORKER:
        generation = board.generation(slot.generation)
        serving = generation is not None and generation.state is GenerationState.SERVING
        dispatcher = board.dispatcher
        return serving and not board.quiet and dispatcher is not None and dispatcher.state is ChildState.DRAINING
    return False
