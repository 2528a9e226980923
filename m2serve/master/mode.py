"""Tells the dispatcher what it is to do with requests: hand them out or keep them, and call for workers or not."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from m2serve.master.attachment import Attachment
from m2serve.wire.link import Verb

if TYPE_CHECKING:
    from m2serve.ids import Seconds
    from m2serve.master.board import Board


@dataclass
class Mode(Attachment):
    """Says what has changed. To a dispatcher that was just forked, before it has begun to read."""

    board: Board
    _told: tuple[int, bool, bool] = (0, False, False)

    def turn(self, now: Seconds) -> bool:
        board, dispatcher = self.board, self.board.dispatcher
        if dispatcher is None or dispatcher.link is None:
            return False
        known = self._told if self._told[0] == dispatcher.key else (dispatcher.key, False, False)
        # What was taken before a stop is to be served.
        paused = board.paused and board.stop is None
        self._told = (dispatcher.key, paused, board.asleep)
        if self._told != known:
            dispatcher.link.send(Verb.MODE, {"paused": paused, "asleep": board.asleep})
        return False
