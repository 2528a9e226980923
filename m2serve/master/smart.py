"""Smart daemons: started when the process of their pid file is not there, and never stopped by us."""

from __future__ import annotations

import logging
import os
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING

from m2serve.ids import Seconds
from m2serve.master import pidfile
from m2serve.master.attachment import Attachment
from m2serve.master.child import AT_ZERO
from m2serve.master.touch import PERIOD

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from m2serve.master.board import Board
    from m2serve.master.programs import Smart

log = logging.getLogger("m2serve.master")


class Step(Enum):
    """What is to be done about one."""

    NOTHING = "nothing"
    START = "start"


@dataclass(eq=False)
class Watch:
    """One of them, as it was last seen."""

    smart: Smart
    pid: int = 0
    """0: not there."""
    missing: Seconds | None = None
    """Since when, or since when it was last started; None: it is there, or has never been looked for."""
    starts: int = 0

    def see(self, pid: int, now: Seconds) -> Step:
        """Take what the pid file says now; its process lives, or *pid* is 0."""
        name = self.smart.program.name
        if pid:
            if pid != self.pid:
                log.info("%s runs (pid: %d): %s", name, pid, self.smart.program.command)
            self.pid, self.missing = pid, None
            return Step.NOTHING
        if self.pid:
            log.warning("%s (pid: %d) has gone; it is started in %.0f s", name, self.pid, self._pause)
            self.pid, self.missing = 0, now
            return Step.NOTHING
        # Not there at the first look: at once. Else it may be about to come: it was just started, or restarts.
        if self.missing is not None and now < self.missing + self._pause:
            return Step.NOTHING
        self.missing = now
        self.starts += 1
        return Step.START

    @property
    def _pause(self) -> Seconds:
        return max(self.smart.frequency, PERIOD)


def living(path: str) -> int:
    """The pid in that file if such a process lives, else 0."""
    try:
        pid = pidfile.read(path)
    except (OSError, ValueError):
        return 0
    try:
        os.kill(pid, 0)
    except PermissionError:
        return pid  # somebody else's, but it lives
    except OSError:
        return 0
    return pid


@dataclass
class SmartDaemons(Attachment):
    """Looks once a second.

    Args: start: runs one, detached from us.
    """

    board: Board
    watches: Sequence[Watch]
    start: Callable[[Smart], None]
    look: Callable[[str], int] = living
    _next: Seconds = field(default=AT_ZERO)

    def turn(self, now: Seconds) -> bool:
        if self.board.stop is not None or now < self._next:
            return False
        self._next = Seconds(now + PERIOD)
        for watch in self.watches:
            if watch.see(self.look(watch.smart.pidfile), now) is Step.START:
                self._start(watch)
        return False

    def due(self, now: Seconds) -> Seconds | None:
        return self._next if self.watches and self.board.stop is None else None

    def _start(self, watch: Watch) -> None:
        program = watch.smart.program
        # Tests wait for this line.
        log.info("%s is started: %s", program.name, program.command)
        try:
            self.start(watch.smart)
        except OSError as error:
            log.error("%s cannot be started: %s", program.name, error)
