"""The application loaded once for all workers: who forks them, who reaps them, and what happens when one dies."""

from __future__ import annotations

import os
import re
import signal
import time
from typing import TYPE_CHECKING

import psutil
import pytest
from support.http import get
from support.load import Load
from support.server import APPS, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from support.mongrel2 import Mongrel2
    from support.server import Server

CODE = """
import os, random
from probe import application

print("loaded {version}", flush=True)
os.register_at_fork(after_in_child=lambda: print("drawn", random.random(), flush=True))
"""


@pytest.fixture
def site(mongrel2: Mongrel2, start_server: Callable[..., Server], tmp_path: Path) -> Callable[..., Server]:
    """Two workers of a module that a test may change."""

    def start(*options: str, code: str = CODE.format(version="v0")) -> Server:
        (tmp_path / "preloaded.py").write_text(code)
        args = ["--zeromq", mongrel2.pair, "-p", "2", "--threads", "2", "--disable-logging", *options]
        args += ["--pythonpath", str(APPS), "--pythonpath", str(tmp_path), "--module", "preloaded"]
        return start_server(*args)

    return start


def ppids(server: Server) -> set[int]:
    """Parents of the workers, all of which are there and stay."""
    return {psutil.Process(pid).ppid() for pid in server.pids("worker").values()}


def test_one_nursery_a_generation(mongrel2: Mongrel2, site: Callable[..., Server], tmp_path: Path) -> None:
    """Its life: it loads, forks children of the master's, forks their successors, dies, is replaced, is retired."""
    server = site().wait_ready(2)
    assert server.log.count("loaded v0") == 1
    assert ppids(server) == {server.pid}
    drawn = re.findall(r"drawn (\S+)", server.log)
    assert len(drawn) == len(set(drawn)) == 2, "hooks run once a worker, and chance is another in each"

    # a worker dies: the next one comes without a load
    mark = server.mark()
    server.kill_child("worker 1")
    server.wait_log(r"worker 1 ready", after=mark)
    assert server.log.count("loaded v0") == 1

    # the nursery dies: nobody notices, and the next one forks as well
    workers = server.pids("worker")
    mark = server.mark()
    server.kill_child("nursery 1")
    server.wait_log(r"nursery 1 has loaded", after=mark)
    assert server.pids("worker") == workers
    server.kill_child("worker 2")
    server.wait_log(r"worker 2 ready", after=mark)
    assert get(mongrel2.address).status == 200
    assert ppids(server) == {server.pid}

    # a reload: a nursery with the new code, and nothing is left of the old one
    before = server.pids("nursery")
    (tmp_path / "preloaded.py").write_text(CODE.format(version="v1"))
    mark = server.mark()
    server.signal(signal.SIGHUP)
    server.wait_ready(2, after=mark)
    server.wait_gone(before.values())
    assert set(server.pids("nursery")) == {"nursery 2"}
    assert server.log.count("loaded v1") == 1

    # the master dies: so do all
    everybody = [*server.pids().values()]
    server.kill_master()
    server.wait_gone(everybody)


def test_what_cannot_be_forked_is_loaded_by_each_worker(mongrel2: Mongrel2, site: Callable[..., Server]) -> None:
    thread = "import threading\nthreading.Thread(target=threading.Event().wait, name='beat', daemon=True).start()\n"
    server = site(code=CODE.format(version="v0") + thread).wait_ready(2)
    server.wait_log(r"the application cannot be preloaded: thread 'beat' runs; each worker loads it")
    assert server.log.count("loaded v0") == 3, "the nursery, and each worker"
    wait_until(lambda: not server.pids("nursery"), 5, "the nursery has left")
    mark = server.mark()
    server.signal(signal.SIGHUP)
    server.wait_ready(2, after=mark)
    assert server.log[mark:].count("loaded v0") == 2
    assert get(mongrel2.address).status == 200


def test_preload_takes_what_cannot_be_forked_and_a_single_worker(site: Callable[..., Server]) -> None:
    thread = "import threading\nthreading.Thread(target=threading.Event().wait, name='beat', daemon=True).start()\n"
    server = site("--preload", "-p", "1", code=CODE.format(version="v0") + thread).wait_ready(1)
    server.wait_log(r"preload: workers will have no such thread, and share such connections: thread 'beat' runs")
    assert server.log.count("loaded v0") == 1
    mark = server.mark()
    server.kill_child("worker 1")
    server.wait_log(r"worker 1 ready", after=mark)
    assert server.stop() == 0


def test_a_nursery_that_cannot_load_ends_the_reload_only(
    mongrel2: Mongrel2, site: Callable[..., Server], tmp_path: Path
) -> None:
    """Code with a mistake, code that ends the process, code that never comes to an end: the old ones go on."""
    server = site("--need-app").wait_ready(2)
    server.allow("SyntaxError|invalid syntax")
    source = tmp_path / "preloaded.py"
    with Load(mongrel2.address, "/sleep/0.005", clients=4, tagged=True) as load:
        load.more(20)
        before = server.pids("worker")
        source.write_text("def broken(:\n")
        server.signal(signal.SIGHUP)
        server.wait_log("reload given up: its application cannot be loaded; the old generation goes on")
        mark = server.mark()
        source.write_text("import os\nos._exit(3)\n")
        server.signal(signal.SIGHUP)
        server.wait_log("reload given up: 4 workers died before they were ready", after=mark)
        source.write_text("print('hangs', flush=True)\nimport threading\nthreading.Event().wait()\n")
        server.signal(signal.SIGHUP)
        server.wait_log("hangs", after=mark)
        assert server.pids("worker") == before
        source.write_text(CODE.format(version="v1"))
        mark = server.mark()
        server.signal(signal.SIGHUP)
        server.wait_ready(2, after=mark)
        server.wait_gone(before.values())
        load.more(20, since=time.monotonic())
    assert set(load.summary()) == {"200"}, load.summary()
    wait_until(lambda: set(server.pids("nursery")) == {"nursery 5"}, 10, "the one that hung was killed")


@pytest.mark.timeout(60)
def test_deaths_between_any_two_lines(mongrel2: Mongrel2, site: Callable[..., Server]) -> None:
    """Nurseries and workers are killed while they fork and are born; afterwards all is as it should be."""
    server = site().wait_ready(2)
    with Load(mongrel2.address, "/sleep/0.005", clients=4) as load:
        until = time.monotonic() + 2
        while time.monotonic() < until:
            for pid in server.pids("worker").values():
                _kill(pid)
            for number in range(3):
                for pid in server.pids("nursery").values() if number else ():
                    _kill(pid)
                time.sleep(0.003)
        wait_until(lambda: set(server.pids("worker")) == {"worker 1", "worker 2"}, 20, "two workers again")
        load.more(20, timeout=10, since=time.monotonic())
        wait_until(lambda: set(server.pids("nursery")) == {"nursery 1"}, 20, "a nursery again")
    assert ppids(server) == {server.pid}
    assert server.stop(20) == 0


def _kill(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
