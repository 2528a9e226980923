"""Requests that run for too long, and workers that load for too long."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest
from support.http import Closed, Connection, get
from support.load import Load
from support.server import APPS, wait_until
from support.told import statistics, told_by

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from support.mongrel2 import Mongrel2
    from support.server import Server


def harakiris(path: Path) -> int:
    return sum(worker["harakiri_count"] for worker in statistics(path)["workers"])


def test_a_stuck_request_is_answered_and_the_others_finish(
    mongrel2: Mongrel2, serve: Callable[..., Server], tmp_path: Path
) -> None:
    stats = tmp_path / "stats"
    options = ("--harakiri", "1", "--harakiri", "/beside=60", "--harakiri-verbose")
    options += ("--harakiri-graceful-timeout", "60", "--stats", str(stats), "--py-tracebacker", str(tmp_path / "tb."))
    server = serve(mongrel2, module="stuck", processes=1, options=options)
    with ThreadPoolExecutor(8) as pool:
        old = server.pids("worker")["worker 1"]
        beside = pool.submit(get, mongrel2.address, "/beside/2.5")
        server.wait_log("begun /beside/2.5")
        assert b"function = beside line = time.sleep(" in told_by(tmp_path / "tb.1")
        # one of the two that follow may find the worker leaving, and be served by its successor
        half = pool.submit(get, mongrel2.address, "/half/5")
        with Connection(mongrel2.address) as stuck:
            answer = stuck.request("/wait/5")
            assert (answer.status, answer.get("connection")) == (504, "close")
            (request_id,) = [line.split()[-1] for line in answer.text.splitlines() if "request id" in line]
            told = server.wait_log(rf"HARAKIRI: worker 1 \(pid: \d+\) core \d: GET '/wait/5' id={request_id} .*504$")
            server.wait_log(r"tests/apps/stuck.py\", line \d+, in wait_here\n", after=told.start())
            server.wait_log(r"HARAKIRI: -- wchan> ", after=told.start())
            server.wait_log(r"GET /wait/5 => .*\(HTTP/1.1 504\)")
            assert stuck.read_to_end(10) == b"", "nothing is answered twice"
            server.wait_log("came back")
        with pytest.raises(Closed) as broken:
            half.result(20)
        assert broken.value.partial == b"first"
        server.wait_log(r"'/half/5' .*: connection closed, its answer had begun$")
        assert beside.result(20).text == str(old)
        server.wait_log(rf"worker 1 DRAINING -> DEAD \(exit code 0\) pid={old}")
        wait_until(lambda: harakiris(stats) == 2, 20, "both are counted")

        # no thread of a worker runs while C code keeps the lock: it can neither answer nor let others finish
        wait_until(lambda: len(server.pids("worker")) == 1, 20, "only the last successor is left")
        new = server.pids("worker")["worker 1"]
        beside = pool.submit(get, mongrel2.address, "/beside/50")
        server.wait_log("begun /beside/50")
        assert get(mongrel2.address, "/lock/50").status == 504
        assert beside.result(10).status == 502
        told = server.wait_log(rf"\(pid: {new}\) core \d: GET '/lock/50' .* does not answer and is killed")
        server.wait_log(r"tests/apps/stuck.py\", line \d+ in lock\n", after=told.start())
        server.wait_log("request answered 504 .*harakiri")
        assert get(mongrel2.address, "/").status == 200
        wait_until(lambda: harakiris(stats) == 3, 20, "it is counted, too")


def test_in_the_direct_topology_another_thread_goes_on(mongrel2: Mongrel2, serve: Callable[..., Server]) -> None:
    """What Mongrel2 has dealt to the stuck thread, and still deals to it, is served."""
    options = ("--zeromq-direct", "--harakiri", "2", "--harakiri", "/pid=60")
    options += ("--reload-on-exception-type", "ValueError", "--catch-exceptions")
    server = serve(mongrel2, module="stuck", processes=1, threads=2, options=options)
    server.allow("raised on purpose")
    failed, raised = server.pids("worker")["worker 1"], get(mongrel2.address, "/raise")
    assert raised.status == 500
    assert "ValueError: raised on purpose" in raised.text
    server.wait_log("worker 1 is to be replaced: reload-on-exception, ValueError")
    server.wait_gone([failed], 20)
    old = server.pids("worker")["worker 1"]
    with ThreadPoolExecutor(8) as pool:
        stuck = pool.submit(get, mongrel2.address, "/wait/60")
        server.wait_log("begun /wait/60")
        beside = [pool.submit(get, mongrel2.address, "/pid/0.1") for _ in range(6)]
        assert stuck.result(20).status == 504
        assert {one.result(20).status for one in beside} == {200}
    server.wait_log(r"GET '/wait/60' .*answered 504")
    server.wait_gone([old], 20)
    assert get(mongrel2.address, "/").status == 200


def test_code_that_does_not_load_ends_no_request(
    mongrel2: Mongrel2, start_server: Callable[..., Server], tmp_path: Path
) -> None:
    source, fifo = tmp_path / "reloaded.py", tmp_path / "fifo"
    source.write_text("from probe import application\n")
    args = ["--zeromq", mongrel2.pair, "-p", "2", "--threads", "2", "--disable-logging", "--module", "reloaded"]
    args += ["--pythonpath", str(APPS), "--pythonpath", str(tmp_path), "--master-fifo", str(fifo)]
    server = start_server(*args, "--worker-start-timeout", "5").wait_ready(2)
    server.allow("SyntaxError|invalid syntax")
    given_up = {
        "def broken(:\n": "its application cannot be loaded",
        "import os\nos._exit(3)\n": r"\d workers died before they were ready",
        "import time\ntime.sleep(60)\n": r"nursery \d has not loaded within 5 s \(worker-start-timeout\)",
    }
    with Load(mongrel2.address, "/sleep/0.01", clients=4, tagged=True) as load:
        load.more(20)
        before = server.pids("worker")
        for code, reason in given_up.items():
            mark = server.mark()
            source.write_text(code)
            fifo.write_text("r")
            server.wait_log(rf"reload given up: {reason}; the old generation goes on", 20, after=mark)
            load.more(20, since=time.monotonic())
            assert set(server.pids("worker").values()) >= set(before.values())
        server.wait_log(r'has not loaded within 5 s, at\n  File ".*reloaded.py", line 2 in <module>', after=mark)
        mark = server.mark()
        source.write_text("from probe import application\n")
        fifo.write_text("r")
        server.wait_ready(2, after=mark)
        server.wait_gone(before.values(), 20)
    assert set(load.summary()) == {"200"}, load.summary()
