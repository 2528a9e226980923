"""Commands that are run at their times: what is known of each, and how its runs are told."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from m2serve.ids import Seconds
from m2serve.master.attachment import Attachment
from m2serve.master.child import AT_ZERO
from m2serve.master.policies.cron import Almanac, matches
from m2serve.master.programs import Program, of_shell

if TYPE_CHECKING:
    from collections.abc import Callable

    from m2serve.config.crons import CronLine
    from m2serve.config.settings import Settings
    from m2serve.master.board import Board
    from m2serve.master.child import Child
    from m2serve.master.reap import Death

log = logging.getLogger("m2serve.master")


@dataclass(eq=False)
class Job:
    """One line of the options and what has become of it."""

    line: CronLine
    program: Program
    harakiri: Seconds
    """Runs are killed after so long; 0: never."""
    due: bool = False
    """Its time has come, and it has not been started."""
    running: list[Child] = field(default_factory=list)
    runs: int = 0
    started: float = 0.0
    """When it was started last, in seconds since the epoch."""
    last_code: int = 0
    last_seconds: Seconds = AT_ZERO

    def began(self, child: Child) -> None:
        self.due = False
        self.running.append(child)
        self.runs += 1
        self.started = time.time()

    def ended(self, child: Child, death: Death, now: Seconds) -> None:
        self.running.remove(child)
        self.last_code = death.code
        self.last_seconds = Seconds(now - child.started)
        level = logging.INFO if death.code == 0 else logging.WARNING
        # Tests wait for this line.
        log.log(level, "%s (pid: %d) ended: %s after %.2f s", child.name, child.pid, death, self.last_seconds)


def jobs(settings: Settings) -> list[Job]:
    """All that the settings name, in the order of the options."""
    lines = [*settings.cron, *settings.unique_cron, *settings.cron2]
    return [
        Job(
            line,
            of_shell(settings, f"cron {number}", line.command),
            Seconds(float(line.harakiri)) if line.harakiri else settings.cron_harakiri,
        )
        for number, line in enumerate(lines, 1)
    ]


@dataclass
class Timetable(Attachment):
    """Looks at the clock once a minute."""

    board: Board
    almanac: Almanac = field(default_factory=Almanac)
    wall: Callable[[], float] = time.time

    def turn(self, now: Seconds) -> bool:
        if not self.board.jobs or self.board.stop is not None:
            return False
        minutes = self.almanac.look(self.wall())
        for job in self.board.jobs:
            of_job = minutes.fixed if job.line.hour >= 0 else minutes.every
            job.due = job.due or any(matches(job.line, moment) for moment in of_job)
        return any(job.due for job in self.board.jobs)

    def due(self, now: Seconds) -> Seconds | None:
        if not self.board.jobs or self.board.stop is not None:
            return None
        return Seconds(now + 60.0 - self.wall() % 60.0)
