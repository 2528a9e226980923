"""What the master can be asked from outside, by a signal, by its FIFO or by a touched file."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

from m2serve.ids import Seconds
from m2serve.master import report
from m2serve.master.board import StopOrder
from m2serve.master.policies import stop
from m2serve.master.signals import Event

if TYPE_CHECKING:
    from collections.abc import Mapping

    from m2serve.config.settings import Settings
    from m2serve.master.board import Board
    from m2serve.master.pidfile import PidFiles

log = logging.getLogger("m2serve.master")

FAST_MERCY = Seconds(1.0)
"""For a fast stop."""


class Command(Enum):
    """One wish; `Commands.obey` grants it."""

    STOP = "stop gracefully"
    STOP_FAST = "stop with little mercy"
    RELOAD = "reload"
    TABLE = "log the table of children"
    PIDFILES = "write the pid files again"


OF_SIGNAL: Mapping[Event, Command] = {
    Event.TERM: Command.STOP,
    Event.INT: Command.STOP_FAST,
    Event.QUIT: Command.STOP_FAST,
    Event.HUP: Command.RELOAD,
    Event.USR1: Command.TABLE,
}


@dataclass
class Commands:
    """Turns wishes into changes of the board; the policies do the rest."""

    settings: Settings
    board: Board
    pidfiles: PidFiles

    def obey(self, command: Command, source: str, now: Seconds) -> None:
        """*source* is for the log: ``SIGHUP``, ``fifo r``."""
        match command:
            case Command.STOP:
                self._stop(source, self.settings.worker_reload_mercy, self.settings.reload_mercy, now)
            case Command.STOP_FAST:
                self._stop(source, FAST_MERCY, FAST_MERCY, now)
            case Command.RELOAD:
                self._reload(source, now)
            case Command.TABLE:
                report.log_lines(report.table_lines(self.board, now))
            case Command.PIDFILES:
                self.pidfiles.write_again()

    def _stop(self, source: str, worker_mercy: Seconds, patience: Seconds, now: Seconds) -> None:
        before = self.board.stop
        if before is not None:
            self.board.stop = stop.escalate(before, now)
            log.warning("%s again: stopping %s", source, self.board.stop.urgency.name.lower())
            return
        # Tests wait for this line.
        log.info("%s: stopping, with %g s of mercy", source, worker_mercy)
        self.board.stop = StopOrder(source, Seconds(now + worker_mercy), patience=patience)

    def _reload(self, source: str, now: Seconds) -> None:
        if self.board.stop is not None:
            log.info("%s changes nothing: stopping", source)
        elif self.settings.exit_on_reload:
            log.info("%s: exit-on-reload is set, GAME OVER (insert coin)", source)
            self._stop(source, self.settings.worker_reload_mercy, self.settings.reload_mercy, now)
        else:
            log.info("%s: reload", source)
            self.board.reload_wanted = True
