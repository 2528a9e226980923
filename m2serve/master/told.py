"""Tells the process that was started, and waits, that the server has come about."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from m2serve.master.attachment import Attachment

if TYPE_CHECKING:
    from m2serve.ids import Seconds
    from m2serve.master.board import Board
    from m2serve.system.background import Launch


@dataclass
class Told(Attachment):
    """Says it once.

    Args: served: not before all workers have been ready; else when all is bound that has to be bound.
    """

    launch: Launch
    board: Board
    served: bool

    def turn(self, now: Seconds) -> bool:
        if self.launch and (self.board.served or not self.served):
            self.launch.succeeded()
        return False
