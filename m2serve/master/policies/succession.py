"""After an upgrade of the master: first the dispatcher is replaced, then the workers, as by a reload."""

from __future__ import annotations

from typing import TYPE_CHECKING

from m2serve.master.actions import ReplaceWorkers, Yield
from m2serve.master.child import ChildState

if TYPE_CHECKING:
    from m2serve.ids import Seconds
    from m2serve.master.actions import Action
    from m2serve.master.board import Board


def decide(board: Board, now: Seconds) -> list[Action]:
    """The next step; nothing while it has to wait.

    New workers meet the new dispatcher only, so that each code needs to get on with one other at a time. One that
    does not come up holds back the workers: those of the old code serve on.
    """
    if not board.inherited or board.stop is not None or not board.gate_open:
        return []
    if not board.dispatched:
        return [ReplaceWorkers()]
    dispatcher = board.dispatcher
    if dispatcher is None or dispatcher.state is not ChildState.READY:
        return []
    if not dispatcher.inherited:
        return [ReplaceWorkers()]
    return [] if dispatcher.yielding else [Yield(dispatcher)]
