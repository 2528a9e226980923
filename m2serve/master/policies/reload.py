"""Generations: a new one beside the old, a switch when all of it serves, the old one kept otherwise.

A chain switches worker by worker.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from m2serve.errors import ExitCode
from m2serve.ids import Seconds, WorkerId
from m2serve.master.actions import Cut, Drain, Grow, OpenGeneration, Order, Release, Retire, Serve, Stop
from m2serve.master.board import STOP_GRACE, StopOrder
from m2serve.master.child import ChildKind, ChildState
from m2serve.master.generation import GenerationState, ReloadKind

if TYPE_CHECKING:
    from collections.abc import Sequence

    from m2serve.master.actions import Action
    from m2serve.master.board import Board, Slot
    from m2serve.master.child import Child
    from m2serve.master.generation import Generation

EARLY_DEATHS = 3
"""So many workers of a reload may die before they are ready; one more and the reload is given up."""

STARTING_GRACE = Seconds(2.0)
"""For a worker that serves nothing yet: it has nothing to finish, only an import to leave."""

FAILED_MERCY = Seconds(1.0)


def decide(board: Board, now: Seconds) -> list[Action]:
    """Settle generations that are starting, then begin a reload if one is wanted."""
    if board.stop is not None:
        return []
    fatal = _need_app(board, now)
    if fatal is not None:
        return [fatal]
    actions: list[Action] = []
    for generation in board.generations:
        if generation.state is GenerationState.STARTING:
            actions += _settle(board, generation, now)
    if not actions and board.reload_wanted is not None:
        actions += _begin(board, board.reload_wanted, now)
    return actions


def _need_app(board: Board, now: Seconds) -> Order | None:
    """With need-app a failure ends the server, unless the last good generation goes on serving."""
    if not board.need_app:
        return None
    current = [one for one in board.generations if one.current]
    if not current or not all(one.failed for one in current):
        return None
    serving = {one.number for one in current if one.state is GenerationState.SERVING}
    if any(child.state is ChildState.READY and child.generation in serving for child in board.workers):
        return None
    reason = "the application cannot be loaded and need-app is set"
    return Order(StopOrder(reason, Seconds(now + FAILED_MERCY), code=ExitCode.APP_LOAD))


def _settle(board: Board, generation: Generation, now: Seconds) -> list[Action]:
    older = [one for one in board.generations if one.number < generation.number and one.current]
    if older and generation.failed:
        return _give_up(board, generation, "its application cannot be loaded", now)
    if older and generation.overlong:
        return _give_up(board, generation, f"{generation.overlong} (worker-start-timeout)", now)
    if older and generation.early_deaths > EARLY_DEATHS:
        return _give_up(board, generation, f"{generation.early_deaths} workers died before they were ready", now)
    if not board.all_ready(generation):
        return []
    if older and generation.kind is ReloadKind.CHAIN:
        return _next_link(board, generation, now)
    return _take_over(board, generation, older, now)


def _take_over(board: Board, generation: Generation, older: Sequence[Generation], now: Seconds) -> list[Action]:
    actions: list[Action] = [Serve(generation)]
    for one in older:
        actions.append(Retire(one, f"replaced by generation {generation.number}"))
        if generation.kind is ReloadKind.BRUTAL:
            deadline = Seconds(now + STOP_GRACE)
            told = [child for child in board.members_of(one) if child.state in (ChildState.STARTING, ChildState.READY)]
            actions += [Stop(child, generation.kind.value, deadline) for child in told]
        else:
            actions += _leave(board, board.members_of(one), generation.kind.value, now)
    return actions


def _next_link(board: Board, generation: Generation, now: Seconds) -> list[Action]:
    """All workers that a chain has so far are ready: drain the old one whose place the last has taken, wait until it
    has left, start the next. So there is never one less than before, nor more than one more."""
    taken = {slot.worker for slot in board.slots_of(generation)}
    older = _older_slots(board, generation)
    replaced = [slot for slot in older if slot.worker in taken]
    if replaced:
        return _release(board, replaced, f"chain reload, replaced by generation {generation.number}", now)
    if any(child.leaving and child.generation < generation.number for child in board.workers):
        return []
    missing = [number for number in range(1, generation.size + 1) if number not in taken]
    if missing:
        return [Grow(generation, WorkerId(missing[0]))]
    rest = [one for one in board.generations if one is not generation and one.current]
    return _take_over(board, generation, rest, now)


def _begin(board: Board, kind: ReloadKind, now: Seconds) -> list[Action]:
    """A reload asked for during a reload starts over: what is loading may have read the old code."""
    current = [one for one in board.generations if one.current]
    actions: list[Action] = []
    for one in current[1:]:
        if one.state is GenerationState.STARTING:
            actions += _break_off(board, one, "another reload", "another reload", now, given_up=False)
    return [*actions, OpenGeneration(kind)]


def _give_up(board: Board, generation: Generation, reason: str, now: Seconds) -> list[Action]:
    return _break_off(board, generation, reason, "reload given up", now, given_up=True)


def _break_off(
    board: Board, generation: Generation, reason: str, told: str, now: Seconds, *, given_up: bool
) -> list[Action]:
    """Leave the old ones alone; of a chain, workers whose old ones have gone stay too."""
    old = {slot.worker for slot in _older_slots(board, generation)}
    surplus = [slot for slot in board.slots_of(generation) if slot.worker in old]
    if generation.kind is ReloadKind.CHAIN and len(surplus) < len(board.slots_of(generation)):
        bare = [one for one in board.generations if one.current and not board.slots_of(one)]
        return [
            *_release(board, surplus, told, now),
            Cut(generation, reason, given_up),
            *(Retire(one, "all replaced") for one in bare),
            *(leave for one in bare for leave in _leave(board, board.members_of(one), "all replaced", now)),
        ]
    return [Retire(generation, reason, given_up), *_leave(board, board.members_of(generation), told, now)]


def _older_slots(board: Board, generation: Generation) -> list[Slot]:
    return [slot for slot in board.slots if slot.worker and slot.generation < generation.number]


def _release(board: Board, slots: Sequence[Slot], reason: str, now: Seconds) -> list[Action]:
    children = [slot.child for slot in slots if slot.child is not None]
    return [*(Release(slot) for slot in slots), *_leave(board, children, reason, now)]


def _leave(board: Board, children: Sequence[Child], reason: str, now: Seconds) -> list[Action]:
    leaving = [farewell(child, reason, Seconds(now + board.mercy), now) for child in children]
    return [action for action in leaving if action is not None]


def farewell(child: Child, reason: str, deadline: Seconds, now: Seconds) -> Drain | Stop | None:
    """The gentlest way out for a worker or a nursery: drain it if it serves, stop it if it does not, or not yet."""
    if child.state is ChildState.READY and child.kind is ChildKind.WORKER:
        return Drain(child, reason, deadline)
    if child.state in (ChildState.STARTING, ChildState.READY):
        return Stop(child, reason, min(deadline, Seconds(now + STARTING_GRACE)))
    return None
