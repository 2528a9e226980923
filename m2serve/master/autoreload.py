"""Modules of the application that are watched: a change is a reload. For development."""

from __future__ import annotations

import logging
import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from m2serve.ids import Seconds
from m2serve.master.attachment import Attachment
from m2serve.master.commands import Command
from m2serve.master.touch import identity

if TYPE_CHECKING:
    from collections.abc import Callable

    from m2serve.master.board import Board
    from m2serve.master.commands import Commands
    from m2serve.master.touch import Identity

log = logging.getLogger("m2serve.master")


@dataclass
class Autoreload(Attachment):
    """Looks at all files that workers and nurseries have named; 2000 take it some milliseconds.

    A file that is not there is no change: editors take it away for a moment.
    """

    period: Seconds
    board: Board
    commands: Commands
    look: Callable[[str], Identity | None] = identity
    _seen: dict[str, Identity | None] = field(default_factory=dict)
    _next: Seconds = field(default=Seconds(0.0))

    def turn(self, now: Seconds) -> bool:
        # New ones are looked at when they are named: what changes from then on counts.
        if len(self.board.sources) > len(self._seen):
            for path in self.board.sources - self._seen.keys():
                self._seen[path] = self.look(path)
        if now < self._next:
            return False
        self._next = Seconds(now + self.period)
        changed = [path for path, before in self._seen.items() if self._has_changed(path, before)]
        if not changed:
            return False
        others = f" and {len(changed) - 1} more" if len(changed) > 1 else ""
        self.commands.obey(Command.RELOAD, f"py-autoreload, {os.path.relpath(changed[0])} has changed{others}", now)
        return True

    def due(self, now: Seconds) -> Seconds | None:
        return self._next if self._seen else None

    def _has_changed(self, path: str, before: Identity | None) -> bool:
        found = self.look(path)
        if found is None or found == before:
            return False
        self._seen[path] = found
        return True
