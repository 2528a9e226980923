"""Tells what is to be done with requests: the dispatcher hands them out or keeps them, and calls for workers or not;
workers that have doors begin those that come there, or not."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from m2serve.master.attachment import Attachment
from m2serve.master.child import ChildState
from m2serve.wire.link import Verb

if TYPE_CHECKING:
    from m2serve.ids import Seconds
    from m2serve.master.board import Board


@dataclass
class Mode(Attachment):
    """Says what has changed. To a dispatcher that was just forked, before it has begun to read."""

    board: Board
    doors: bool = False
    """Workers have some."""
    _told: tuple[int, bool, bool] = (0, False, False)
    _paused: frozenset[int] = frozenset()
    """Keys of workers that were told to begin nothing."""

    def turn(self, now: Seconds) -> bool:
        board, dispatcher = self.board, self.board.dispatcher
        # What was taken before a stop is to be served.
        paused = board.paused and board.stop is None
        if self.doors:
            self._tell_workers(paused=paused)
        if dispatcher is None or dispatcher.link is None:
            return False
        known = self._told if self._told[0] == dispatcher.key else (dispatcher.key, False, False)
        self._told = (dispatcher.key, paused, board.asleep)
        if self._told != known:
            dispatcher.link.send(Verb.MODE, {"paused": paused, "asleep": board.asleep})
        return False

    def _tell_workers(self, *, paused: bool) -> None:
        if not paused and not self._paused:
            return
        ready = {child.key: child for child in self.board.workers if child.state is ChildState.READY}
        wanted = frozenset(ready) if paused else frozenset()
        for key in wanted ^ self._paused:
            child = ready.get(key)
            if child is not None and child.link is not None:
                child.link.send(Verb.MODE, {"paused": paused})
        self._paused = wanted
