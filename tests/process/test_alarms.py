"""Alarms, through real processes."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

from support.http import get
from support.server import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from support.mongrel2 import Mongrel2
    from support.server import Server


def test_commands_are_told(mongrel2: Mongrel2, serve: Callable[..., Server], tmp_path: Path) -> None:
    told, died = tmp_path / "told", tmp_path / "died"
    options = [
        ("alarm", f"boss cmd:cat >> {told}; echo told the boss"),
        ("alarm", f"doctor cmd:cat >> {died}"),
        ("alarm-log", "boss begun /slow"),
        ("alarm-segfault", "doctor"),
        ("alarm-freq", "0"),
    ]
    server = serve(mongrel2, options=tuple(word for name, value in options for word in (f"--{name}", value)))
    assert get(mongrel2.address, "/slow/0/one").status == 200
    wait_until(lambda: told.exists() and "begun /slow/0/one\n" in told.read_text(), 20, "the boss is told")
    server.wait_log(r"alarm boss: told the boss")
    server.wait_log(r"alarm boss \(pid: \d+\) ended: exit code 0")

    mark = server.mark()
    os.kill(server.pids()["worker 1"], signal.SIGSEGV)
    server.wait_log("worker 1 STARTING -> READY", after=mark)
    wait_until(lambda: died.exists() and "worker 1" in died.read_text(), 20, "the doctor is told")
    assert "SIGSEGV" in died.read_text()
    assert get(mongrel2.address, "/").status == 200
    assert server.stop() == 0
