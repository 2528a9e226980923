"""The master replaced by a new program in the same process: first tried, then executed.

```
IDLE ──USR2──▶ TRIAL ──can take over──▶ PASSED ──execve──▶ (the new program)
  ▲              │ cannot, or takes too long      │ execve fails, a stop, never a quiet moment
  └──────────────┴────────────────────────────────┘
```

The trial is the same command line with ``--check``, run beside us; it is shown the same state, and says whether it
could go on with it. Until ``execve`` nothing has changed, and nothing is lost if it fails.
"""

from __future__ import annotations

import logging
import os
import select
import signal
import sys
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

from m2serve.errors import ExitCode
from m2serve.ids import Seconds
from m2serve.master import heritage
from m2serve.master.actions import Kill
from m2serve.master.attachment import Attachment
from m2serve.master.child import AT_ZERO, Child, ChildState
from m2serve.master.signals import HANDLED
from m2serve.system.fds import close_quietly

if TYPE_CHECKING:
    from collections.abc import Mapping

    from m2serve.master.estate import Estate
    from m2serve.master.service import Service
    from m2serve.master.signals import SignalQueue
    from m2serve.system.start import Start

log = logging.getLogger("m2serve.master")

TRIAL_SECONDS = Seconds(60.0)
"""For the new program to say whether it can take over."""

QUIET_SECONDS = Seconds(10.0)
"""For what the master has begun to say to be said."""

_LOOK = Seconds(0.02)
_MOST = 64 * 1024


class Stage(Enum):
    """How far an upgrade is."""

    IDLE = "idle"
    TRIAL = "trial"
    PASSED = "passed"


@dataclass
class Upgrade(Attachment):
    """Does what ``board.upgrade_wanted`` asks for.

    Args: start: how we were started; None: nobody knows, and there is no upgrade.
    """

    estate: Estate
    signals: SignalQueue
    service: Service
    start: Start | None
    _stage: Stage = Stage.IDLE
    _trial: Child | None = None
    _output: int = -1
    _said: bytes = b""
    _until: Seconds = AT_ZERO

    def polled(self) -> Mapping[int, int]:
        return {self._output: select.POLLIN} if self._output >= 0 else {}

    def ready(self, fd: int, now: Seconds) -> None:
        try:
            while chunk := os.read(fd, _MOST):
                self._said = (self._said + chunk)[-_MOST:]
        except BlockingIOError:
            return
        os.close(fd)
        self._output = -1

    def turn(self, now: Seconds) -> bool:
        board = self.estate.board
        match self._stage:
            case Stage.IDLE if board.upgrade_wanted:
                return self._try(now)
            case Stage.TRIAL:
                return self._judge(now)
            case Stage.PASSED:
                return self._replace(now)
        return False

    def due(self, now: Seconds) -> Seconds | None:
        if self._stage is Stage.PASSED:
            return Seconds(now + _LOOK)
        return self._until if self._stage is Stage.TRIAL and self._until > now else None

    def close(self) -> None:
        """The master ends."""
        close_quietly(self._output)

    def _try(self, now: Seconds) -> bool:
        if self.start is None:
            return self._give_up("it is not known how this server was started")
        if not self.estate.board.served:
            return self._give_up("the server has not started yet")
        actor = self.estate.actor
        state = heritage.store(self.estate.write(os.getpid()))
        command = (*self.start.program, "--check", *self.start.arguments)
        environment = {**self.start.environment, heritage.VARIABLE: str(state)}
        try:
            self._trial, self._output = actor.try_program(command, environment, self.start.directory, state, now)
        except OSError as error:
            return self._give_up(f"it cannot be started: {error}")
        finally:
            os.close(state)
        self._stage, self._said, self._until = Stage.TRIAL, b"", Seconds(now + TRIAL_SECONDS)
        return False

    def _judge(self, now: Seconds) -> bool:
        trial = self._trial
        assert trial is not None
        if trial.state is not ChildState.DEAD:
            late, stop = now >= self._until, self.estate.board.stop
            if (late or stop is not None) and not trial.leaving:
                reason = f"no word within {TRIAL_SECONDS:.0f} s" if stop is None else stop.reason
                self.estate.actor.perform(Kill(trial, reason), now)
            return False
        if self._output >= 0:
            self.ready(self._output, now)
        close_quietly(self._output)
        self._output = -1
        lines = self._said.decode("utf-8", "replace").strip().splitlines()
        if trial.code == ExitCode.TAKES_OVER:
            self._stage, self._until = Stage.PASSED, Seconds(now + QUIET_SECONDS)
            return True
        for line in lines[-40:]:
            log.error("upgrade: %s", line)
        if trial.code == ExitCode.OK:
            return self._give_up("the new program knows no upgrade")
        found = [line.removeprefix("m2serve: ") for line in lines if line.startswith("m2serve: ")]
        return self._give_up(found[0] if trial.code == ExitCode.CONFIG and found else f"its trial ended: {trial.ended}")

    def _replace(self, now: Seconds) -> bool:
        if self.estate.board.stop is not None:
            return self._give_up("the server stops")
        if not self.estate.settled:
            if now >= self._until:
                return self._give_up("somebody does not read what the master says")
            return False
        # Those that come from here on wait for the new program; those that came before are ours.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, HANDLED)
        try:
            if self.signals.pending:
                return True
            self.service.last_words()
            return self._give_up(f"it cannot be executed: {self._execute()}")
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)

    def _execute(self) -> OSError:
        """Returns only if it fails; then all is as before."""
        assert self.start is not None
        left = self.estate.write(os.getpid())
        state = heritage.store(left)
        here = os.open(".", os.O_PATH | os.O_CLOEXEC)
        inherited = [state, *left.fds()]
        # Tests wait for this line.
        log.info("upgrade: the new program goes on from here (pid: %d)", os.getpid())
        command = (*self.start.program, *self.start.arguments)
        try:
            for fd in inherited:
                os.set_inheritable(fd, True)
            sys.stdout.flush()
            sys.stderr.flush()
            os.chdir(self.start.directory)
            os.execve(command[0], command, {**self.start.environment, heritage.VARIABLE: str(state)})
        except OSError as error:
            for fd in inherited:
                os.set_inheritable(fd, False)
            os.close(state)
            os.fchdir(here)
            return error
        finally:
            os.close(here)

    def _give_up(self, reason: str) -> bool:
        self._stage, self._trial = Stage.IDLE, None
        board = self.estate.board
        board.upgrade_wanted = False
        board.last_reload = f"upgrade given up: {reason}"
        # Tests wait for this line.
        log.error("upgrade given up: %s; the old program goes on", reason)
        return True
