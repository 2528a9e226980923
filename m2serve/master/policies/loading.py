"""Who takes long to load the application, worker or nursery: the log says where it is, and there is an end to it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from m2serve.ids import Seconds
from m2serve.master.actions import AskStack, GiveUp, TellLoading
from m2serve.master.child import ChildKind, ChildState

if TYPE_CHECKING:
    from m2serve.master.actions import Action
    from m2serve.master.board import Board
    from m2serve.master.child import Child

_FIRST = (Seconds(10.0), Seconds(30.0), Seconds(60.0))

WRITING = Seconds(0.2)
"""For the worker to write its stack."""


def moment(number: int) -> Seconds:
    """Seconds after which it is said for the *number*-th time, from 0 on: 10, 30, 60, 120, 240 …"""
    if number < len(_FIRST):
        return _FIRST[number]
    return Seconds(_FIRST[-1] * 2.0 ** min(number - len(_FIRST) + 1, 16))


def decide(board: Board, now: Seconds) -> list[Action]:
    """Ask for the stack, then say it; past the limit, then kill."""
    actions: list[Action] = []
    for child in _loaders(board):
        if child.state is not ChildState.STARTING or now < _next_step(board, child):
            continue
        if child.asked < child.started + _age(board, child):
            actions.append(AskStack(child))
        elif board.start_timeout and now >= child.started + board.start_timeout:
            actions.append(GiveUp(child))
        else:
            actions.append(TellLoading(child))
    return actions


def next_due(board: Board) -> Seconds | None:
    """When `decide` may have something to say without any event."""
    loading = [child for child in _loaders(board) if child.state is ChildState.STARTING]
    return min((_next_step(board, child) for child in loading), default=None)


def _loaders(board: Board) -> list[Child]:
    return [*board.workers, *board.of_kind(ChildKind.NURSERY)]


def _age(board: Board, child: Child) -> Seconds:
    """At which age something is to be said next."""
    age = moment(child.told)
    return min(age, board.start_timeout) if board.start_timeout else age


def _next_step(board: Board, child: Child) -> Seconds:
    due = Seconds(child.started + _age(board, child))
    return due if child.asked < due else Seconds(child.asked + WRITING)
