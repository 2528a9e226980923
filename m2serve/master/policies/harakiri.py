"""Requests that have run for longer than they may.

Their worker is told, answers for them, and leaves when its other threads have finished. One that does not say a word
cannot let anybody finish either: C code keeps its interpreter lock. Its stacks are taken, and it is killed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from m2serve.ids import Seconds
from m2serve.master.actions import Accuse, AskStacks, Execute
from m2serve.master.child import ChildState

if TYPE_CHECKING:
    from m2serve.master.actions import Action
    from m2serve.master.board import Board
    from m2serve.master.child import Child

SILENCE = Seconds(0.5)
"""A worker that can has said something by then. The 504 must leave within a second of the deadline."""

WRITING = Seconds(0.2)
"""For a worker to write its stacks, which no lock can keep it from."""

SERVING = (ChildState.READY, ChildState.DRAINING)
"""Whoever is to leave at once is killed soon."""


def decide(board: Board, now: Seconds) -> list[Action]:
    """Accuse, and go one step further with those who do not answer."""
    actions: list[Action] = []
    for child in board.workers:
        if child.late and child.state in SERVING:
            actions += [Accuse(child, late) for late in child.late if late.key not in child.accused]
            actions += _press(child, now)
    return actions


def next_due(board: Board) -> Seconds | None:
    """When `decide` may have something to say without any event."""
    steps = [_next_step(child) for child in board.workers if child.late and child.state in SERVING]
    return min((step for step in steps if step is not None), default=None)


def _press(child: Child, now: Seconds) -> list[Action]:
    step = _next_step(child)
    if step is None or now < step:
        return []
    return [Execute(child)] if _asked(child) else [AskStacks(child)]


def _next_step(child: Child) -> Seconds | None:
    since = _silent_since(child)
    if since is None:
        return None
    return Seconds(child.asked + WRITING) if _asked(child) else Seconds(since + SILENCE)


def _asked(child: Child) -> bool:
    since = _silent_since(child)
    return since is not None and child.asked > since


def _silent_since(child: Child) -> Seconds | None:
    """Of what it was first accused without having said anything since."""
    keys = {late.key for late in child.late}
    waiting = [one.at for key, one in child.accused.items() if key in keys and one.at > child.heard]
    return min(waiting, default=None)
