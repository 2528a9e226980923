"""When a command of cron is due, and whether it is started then.

Times are those of the local clock. That clock jumps: twice a year by an hour, and whenever somebody sets it. As with
cron(8), a command with a fixed hour runs once for each minute that it names, although the minute is left out in
spring and comes twice in autumn; one without a fixed hour goes by what the clock shows, minute by minute.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, NamedTuple

from m2serve.master.actions import Run, Skip

if TYPE_CHECKING:
    from m2serve.config.crons import CronLine
    from m2serve.ids import Seconds
    from m2serve.master.actions import Action
    from m2serve.master.board import Board

_MINUTE = timedelta(minutes=1)
JUMP = timedelta(hours=3)
"""A clock that is moved further has been set: nothing is made up for, nothing is left out."""


class Minutes(NamedTuple):
    """Minutes to look at, as the local clock shows them."""

    fixed: tuple[datetime, ...]
    """For commands with a fixed hour."""
    every: tuple[datetime, ...]
    """For the others: the one that is, or none if it has been looked at."""


class Almanac:
    """Which minutes have been looked at."""

    def __init__(self) -> None:
        self._minute: int | None = None
        self._latest: datetime | None = None

    @property
    def looked(self) -> tuple[int, datetime] | None:
        """The last look: minutes since the epoch, and as the clock showed it; None: there was none."""
        return None if self._minute is None or self._latest is None else (self._minute, self._latest)

    def go_on(self, minute: int, latest: datetime) -> None:
        """Another has looked until then."""
        self._minute, self._latest = minute, latest

    def look(self, wall: float) -> Minutes:
        """What has come since the last look.

        Args: wall: seconds since the epoch.
        """
        minute = int(wall // 60)
        if minute == self._minute:
            return Minutes((), ())
        self._minute = minute
        shown = datetime.fromtimestamp(minute * 60)
        return Minutes(self._since(shown), (shown,))

    def _since(self, shown: datetime) -> tuple[datetime, ...]:
        before = self._latest
        if before is None or abs(shown - before) > JUMP:
            self._latest = shown
            return (shown,)
        missed = []
        while before < shown:
            before += _MINUTE
            missed.append(before)
        # Set back: what is shown again has been looked at.
        self._latest = before
        return tuple(missed)


def matches(line: CronLine, moment: datetime) -> bool:
    """Whether the command runs in that minute.

    As uWSGI has it: if both day and weekday are numbers, either is enough.
    """
    weekday = moment.isoweekday() % 7
    day, week = _fits(line.day, moment.day), _fits(line.week, weekday)
    either = line.day >= 0 and line.week >= 0
    return (
        _fits(line.minute, moment.minute)
        and _fits(line.hour, moment.hour)
        and _fits(line.month, moment.month)
        and ((day or week) if either else (day and week))
    )


def _fits(wanted: int, shown: int) -> bool:
    return shown % -wanted == 0 if wanted < 0 else shown == wanted


def decide(board: Board, now: Seconds) -> list[Action]:
    """Start what is due; what is unique and still runs is left out this time."""
    if board.stop is not None:
        return []
    return [Skip(job) if job.line.unique and job.running else Run(job) for job in board.jobs if job.due]
