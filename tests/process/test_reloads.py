"""Every kind of reload under load: no request is lost, none is answered otherwise than by 200."""

from __future__ import annotations

import contextlib
import os
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest
from support.http import get
from support.load import Load
from support.server import APPS, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from support.mongrel2 import Mongrel2
    from support.server import Server


@pytest.fixture
def controlled(mongrel2: Mongrel2, start_server: Callable[..., Server], tmp_path: Path) -> Callable[..., Server]:
    """Two workers with a FIFO in ``tmp_path`` and a module that a test may change."""

    def start(*options: str) -> Server:
        args = ["--zeromq", mongrel2.pair, "-p", "2", "--threads", "4", "--disable-logging"]
        args += ["--pythonpath", str(APPS), "--pythonpath", str(tmp_path), "--module", "reloaded"]
        return start_server(*args, "--master-fifo", str(tmp_path / "fifo"), *options)

    return start


def code(path: Path, version: str) -> None:
    path.write_text(f"from probe import application\n\nVERSION = {version!r}\nprint('loaded', VERSION)\n")


def tell(path: Path, letter: str) -> None:
    with open(path, "w") as fifo:
        fifo.write(letter)


@pytest.mark.parametrize(
    ("letter", "rounds", "options"),
    [("r", 4, ()), ("c", 3, ()), ("r", 2, ("--lazy-apps",))],
    ids=["graceful", "chain", "lazy"],
)
def test_no_request_is_lost_in_a_reload(
    mongrel2: Mongrel2,
    controlled: Callable[..., Server],
    tmp_path: Path,
    letter: str,
    rounds: int,
    options: tuple[str, ...],
) -> None:
    """A quarter of the requests runs for 0.1 s, so that some are under way whenever a worker has to leave."""
    source = tmp_path / "reloaded.py"
    code(source, "v0")
    server = controlled(*options).wait_ready(2)
    with (
        Load(mongrel2.address, "/sleep/0.002", clients=12, tagged=True) as quick,
        Load(mongrel2.address, "/sleep/0.1", clients=4, tagged=True) as slow,
    ):
        quick.more(50)
        for number in range(1, rounds + 1):
            old = set(server.pids("worker").values())
            code(source, f"v{number}")
            mark = server.mark()
            tell(tmp_path / "fifo", letter)
            server.wait_ready(2, after=mark)
            server.wait_gone(old)
            loads = 2 if options else 1
            server.wait_log(f"loaded v{number}\n", after=mark)
            assert server.log[mark:].count(f"loaded v{number}\n") == loads, server.log[mark:]
            quick.more(20, since=time.monotonic())
    assert set(quick.summary()) == {"200"}, quick.summary()
    assert set(slow.summary()) == {"200"}, slow.summary()


def test_a_brutal_reload_cuts_what_takes_longer_than_a_second_only(
    mongrel2: Mongrel2, controlled: Callable[..., Server], tmp_path: Path
) -> None:
    code(tmp_path / "reloaded.py", "v0")
    server = controlled().wait_ready(2)
    with ThreadPoolExecutor(1) as pool, Load(mongrel2.address, "/sleep/0.01", clients=8, tagged=True) as quick:
        stuck = pool.submit(get, mongrel2.address, "/sleep/20")
        quick.more(50)
        old = set(server.pids("worker").values())
        mark = server.mark()
        tell(tmp_path / "fifo", "R")
        server.wait_ready(2, after=mark)
        server.wait_gone(old)
        assert stuck.result(30).status == 502
        quick.more(50, since=time.monotonic())
    assert set(quick.summary()) == {"200"}, quick.summary()


def test_broken_code_ends_a_chain_and_no_request(
    mongrel2: Mongrel2, controlled: Callable[..., Server], tmp_path: Path
) -> None:
    source = tmp_path / "reloaded.py"
    code(source, "v0")
    server = controlled().wait_ready(2)
    server.allow("SyntaxError|invalid syntax")
    with Load(mongrel2.address, "/sleep/0.01", clients=8, tagged=True) as load:
        load.more(50)
        before = server.pids("worker")
        source.write_text("def broken(:\n")
        tell(tmp_path / "fifo", "c")
        server.wait_log("chain reload given up: its application cannot be loaded; the old generation goes on")
        load.more(50, since=time.monotonic())
        code(source, "v1")
        mark = server.mark()
        tell(tmp_path / "fifo", "c")
        server.wait_ready(2, after=mark)
        server.wait_gone(before.values())
    assert set(load.summary()) == {"200"}, load.summary()


def holds(pid: int, path: Path) -> bool:
    """Whether that process has the file open."""
    directory = f"/proc/{pid}/fd"
    with contextlib.suppress(FileNotFoundError):  # of what is closed while we look
        return any(os.readlink(f"{directory}/{fd}") == str(path) for fd in os.listdir(directory))
    return True


def test_a_rotated_log_is_opened_again_by_all(
    mongrel2: Mongrel2, controlled: Callable[..., Server], tmp_path: Path
) -> None:
    code(tmp_path / "reloaded.py", "v0")
    log, rotated, touched = tmp_path / "serve.log", tmp_path / "serve.log.1", tmp_path / "rotated"
    touched.touch()
    server = controlled("--logto", str(log), "--touch-logreopen", str(touched), "--disable-logging=false")

    def said(words: str) -> bool:
        return log.exists() and words in log.read_text()

    wait_until(lambda: said("all 2 workers ready"), 30, "the start")
    log.rename(rotated)
    os.utime(touched)
    with Load(mongrel2.address, "/hello/after", clients=4):
        wait_until(lambda: said("log file opened again"), 30, "another file")
        wait_until(lambda: said("/hello/after"), 30, "a request there")
        holders = [server.pid, *server.pids().values()]
        wait_until(lambda: not any(holds(pid, rotated) for pid in holders), 30, "all have closed the old one")
    size = rotated.stat().st_size
    server.kill_child("dispatcher")
    assert server.stop() == 0
    assert "goodbye" in log.read_text()
    assert rotated.stat().st_size == size, "nobody writes there any more"
