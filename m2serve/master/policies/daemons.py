"""Attached daemons in the course of the server: started anew with its code, and the one with which it ends."""

from __future__ import annotations

from typing import TYPE_CHECKING

from m2serve.ids import Seconds
from m2serve.master.actions import Order, Stop
from m2serve.master.board import StopOrder
from m2serve.master.child import ChildState

if TYPE_CHECKING:
    from m2serve.master.actions import Action
    from m2serve.master.board import Board


def decide(board: Board, now: Seconds) -> list[Action]:
    if board.stop is not None:
        return []
    for slot in board.slots:
        if slot.control and slot.died:
            return [Order(StopOrder(f"{slot.name} has ended, a control daemon", Seconds(now + board.mercy)))]
    return [
        Stop(slot.child, slot.renew, Seconds(now + slot.child.patience(board.patience)), reload=True)
        for slot in board.slots
        if slot.renew and slot.child is not None and slot.child.state is ChildState.READY
    ]
