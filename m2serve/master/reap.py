"""Collects the dead."""

from __future__ import annotations

import os
import signal
from dataclasses import dataclass

from m2serve.ids import Pid


@dataclass(frozen=True)
class Death:
    """How a process ended: *code* is its exit code, or minus the signal that killed it."""

    pid: Pid
    code: int

    def __str__(self) -> str:
        if self.code >= 0:
            return f"exit code {self.code}"
        try:
            name = signal.Signals(-self.code).name
        except ValueError:
            return f"killed by signal {-self.code}"
        return f"killed by signal {-self.code}, {name}"


def reap() -> list[Death]:
    """Everybody who has died since the last call, known or not; never waits."""
    deaths: list[Death] = []
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return deaths
        if pid == 0:
            return deaths
        deaths.append(Death(Pid(pid), os.waitstatus_to_exitcode(status)))
