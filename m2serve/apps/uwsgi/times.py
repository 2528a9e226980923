"""When timers and crons are due. No clock is read here."""

from __future__ import annotations

import math
import time
from typing import NamedTuple


class Every(NamedTuple):
    """A timer: so many seconds, counted from the start of the server, so that all workers agree on the moments."""

    seconds: float
    started: float
    """Monotonic seconds."""

    def after(self, now: float, wall: float) -> float:
        """The first moment later than *now*, in monotonic seconds."""
        passed = math.floor((now - self.started) / self.seconds + 1e-9)
        return self.started + (passed + 1) * self.seconds


class Cron(NamedTuple):
    """Minutes of the local clock: -1 is any, -N every N; a week's days count from Sunday, 0."""

    minute: int
    hour: int
    day: int
    month: int
    week: int

    def after(self, now: float, wall: float) -> float:
        """The beginning of the next minute, in monotonic seconds; whether it matches is asked then."""
        # a little later, for the two clocks are not set alike: too early would be the minute before
        return now + (60.0 - wall % 60.0) + 0.05

    def matches(self, wall: float) -> bool:
        """Whether the minute of *wall*, seconds since the epoch, is one of them; uWSGI's rule."""
        local = time.localtime(wall)
        week = (local.tm_wday + 1) % 7
        days = _fits(self.day, local.tm_mday)
        weeks = _fits(self.week % 7 if self.week >= 0 else self.week, week)
        # either will do where both are given, as cron has it
        both = self.day != -1 and self.week != -1
        return (
            _fits(self.minute, local.tm_min)
            and _fits(self.hour, local.tm_hour)
            and _fits(self.month, local.tm_mon)
            and ((days or weeks) if both else (days and weeks))
        )


def _fits(wanted: int, found: int) -> bool:
    if wanted >= 0:
        return wanted == found
    return found % -wanted == 0
