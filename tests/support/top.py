"""An unmodified uwsgitop on a terminal of its own."""

from __future__ import annotations

import os
import pty
import select
import shutil
import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

from support.server import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator


class Top:
    """What it has shown so far, and its keys."""

    def __init__(self, terminal: int, process: subprocess.Popen[bytes]) -> None:
        self._terminal = terminal
        self._process = process
        self._seen = b""

    def seen(self) -> bytes:
        while select.select([self._terminal], [], [], 0.01)[0]:
            try:
                self._seen += os.read(self._terminal, 65536)
            except OSError:
                break  # it has ended
        return self._seen

    def press(self, key: bytes) -> None:
        """Wait until it shows something more."""
        mark = len(self._seen)
        os.write(self._terminal, key)
        wait_until(lambda: len(self.seen()) > mark, 20, "another screen")

    def leave(self) -> None:
        """It ends as it should."""
        os.write(self._terminal, b"q")
        wait_until(lambda: self.seen() is not None and self._process.poll() is not None, 20, "its end")
        assert self._process.returncode == 0 and b"Traceback" not in self._seen


@contextmanager
def uwsgitop(address: str) -> Iterator[Top]:
    """Let it look at a statistics server."""
    program = shutil.which("uwsgitop", path=os.path.dirname(sys.executable))
    assert program is not None, "uwsgitop is in the extra 'test'"
    ours, theirs = pty.openpty()
    environment = {**os.environ, "TERM": "xterm", "LINES": "40", "COLUMNS": "200", "PYTHONWARNINGS": "ignore"}
    process = subprocess.Popen(
        [sys.executable, program, address],
        stdin=theirs, stdout=theirs, stderr=theirs, env=environment, start_new_session=True,
    )  # fmt: skip
    os.close(theirs)
    try:
        yield Top(ours, process)
    finally:
        process.kill()
        process.wait()
        os.close(ours)
