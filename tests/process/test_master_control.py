"""Pid files, the master's FIFO and watched files, with children that only obey."""

from __future__ import annotations

import signal
import subprocess
import sys

from support.obedient import DEADLINE
from support.server import ROOT


def order(*words):
    """Run ``m2serve`` as a client; its exit code and what it said."""
    run = subprocess.run(
        [sys.executable, "-m", "m2serve", *words], cwd=ROOT, stderr=subprocess.PIPE, text=True, timeout=DEADLINE
    )
    return run.returncode, run.stderr


def test_a_server_is_reloaded_and_stopped_by_its_pid_file(start, tmp_path):
    server = start("--pidfile", "first.pid", "--safe-pidfile", "safe.pid")
    server.wait_for("all 1 workers ready")
    server.wait_for(r"pid \d+ written to .*/safe.pid")
    first, safe = tmp_path / "first.pid", tmp_path / "safe.pid"
    assert first.read_text() == safe.read_text() == f"{server.process.pid}\n"
    assert order("--reload", str(first)) == (0, f"m2serve: --reload: told pid {server.process.pid}\n")
    server.wait_for("all 1 workers ready", 2)
    assert order("--stop", str(safe))[0] == 0
    assert server.leave() == 0
    assert "SIGINT: stopping" in server.log
    assert not first.exists()
    assert not safe.exists()
    assert order("--stop", str(first))[0] == 1


def test_the_safe_pid_file_waits_for_the_workers(start, tmp_path):
    (tmp_path / "hang").touch()
    server = start("--pidfile", "first.pid", "--safe-pidfile", "safe.pid")
    server.wait_for("spawned worker 1")
    pid = int((tmp_path / "first.pid").read_text())
    assert pid == server.process.pid
    server.signal(signal.SIGINT)
    assert server.leave() == 0
    assert not list(tmp_path.glob("*.pid"))
    assert "safe.pid" not in server.log


def test_a_pid_file_that_cannot_be_written_starts_nothing(start):
    server = start("--pidfile", "/nonexistent/pid")
    assert server.leave() == 1
    assert "nothing was started: pidfile '/nonexistent/pid' cannot be written" in server.log
    assert "spawned" not in server.log


def test_exit_on_reload(start):
    server = start("--exit-on-reload")
    server.wait_for("all 1 workers ready")
    server.signal(signal.SIGHUP)
    assert server.leave() == 0
    assert "GAME OVER" in server.log
