"""Mongrel2, where it is attached, must answer before anything of ours starts, and within a time."""

from __future__ import annotations

from typing import TYPE_CHECKING

from m2serve.errors import ExitCode
from m2serve.ids import Seconds
from m2serve.master.actions import Kill, Order
from m2serve.master.board import StopOrder
from m2serve.master.child import ChildState

if TYPE_CHECKING:
    from m2serve.master.actions import Action
    from m2serve.master.board import Board

DAEMON_PATIENCE = Seconds(10.0)
EARLY_DEATHS = 3


def decide(board: Board, now: Seconds) -> list[Action]:
    """Give up a start that does not come about; kill a daemon that came back deaf."""
    if board.stop is not None:
        return []
    actions: list[Action] = []
    for slot in board.slots:
        if not slot.gate:
            continue
        child = slot.child
        late = child is not None and child.state is ChildState.STARTING and now >= child.started + DAEMON_PATIENCE
        if not slot.was_ready and (late or slot.short_lives >= EARLY_DEATHS):
            why = f"does not answer within {DAEMON_PATIENCE:.0f} s" if late else "dies at its start, see above"
            return [Order(StopOrder(f"{slot.name} {why}", now, code=ExitCode.CONFIG))]
        if late and child is not None:
            actions.append(Kill(child, f"does not answer within {DAEMON_PATIENCE:.0f} s"))
    return actions
