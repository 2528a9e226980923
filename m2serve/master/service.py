"""What a service manager is told: READY, RELOADING, STOPPING, a line of STATUS, signs of life."""

from __future__ import annotations

import os
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

from m2serve.ids import Seconds
from m2serve.master.attachment import Attachment
from m2serve.master.child import AT_ZERO, ChildState
from m2serve.master.generation import GenerationState
from m2serve.wire.link import Verb

if TYPE_CHECKING:
    from m2serve.master.board import Board
    from m2serve.master.generation import Generation
    from m2serve.system.notify import Notifier

ASK_AGAIN = Seconds(1.0)
"""While the dispatcher does not answer; a successor may."""


class Phase(Enum):
    """Where the server stands, as its service manager sees it."""

    STARTING = "starting"
    READY = "ready"
    RELOADING = "reloading"
    STOPPING = "stopping"


def phase(board: Board) -> Phase:
    if board.stop is not None:
        return Phase.STOPPING
    if not board.served:
        return Phase.STARTING
    if board.upgrade_wanted or board.inherited or board.reload_wanted is not None or _loading(board) is not None:
        return Phase.RELOADING
    return Phase.READY


def status(board: Board) -> str:
    """One line for people."""
    match phase(board):
        case Phase.STOPPING:
            assert board.stop is not None
            return f"stopping ({board.stop.reason}): {len(board.workers)} workers have not left yet"
        case Phase.STARTING | Phase.RELOADING:
            generation = _loading(board)
            if generation is None:
                return "upgrade" if board.served else "starting"
            slots = board.slots_of(generation)
            ready = sum(slot.child is not None and slot.child.state is ChildState.READY for slot in slots)
            what = generation.kind.value if board.served else "start"
            return f"{what}: {ready} of {generation.size} workers ready"
    ready = sum(child.state is ChildState.READY for child in board.workers)
    if board.asleep:
        return "no worker is wanted before a request comes"
    paused = "paused: " if board.paused else ""
    return f"{paused}{ready} workers serve" + (f"; {board.last_reload}" if board.last_reload else "")


def _loading(board: Board) -> Generation | None:
    starting = [one for one in board.generations if one.state is GenerationState.STARTING]
    return starting[-1] if starting else None


@dataclass
class Service(Attachment):
    """Says what has changed, once, and that we live."""

    board: Board
    notifier: Notifier
    _said: tuple[Phase, int] | None = None
    _status: str = ""
    _next: Seconds = AT_ZERO
    _asked: Seconds | None = None

    def turn(self, now: Seconds) -> bool:
        if self.notifier:
            self._say_phase(now)
            self._say_alive(now)
        return False

    def due(self, now: Seconds) -> Seconds | None:
        return self._next if self.notifier and self.notifier.watchdog is not None else None

    def last_words(self) -> None:
        """Another program goes on; while it starts nobody says that we live."""
        if self.notifier and self.notifier.watchdog is not None:
            self.notifier.say("WATCHDOG=1")

    def _say_phase(self, now: Seconds) -> None:
        # A reload that starts over is another one: the manager compares the time with that of its request.
        generation = max((one.number for one in self.board.generations), default=0)
        current = phase(self.board)
        point = (current, generation if current is Phase.RELOADING else 0)
        line = status(self.board)
        words = [f"STATUS={line}"]
        if point != self._said:
            match current:
                case Phase.READY:
                    words = ["READY=1", f"MAINPID={os.getpid()}", *words]
                case Phase.RELOADING:
                    words = ["RELOADING=1", f"MONOTONIC_USEC={int(now * 1e6)}", *words]
                case Phase.STOPPING:
                    words = ["STOPPING=1", *words]
        elif line == self._status:
            return
        self._said, self._status = point, line
        self.notifier.say(*words)

    def _say_alive(self, now: Seconds) -> None:
        if self.notifier.watchdog is None:
            return
        half = self.notifier.watchdog / 2
        if self._asked is not None:
            if self.board.dispatcher_heard >= self._asked:
                self._asked = None
                self.notifier.say("WATCHDOG=1")
                self._next = Seconds(now + half)
                return
            if self.board.stop is not None:
                self._asked = None
        if now < self._next:
            return
        dispatcher = self.board.dispatcher
        if not self.board.dispatched or self.board.stop is not None or not self.board.served:
            self.notifier.say("WATCHDOG=1")
            self._next = Seconds(now + half)
            return
        if dispatcher is not None and dispatcher.link is not None and dispatcher.state is ChildState.READY:
            # Our loop turns; only an answer shows that the dispatcher's does.
            dispatcher.link.send(Verb.PING, {})
            self._asked = now
        self._next = Seconds(now + min(ASK_AGAIN, half / 4))
