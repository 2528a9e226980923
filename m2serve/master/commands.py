"""What the master can be asked from outside, by a signal, by its FIFO or by a touched file."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING

from m2serve.ids import Seconds
from m2serve.master import report
from m2serve.master.board import StopOrder
from m2serve.master.generation import ReloadKind
from m2serve.master.policies import stop
from m2serve.master.signals import Event
from m2serve.observe.log import reopen, rotate
from m2serve.wire.link import Verb

if TYPE_CHECKING:
    from collections.abc import Mapping

    from m2serve.config.settings import Settings
    from m2serve.master.board import Board
    from m2serve.master.pidfile import PidFiles
    from m2serve.master.signals import Caught

log = logging.getLogger("m2serve.master")

FAST_MERCY = Seconds(1.0)
"""For a fast stop."""


class Command(Enum):
    """One wish; `Commands.obey` grants it."""

    STOP = "stop gracefully"
    STOP_FAST = "stop with little mercy"
    RELOAD = "reload"
    CHAIN_RELOAD = "chain reload"
    BRUTAL_RELOAD = "brutal reload"
    TABLE = "log the table of children"
    PIDFILES = "write the pid files again"
    REOPEN_LOG = "open the log file again"
    MORE = "one worker more"
    FEWER = "one worker less"
    PAUSE = "hand out no requests, or go on"
    SLEEP = "let all workers leave until a request comes"
    ROTATE_LOG = "give the log file another name"
    UPGRADE = "upgrade"


OF_FUNCTION: Mapping[str, Command] = {
    "gracefully_kill_them_all": Command.STOP,
    "kill_them_all": Command.STOP_FAST,
    "grace_them_all": Command.RELOAD,
    "reap_them_all": Command.BRUTAL_RELOAD,
}
"""What uWSGI's functions for ``unix_signal`` do."""

OF_SIGNAL: Mapping[Event, Command] = {
    Event.TERM: Command.STOP,
    Event.INT: Command.STOP_FAST,
    Event.QUIT: Command.STOP_FAST,
    Event.HUP: Command.RELOAD,
    Event.USR1: Command.TABLE,
    Event.TTIN: Command.MORE,
    Event.TTOU: Command.FEWER,
    Event.TSTP: Command.PAUSE,
    Event.USR2: Command.UPGRADE,
}


