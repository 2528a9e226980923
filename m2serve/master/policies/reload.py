"""Generations: a new one beside the old, a switch when all of it serves, the old one kept otherwise."""

from __future__ import annotations

from typing import TYPE_CHECKING

from m2serve.errors import ExitCode
from m2serve.ids import Seconds
from m2serve.master.actions import Drain, OpenGeneration, Order, Retire, Serve, Stop
from m2serve.master.board import StopOrder
from m2serve.master.child import ChildState
from m2serve.master.generation import GenerationState

if TYPE_CHECKING:
    from m2serve.master.actions import Action
    from m2serve.master.board import Board
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
    if not actions and board.reload_wanted:
        actions += _begin(board, now)
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
    if older and generation.early_deaths > EARLY_DEATHS:
        return _give_up(board, generation, f"{generation.early_deaths} workers died before they were ready", now)
    if not board.all_ready(generation):
        return []
    actions: list[Action] = [Serve(generation)]
    for one in older:
        actions += [
            Retire(one, f"replaced by generation {generation.number}"),
            *_leave(board, one, "reload", now),
        ]
    return actions


def _begin(board: Board, now: Seconds) -> list[Action]:
    """A reload asked for during a reload starts over: what is loading may have read the old code."""
    current = [one for one in board.generations if one.current]
    actions: list[Action] = []
    for one in current[1:]:
        if one.state is GenerationState.STARTING:
            actions += [Retire(one, "another reload"), *_leave(board, one, "another reload", now)]
    return [*actions, OpenGeneration("reload")]


def _give_up(board: Board, generation: Generation, reason: str, now: Seconds) -> list[Action]:
    return [Retire(generation, reason, given_up=True), *_leave(board, generation, "reload given up", now)]


def _leave(board: Board, generation: Generation, reason: str, now: Seconds) -> list[Action]:
    return [
        leave
        for child in board.workers_of(generation)
        if (leave := farewell(child, reason, Seconds(now + board.mercy), now)) is not None
    ]


def farewell(worker: Child, reason: str, deadline: Seconds, now: Seconds) -> Drain | Stop | None:
    """The gentlest way out for one worker: drain it if it serves, stop it if it has not begun to."""
    if worker.state is ChildState.READY:
        return Drain(worker, reason, deadline)
    if worker.state is ChildState.STARTING:
        return Stop(worker, reason, min(deadline, Seconds(now + STARTING_GRACE)))
    return None
