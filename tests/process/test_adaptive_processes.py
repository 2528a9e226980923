"""Workers that come and go as they are needed, behind a real Mongrel2: no request is lost by it."""

from __future__ import annotations

import re
import signal
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest
from support.http import get
from support.load import Load
from support.server import APPS, wait_until
from support.told import statistics

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from support.http import Response
    from support.mongrel2 import Mongrel2
    from support.server import Server

SLOW = 40.0
"""Seconds for what takes three on a quiet machine."""


@pytest.fixture
def cheaply(start_server: Callable[..., Server], tmp_path: Path) -> Callable[..., Server]:
    """Processes of two threads, with a FIFO and statistics named after their Mongrel2."""

    def start(mongrel2: Mongrel2, *options: str, processes: int = 3, module: str = "probe") -> Server:
        args = ["--zeromq", mongrel2.pair, "-p", str(processes), "--threads", "2", "--disable-logging"]
        args += ["--pythonpath", str(APPS), "--module", module, "--stats", str(tmp_path / "stats")]
        return start_server(*args, "--master-fifo", str(tmp_path / "fifo"), *options)

    return start


@pytest.fixture
def tell(tmp_path: Path) -> Callable[[str], None]:
    def write(letter: str) -> None:
        with open(tmp_path / "fifo", "w") as fifo:
            fifo.write(letter)

    return write


@pytest.fixture
def stats(tmp_path: Path) -> Callable[[], dict[str, Any]]:
    return lambda: statistics(tmp_path / "stats", timeout=SLOW)


class Asked(threading.Thread):
    """A request that may have to wait; `answer` waits for it."""

    def __init__(self, mongrel2: Mongrel2, target: str = "/") -> None:
        super().__init__()
        self._mongrel2, self._target = mongrel2, target
        self._response: Response | None = None
        self.start()

    def run(self) -> None:
        self._response = get(self._mongrel2.address, self._target, timeout=SLOW)

    def answer(self) -> Response:
        self.join(2 * SLOW)
        assert self._response is not None
        return self._response


def workers(document: dict[str, Any]) -> list[tuple[int, int, str]]:
    return [(one["id"], one["pid"], one["status"]) for one in document["workers"]]


def counts(log: str) -> list[int]:
    """How many workers were ready, after each change."""
    ready, seen = 0, []
    for source, target in re.findall(r"worker \d (\w+) -> (\w+)", log):
        ready += (target == "READY") - (source == "READY")
        seen.append(ready)
    return seen


@pytest.mark.timeout(120)
def test_the_number_follows_the_load(
    start_mongrel2: Callable[..., Mongrel2], start_server: Callable[..., Server]
) -> None:
    """Each algorithm has a server, and all have the same load, so that they need the time of one."""
    algorithms = {
        "spare": (),
        "backlog": (),
        "busyness": ("--cheaper-busyness-multiplier", "1", "--cheaper-busyness-verbose"),
    }
    servers, quick, slow = [], [], []
    for name, options in algorithms.items():
        mongrel2 = start_mongrel2()
        args = ["--zeromq", mongrel2.pair, "-p", "3", "--threads", "2", "--disable-logging", "--module", "probe"]
        args += ["--pythonpath", str(APPS), "--cheaper", "1", "--cheaper-step", "2", "--cheaper-overload", "1"]
        servers.append(start_server(*args, "--cheaper-algo", name, *options))
        quick.append(Load(mongrel2.address, "/sleep/0.002", clients=1, tagged=True, timeout=SLOW))
        slow.append(Load(mongrel2.address, "/sleep/0.1", clients=9, tagged=True, timeout=SLOW))
    for server in servers:
        server.wait_ready(1, SLOW)
    try:
        for load in (*quick, *slow):
            load.__enter__()
        for server in servers:
            server.wait_log(r"3 workers wanted, \+2", SLOW)
            server.wait_log("worker 3 ready", SLOW)
        for server in servers:
            server.signal(signal.SIGHUP)
        for server in servers:
            server.wait_ready(3, SLOW)
        for load in slow:
            load.stop()
        for server in servers:
            server.wait_log("1 workers wanted, -1", SLOW)
            server.wait_log(r"worker 2 DRAINING -> DEAD", SLOW)
        for load in quick:
            load.more(10, SLOW, since=time.monotonic())
    finally:
        for load in (*quick, *slow):
            load.stop()
    for load in (*quick, *slow):
        assert set(load.summary()) == {"200"}, load.summary()
    for server in servers:
        seen = counts(server.log)
        assert min(seen[seen.index(1) :]) == 1
        assert not re.search("worker 4", server.log)


