"""A real master whose children only obey, see fake_children.py."""

from __future__ import annotations

import os
import re
import select
import subprocess
import sys
import time
from pathlib import Path

import pytest

HERE = Path(__file__).parents[1] / "process"
DEADLINE = 30.0
PAIR = "tcp://127.0.0.1:1,tcp://127.0.0.1:2"


class Running:
    """A server in a process of its own, and its log."""

    def __init__(self, directory: Path, *options: str, zeromq: bool = True, **variables: str) -> None:
        self.directory = directory
        (directory / "app.py").write_text("application = None\n")
        command = [sys.executable, str(HERE / "fake_children.py"), str(directory), "--module", "app"]
        command += ["--zeromq", PAIR] if zeromq else []
        environment = {**os.environ, "PYTHONPATH": str(HERE.parent.parent), **variables}
        self.process = subprocess.Popen([*command, *options], stderr=subprocess.PIPE, cwd=directory, env=environment)
        assert self.process.stderr is not None
        self.log = ""

    def tell(self, name: str) -> None:
        (self.directory / name).touch()

    def untell(self, name: str) -> None:
        (self.directory / name).unlink()

    def signal(self, number: int) -> None:
        self.process.send_signal(number)

    def wait_for(self, pattern: str, times: int = 1) -> list[str]:
        """Read the log until *pattern* has come so often; returns what it captured."""
        end = time.monotonic() + DEADLINE
        while len(found := re.findall(pattern, self.log)) < times:
            if not self._read(end):
                pytest.fail(f"{pattern!r} came {len(found)} times, not {times}, in the log:\n{self.log}")
        return found

    def leave(self) -> int:
        """The exit code; afterwards the log is complete."""
        end = time.monotonic() + DEADLINE
        while self._read(end):
            pass
        return self.process.wait(DEADLINE)

    def pids(self) -> list[int]:
        return [int(pid) for pid in re.findall(r"spawned .*\(pid: (\d+)", self.log)]

    def pid(self, name: str) -> int:
        """The latest child of that name."""
        return int(re.findall(rf"spawned {name} \(pid: (\d+)", self.log)[-1])

    def _read(self, end: float) -> bool:
        stream = self.process.stderr
        assert stream is not None
        ready, _, _ = select.select([stream], [], [], max(0.0, end - time.monotonic()))
        data = os.read(stream.fileno(), 65536) if ready else b""
        self.log += data.decode()
        return bool(data)


def gone(pid: int) -> bool:
    """Wait until the process has ended."""
    try:
        fd = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([fd], [], [], DEADLINE)[0])
    finally:
        os.close(fd)
