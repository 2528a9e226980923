"""Process trees: starting one, ending it, what it has burnt and what it occupies."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

GRACE = 8.0
"""Seconds a tree has to leave after SIGTERM."""


class StartError(Exception):
    """A peer did not come up; the message carries the end of its log."""


class Tree:
    """A process we started, with all its descendants."""

    def __init__(self, argv: Sequence[str], log: Path, cwd: Path, env: dict[str, str] | None = None) -> None:
        self.log = log
        with log.open("ab") as out:
            self.popen = subprocess.Popen(
                argv,
                cwd=cwd,
                env={**os.environ, **(env or {})},
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                start_new_session=True,  # a ^C at the terminal is for the harness, which then ends the trees
            )
        self.root = psutil.Process(self.popen.pid)

    def members(self) -> list[psutil.Process]:
        """The root first, then its descendants."""
        return [self.root, *self.root.children(recursive=True)]

    def check(self) -> None:
        """Raises: StartError: the root has left."""
        if self.popen.poll() is not None:
            raise StartError(f"{self.popen.args!r} left with {self.popen.returncode}:\n{self.tail()}")

    def tail(self, size: int = 1500) -> str:
        """The end of its log."""
        return self.log.read_text(errors="replace")[-size:]

    def stop(self) -> None:
        """SIGTERM to the root, SIGKILL to whatever of the tree is left after the grace."""
        if self.popen.poll() is None:
            members = self.members()
            self.popen.send_signal(signal.SIGTERM)
            _, alive = psutil.wait_procs(members, timeout=GRACE)
            for process in alive:
                process.kill()  # psutil compares the start time: a reused pid is not hit
            psutil.wait_procs(alive, timeout=GRACE)
        self.popen.wait()


def cpu_seconds(processes: Iterable[psutil.Process]) -> float:
    """User and system time of *processes*, and of the children they have reaped, since they started."""
    total = 0.0
    for process in processes:
        try:
            times = process.cpu_times()
        except psutil.NoSuchProcess:
            continue
        total += times.user + times.system + times.children_user + times.children_system
    return total


def pss_bytes(process: psutil.Process) -> int:
    """Proportional set size: a page shared by n processes counts as one n-th."""
    for line in Path(f"/proc/{process.pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) * 1024
    raise ValueError(f"no Pss for process {process.pid}")


def machine_busy() -> float:
    """CPU seconds all cores have spent on anything since boot."""
    t = psutil.cpu_times()
    return float(t.user + t.nice + t.system + t.irq + t.softirq + t.steal)


def wait_until(ready: Callable[[], bool], seconds: float, trees: Iterable[Tree], what: str) -> None:
    """Poll *ready* until it is true.

    Raises: StartError: a tree has left meanwhile, or the time is over.
    """
    trees = list(trees)
    deadline = time.monotonic() + seconds
    while not ready():
        for tree in trees:
            tree.check()
        if time.monotonic() > deadline:
            raise StartError(f"{what}: not within {seconds} s\n" + "\n".join(tree.tail() for tree in trees))
        time.sleep(0.02)