@pytest.mark.timeout(120)
def test_workers_come_with_the_first_request_and_leave_without(
    mongrel2: Mongrel2,
    cheaply: Callable[..., Server],
    stats: Callable[[], dict[str, Any]],
    tell: Callable[[str], None],
) -> None:
    server = cheaply(mongrel2, "--cheap", "--idle", "1", "--queue-timeout", "300ms", processes=2, module="slow_import")
    server.wait_log("no worker is wanted before a request comes", SLOW)
    server.wait_log("pull connected", SLOW)
    found = stats()
    assert workers(found) == [(0, 0, "cheap"), (0, 0, "cheap")]
    assert (found["m2serve"]["asleep"], found["m2serve"]["wanted"]) == (1, 0)
    # It waits for longer than queue-timeout: the application loads for a second.
    assert get(mongrel2.address, timeout=SLOW).status == 200
    server.wait_log("a request waits: 2 workers wanted", SLOW)
    server.wait_log("idle: no request for 1 s: all workers leave", SLOW)
    wait_until(lambda: workers(stats()) == [(1, 0, "cheap"), (2, 0, "cheap")], SLOW, "all have left")
    waiting = [Asked(mongrel2) for _ in range(8)]
    assert {one.answer().status for one in waiting} == {200}
    # A reload while nobody is there starts nobody; by hand they can be called, too.
    wait_until(lambda: workers(stats()) == [(1, 0, "cheap"), (2, 0, "cheap")], SLOW, "all have left")
    mark = server.mark()
    tell("r")
    server.wait_log(r"generation 2 STARTING -> SERVING", SLOW, after=mark)
    tell("+")
    server.wait_log(r"worker 1 ready", SLOW, after=mark)
    assert server.stop(SLOW) == 0


@pytest.mark.timeout(120)
def test_by_hand(
    mongrel2: Mongrel2,
    cheaply: Callable[..., Server],
    stats: Callable[[], dict[str, Any]],
    tell: Callable[[str], None],
) -> None:
    """More, fewer, paused, none: under load, by signals and letters."""
    server = cheaply(mongrel2).wait_ready(3, SLOW)
    with Load(mongrel2.address, "/sleep/0.01", clients=4, tagged=True, timeout=SLOW) as load:
        load.more(20, SLOW)
        server.signal(signal.SIGTTOU)
        server.wait_log("SIGTTOU: 2 workers wanted", SLOW)
        server.wait_log("worker 3 DRAINING -> DEAD", SLOW)
        wait_until(lambda: [one["status"] for one in stats()["workers"]].count("cheap") == 1, SLOW, "one is cheap")
        tell("-")
        server.wait_log("worker 2 DRAINING -> DEAD", SLOW)
        tell("-")
        server.wait_log("fifo - changes nothing: 1 workers are wanted, at least so many are allowed", SLOW)
        server.signal(signal.SIGTTIN)
        tell("+")
        server.wait_log("3 workers wanted", SLOW)
        wait_until(lambda: [one["accepting"] for one in stats()["workers"]] == [1, 1, 1], SLOW, "all are back")
        tell("+")
        server.wait_log(r"fifo \+ changes nothing: 3 workers are wanted, at most so many are allowed", SLOW)

        server.signal(signal.SIGTSTP)
        server.wait_log("SIGTSTP: paused", SLOW)
        wait_until(lambda: stats()["m2serve"]["dispatcher"]["queue"] == 4, SLOW, "all requests wait")
        wait_until(lambda: {one["status"] for one in stats()["workers"]} == {"pause"}, SLOW, "all workers pause")
        # A dispatcher that comes meanwhile keeps to it.
        server.kill_child("dispatcher")
        server.wait_log("pull taken over", SLOW)
        served = len(load.results)
        wait_until(lambda: stats()["m2serve"]["dispatcher"]["queue"] == 4, SLOW, "all requests wait")
        assert len(load.results) == served
        tell("p")
        server.wait_log("fifo p: going on", SLOW)
        load.more(20, SLOW, since=time.monotonic())

        before = set(server.pids("worker").values())
        mark = server.mark()
        tell("C")
        server.wait_log("a request waits: 3 workers wanted", SLOW, after=mark)
        wait_until(lambda: not before & set(server.pids("worker").values()), SLOW, "the old have left")
        load.more(20, SLOW, since=time.monotonic())
    assert set(load.summary()) == {"200"}, load.summary()
    # What waits when the server is told to stop was taken, and is answered.
    tell("p")
    server.wait_log("fifo p: paused", SLOW)
    last = Asked(mongrel2)
    wait_until(lambda: stats()["m2serve"]["dispatcher"]["queue"] == 1, SLOW, "the request waits")
    assert server.stop(SLOW) == 0
    assert last.answer().status == 200
