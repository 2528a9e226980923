"""As many workers as are wanted: a slot more, or a slot less whose worker is drained.

Numbers stay small: the lowest free one comes, the highest goes. A worker that leaves finishes what it has.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from m2serve.ids import Seconds, WorkerId
from m2serve.master.actions import Grow, Release
from m2serve.master.board import Urgency
from m2serve.master.generation import GenerationState, ReloadKind
from m2serve.master.policies.reload import farewell

if TYPE_CHECKING:
    from m2serve.master.actions import Action
    from m2serve.master.board import Board, Slot
    from m2serve.master.generation import Generation


def decide(board: Board, now: Seconds) -> list[Action]:
    """Bring the generation that serves to the number that is wanted. A chain, which goes by numbers, comes first."""
    serving = [one for one in board.generations if one.state is GenerationState.SERVING]
    if not serving or any(_is_chain(one) for one in board.generations):
        return []
    numbers = {one.number for one in serving}
    slots = [slot for slot in board.slots if slot.worker and slot.generation in numbers]
    if board.stop is not None:
        return _grow(board, serving[-1], slots) if not slots and _takes_requests(board, now) else []
    return _grow(board, serving[-1], slots) or _shrink(board, slots, now)


def _is_chain(generation: Generation) -> bool:
    return generation.state is GenerationState.STARTING and generation.kind is ReloadKind.CHAIN


def _takes_requests(board: Board, now: Seconds) -> bool:
    """All had left, and then a request came, perhaps while Mongrel2's PUSH was being left."""
    stop = board.stop
    return stop is not None and stop.urgency is Urgency.GRACEFUL and not board.quiet and now < stop.deadline


def _grow(board: Board, generation: Generation, slots: list[Slot]) -> list[Action]:
    taken = {slot.worker for slot in slots}
    free = (WorkerId(number) for number in range(1, board.crowd.most + 1) if number not in taken)
    return [Grow(generation, worker) for worker, _ in zip(free, range(board.wanted - len(taken)), strict=False)]


def _shrink(board: Board, slots: list[Slot], now: Seconds) -> list[Action]:
    surplus = len({slot.worker for slot in slots}) - board.wanted
    if surplus <= 0:
        return []
    # One whose successor is coming up has two slots: it is left alone, unless all go.
    paired = {slot.worker for slot in slots if slot.replaces is not None} if board.wanted else set()
    leaving = sorted({slot.worker for slot in slots} - paired, reverse=True)[:surplus]
    going = [slot for slot in slots if slot.worker in leaving]
    reason = "cheap" if board.wanted else "idle"
    deadline = Seconds(now + board.mercy)
    told = [farewell(slot.child, reason, deadline, now) for slot in going if slot.child is not None]
    return [*(Release(slot) for slot in going), *(one for one in told if one is not None)]
