"""Pid files, the master's FIFO and watched files, with children that only obey."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time

import pytest
from support.manager import Manager
from support.obedient import DEADLINE, gone
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
    assert order("--pause", str(first))[0] == 0
    server.wait_for("SIGTSTP: paused")
    assert order("--resume", str(first))[0] == 0
    server.wait_for("SIGTSTP: going on")
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


def tell(path, text):
    fd = os.open(path, os.O_WRONLY)
    os.write(fd, text)
    os.close(fd)


def test_the_fifo_commands(start, tmp_path):
    server = start("--processes", "2", "--master-fifo", "fifo", "--pidfile", "pid")
    server.wait_for("all 2 workers ready")
    fifo = tmp_path / "fifo"
    tell(fifo, b"s")
    server.wait_for(r"3 children, 1 generations")
    tell(fifo, b"S?\n")
    server.wait_for("fifo S changes nothing")
    server.wait_for("1 bytes are no commands: '\\?'")
    (tmp_path / "pid").unlink()
    tell(fifo, b"P")
    server.wait_for("written to .*/pid")
    tell(fifo, b"r")
    server.wait_for("all 2 workers ready", 2)
    tell(fifo, b"R")
    server.wait_for("all 2 workers ready", 3)
    server.wait_for(r"worker \d READY -> STOPPING \(brutal reload\)", 2)
    tell(fifo, b"q")
    assert server.leave() == 0
    assert "fifo q: stopping" in server.log
    assert not fifo.exists()


def test_a_chain_never_has_less_than_all_nor_more_than_one_more(start, tmp_path):
    server = start("--processes", "3", "--master-fifo", "fifo")
    server.wait_for("all 3 workers ready")
    server.log, pids = "", server.pids()
    tell(tmp_path / "fifo", b"c")
    server.wait_for(r"generation 2 STARTING -> SERVING")
    server.signal(signal.SIGTERM)
    assert server.leave() == 0
    ready = alive = 3
    text = server.log[: server.log.index("SIGTERM: stopping")]
    for word in re.findall(r"worker \d \w+ -> (\w+)", text):
        ready += {"READY": 1, "DRAINING": -1}.get(word, 0)
        alive += {"STARTING": 1, "DEAD": -1}.get(word, 0)
        assert ready >= 3, text
        assert alive <= 4, text
    assert all(gone(pid) for pid in pids)


def test_a_chain_whose_worker_fails_leaves_the_old(start, tmp_path):
    server = start("--processes", "2", "--master-fifo", "fifo")
    server.wait_for("all 2 workers ready")
    before = [server.pid("worker 1"), server.pid("worker 2")]
    server.tell("fail")
    tell(tmp_path / "fifo", b"c")
    server.wait_for("chain reload given up: its application cannot be loaded; the old generation goes on")
    server.signal(signal.SIGUSR1)
    for pid in before:
        server.wait_for(rf"worker \d \(pid: {pid}\) generation 1 READY")
    server.untell("fail")
    tell(tmp_path / "fifo", b"c")
    server.wait_for(r"generation 3 STARTING -> SERVING")
    assert all(gone(pid) for pid in before)


def test_touched_files(start, tmp_path):
    (tmp_path / "all").touch()
    options = ["--touch-reload", "all", "--touch-chain-reload", "chain", "--touch-reload", "never"]
    server = start(*options)
    server.wait_for(r"touch-chain-reload: .*/chain does not exist yet")
    server.wait_for("all 1 workers ready")
    os.utime(tmp_path / "all")
    server.wait_for("touch-reload .*/all: reload")
    server.wait_for("all 1 workers ready", 2)
    (tmp_path / "chain").touch()
    server.wait_for("touch-chain-reload .*/chain: chain reload")
    server.wait_for("all 1 workers ready", 3)
    server.signal(signal.SIGTERM)
    assert server.leave() == 0
    assert server.log.count("starts beside the old one") == 2


def test_term_can_be_uwsgis_brutal_reload(start):
    server = start("--die-on-term=false")
    server.wait_for("all 1 workers ready")
    server.signal(signal.SIGTERM)
    server.wait_for("SIGTERM: brutal reload")
    server.wait_for("all 1 workers ready", 2)
    server.signal(signal.SIGINT)
    assert server.leave() == 0


@pytest.fixture
def manager(tmp_path):
    made = Manager(str(tmp_path / "notify"))
    yield made
    made.close()


def test_a_service_manager_is_told(start, manager, tmp_path):
    server = start("--processes", "2", NOTIFY_SOCKET=manager.address)
    ready = manager.wait_for("READY")
    assert ready == {"READY": "1", "MAINPID": str(server.process.pid), "STATUS": "2 workers serve"}
    before = time.monotonic()
    server.signal(signal.SIGHUP)
    reloading = manager.wait_for("RELOADING")
    assert before * 1e6 <= int(reloading["MONOTONIC_USEC"]) <= time.monotonic() * 1e6
    assert reloading["STATUS"] == "reload: 0 of 2 workers ready"
    manager.wait_for("READY")
    server.tell("fail")
    server.signal(signal.SIGHUP)
    manager.wait_for("RELOADING")
    given_up = manager.wait_for("READY")
    assert given_up["STATUS"].endswith("serve; reload given up: its application cannot be loaded")
    server.signal(signal.SIGTERM)
    manager.wait_for("STOPPING")
    assert server.leave() == 0
    assert not any("WATCHDOG" in message for message in manager.said)


def test_the_watchdog_is_fed_while_the_dispatcher_answers(start, manager):
    server = start(NOTIFY_SOCKET=manager.address, WATCHDOG_USEC="600000")
    manager.wait_for("READY")
    for _ in range(4):
        manager.wait_for("WATCHDOG")
    server.tell("deaf")
    while not manager.silence("WATCHDOG", 1.5):
        pass
    server.untell("deaf")
    manager.wait_for("WATCHDOG")
    server.wait_for("spawned dispatcher")
    os.kill(server.pid("dispatcher"), signal.SIGSTOP)
    while not manager.silence("WATCHDOG", 1.5):
        pass
    os.kill(server.pid("dispatcher"), signal.SIGKILL)
    manager.wait_for("WATCHDOG")


@pytest.mark.parametrize("options", [[], ["--need-app"]])
def test_a_worker_over_its_limit_stays_while_no_successor_comes_up(start, tmp_path, options):
    (tmp_path / "fail-later").touch()
    server = start("--max-worker-lifetime", "1", "--min-worker-lifetime", "0", *options)
    server.wait_for("all 1 workers ready")
    old = server.pid("worker 1")
    server.wait_for(r"worker 1 is to be replaced: max-worker-lifetime, \d+ s old")
    server.wait_for(r"worker 1 stays: its successor does not come up; next attempt in 60 s")
    server.signal(signal.SIGUSR1)
    server.wait_for(rf"worker 1 \(pid: {old}\) generation 1 READY")
    server.signal(signal.SIGTERM)
    assert server.leave() == 0
