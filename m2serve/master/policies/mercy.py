"""Patience that has ended: drain, then stop, then kill."""

from __future__ import annotations

from typing import TYPE_CHECKING

from m2serve.ids import Seconds
from m2serve.master.actions import Kill, Stop
from m2serve.master.board import STOP_GRACE
from m2serve.master.child import ChildKind, ChildState

if TYPE_CHECKING:
    from m2serve.master.actions import Action
    from m2serve.master.board import Board
    from m2serve.master.child import Child


def decide(board: Board, now: Seconds) -> list[Action]:
    """One harder step for each child whose deadline has passed.

    One that is not born yet has no pid: its end is that of the nursery which was to fork it.
    """
    late = [child for child in board.children if child.deadline is not None and child.deadline <= now]
    deaf = {child.generation for child in late if child.state is ChildState.NEW}
    nurseries = [nursery for number in deaf if (nursery := board.nursery(number)) is not None]
    return [
        *(Kill(nursery, "does not fork") for nursery in nurseries),
        *(_step(child, now) for child in late if child.state not in (ChildState.NEW, ChildState.KILLED)),
    ]


def next_due(board: Board) -> Seconds | None:
    """The nearest deadline."""
    waiting = [child for child in board.children if child.state is not ChildState.KILLED]
    return min((child.deadline for child in waiting if child.deadline is not None), default=None)


def _step(child: Child, now: Seconds) -> Action:
    if child.state is ChildState.DRAINING and child.kind is ChildKind.WORKER:
        return Stop(child, "no mercy any more", Seconds(now + STOP_GRACE))
    if child.kind is ChildKind.COMMAND and not child.leaving:
        return Kill(child, "harakiri of cron")
    return Kill(child, "takes too long to leave" if child.leaving else "its link is broken")