@dataclass
class Commands:
    """Turns wishes into changes of the board; the policies do the rest."""

    settings: Settings
    board: Board
    pidfiles: PidFiles
    bound: Mapping[str, Command] = field(default_factory=dict)
    """Signals to which the settings give another meaning."""

    def obey(self, command: Command, source: str, now: Seconds) -> None:
        """*source* is for the log: ``SIGHUP``, ``fifo r``."""
        match command:
            case Command.STOP:
                self._stop(source, self.settings.worker_reload_mercy, self.settings.reload_mercy, now)
            case Command.STOP_FAST:
                self._stop(source, FAST_MERCY, FAST_MERCY, now, patient=False)
            case Command.RELOAD | Command.CHAIN_RELOAD | Command.BRUTAL_RELOAD:
                self._reload(ReloadKind(command.value), source, now)
            case Command.TABLE:
                report.log_lines(report.table_lines(self.board, now))
            case Command.PIDFILES:
                self.pidfiles.write_again()
            case Command.REOPEN_LOG:
                self._reopen_log(source)
            case Command.MORE | Command.FEWER:
                self._resize(1 if command is Command.MORE else -1, source)
            case Command.PAUSE:
                self._pause(source)
            case Command.SLEEP:
                self._sleep(source)
            case Command.ROTATE_LOG:
                self.rotate_log(source)
            case Command.UPGRADE:
                self._upgrade(source)

    def signal(self, caught: Caught, now: Seconds) -> None:
        """What a signal means."""
        command = OF_SIGNAL.get(caught.event)
        if caught.event is Event.TERM and not self.settings.die_on_term:
            command = Command.BRUTAL_RELOAD
        command = self.bound.get(caught.name, command)
        if command is not None:
            self.obey(command, caught.name, now)
        elif caught.event is not Event.CHLD:
            log.info("%s changes nothing", caught.name)

    def _stop(
        self, source: str, worker_mercy: Seconds, patience: Seconds, now: Seconds, *, patient: bool = True
    ) -> None:
        before = self.board.stop
        if before is not None:
            self.board.stop = stop.escalate(before, now)
            log.warning("%s again: stopping %s", source, self.board.stop.urgency.name.lower())
            return
        # Tests wait for this line.
        log.info("%s: stopping, with %g s of mercy", source, worker_mercy)
        self.board.stop = StopOrder(source, Seconds(now + worker_mercy), patience=patience, patient=patient)

    def _reload(self, kind: ReloadKind, source: str, now: Seconds) -> None:
        if self.board.stop is not None:
            log.info("%s changes nothing: stopping", source)
        elif self.settings.exit_on_reload:
            log.info("%s: exit-on-reload is set, GAME OVER (insert coin)", source)
            self._stop(source, self.settings.worker_reload_mercy, self.settings.reload_mercy, now)
        else:
            log.info("%s: %s", source, kind.value)
            if self.settings.log_reopen:
                self._reopen_log("log-reopen")
            self.board.reload_wanted = kind

    def _resize(self, change: int, source: str) -> None:
        board, crowd = self.board, self.board.crowd
        wanted = crowd.within(board.wanted + change, by_hand=True)
        if board.stop is not None or (board.asleep and change < 0):
            log.info("%s changes nothing: %s", source, "stopping" if board.stop is not None else "there is no worker")
        elif wanted == board.wanted:
            bound = "at most" if change > 0 else "at least"
            log.info("%s changes nothing: %d workers are wanted, %s so many are allowed", source, wanted, bound)
        else:
            # Tests wait for this line.
            log.info("%s: %d workers wanted", source, wanted)
            board.wake(wanted)

    def _pause(self, source: str) -> None:
        board = self.board
        if not board.can_sleep or board.stop is not None:
            why = "stopping" if board.stop is not None else "with zeromq-direct nobody can keep requests waiting"
            log.info("%s changes nothing: %s", source, why)
            return
        board.paused = not board.paused
        # Tests wait for this line.
        log.info("%s: %s", source, "paused, new requests wait in the queue" if board.paused else "going on")

    def _sleep(self, source: str) -> None:
        board = self.board
        if not board.can_sleep or board.stop is not None or not board.served or board.asleep:
            log.info("%s changes nothing: no worker could leave, or none could be woken", source)
            return
        # Tests wait for this line.
        log.info("%s: all workers leave until a request comes", source)
        board.sleep()

    def _upgrade(self, source: str) -> None:
        if self.board.stop is not None:
            log.info("%s changes nothing: stopping", source)
        elif self.board.upgrade_wanted:
            log.info("%s changes nothing: an upgrade is under way", source)
        else:
            log.info("%s: upgrade: the new program is tried", source)
            self.board.upgrade_wanted = True

    def _reopen_log(self, source: str) -> None:
        """Each process has descriptors of its own."""
        log.info("%s: %s", source, "log file opened again" if reopen() else "no log file is opened again")
        self._tell_reopen()

    def rotate_log(self, source: str, largest: int = 0) -> None:
        """The file gets another name if it is larger than so many bytes, and everybody a new one."""
        name = rotate(largest, self.settings.log_backupname, time.time())
        if name is not None:
            log.info("%s: the log until now is %s", source, name)
            self._tell_reopen()
        elif not largest:
            log.info("%s: there is no log file that has something in it", source)

    def _tell_reopen(self) -> None:
        for child in self.board.children:
            if child.link is not None:
                child.link.send(Verb.REOPEN, {})


def bound(settings: Settings) -> dict[str, Command]:
    """What ``unix_signal`` in the hooks of the master asks for."""
    hooks = (settings.hook_asap, settings.hook_as_root, settings.hook_as_user, settings.hook_post_app)
    deeds = [deed for hook in (*hooks, settings.hook_master_start) for deed in hook if deed.kind == "unix_signal"]
    return {deed.words[0]: OF_FUNCTION[deed.words[1]] for deed in deeds}
