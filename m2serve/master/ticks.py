"""What plugins want to do every so many seconds."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from m2serve.ids import Seconds
from m2serve.master.attachment import Attachment

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from m2serve.observe.snapshot import Snapshot
    from m2serve.plugin.hooks import Tick


@dataclass
class Ticks(Attachment):
    """Calls each in its time. One snapshot serves all whose time has come."""

    ticks: Sequence[Tick]
    snapshot: Callable[[Seconds], Snapshot]
    _next: list[Seconds] = field(default_factory=list)

    def turn(self, now: Seconds) -> bool:
        if not self._next:
            self._next = [Seconds(now + tick.seconds) for tick in self.ticks]
        due = [index for index, when in enumerate(self._next) if when <= now]
        if due:
            snapshot = self.snapshot(now)
            for index in due:
                tick = self.ticks[index]
                # Not from when it should have been: after a long pause there is nothing to catch up with.
                self._next[index] = Seconds(now + tick.seconds)
                tick.call.run(snapshot)
        return False

    def due(self, now: Seconds) -> Seconds | None:
        return min(self._next, default=None)
