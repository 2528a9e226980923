"""``import uwsgi`` in real workers."""

from __future__ import annotations

import json
import threading
from typing import TYPE_CHECKING

from support.http import get
from support.server import APPS, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from support.mongrel2 import Mongrel2
    from support.server import Server


def lines(path: Path) -> list[str]:
    return path.read_text().split("\n")[:-1] if path.exists() else []


def test_an_application_that_imports_uwsgi(
    mongrel2: Mongrel2, start_server: Callable[..., Server], tmp_path: Path
) -> None:
    (tmp_path / "count").write_text("0")
    options = ("--zeromq", mongrel2.pair, "--pythonpath", str(APPS), "--module", "uses_uwsgi", "-p", "2")
    options += ("--log-format", "[%(method) %(uri)] login=%(login)")
    server = start_server(*options, "--threads", "2", environment={"USES_UWSGI": str(tmp_path)}).wait_ready(2)
    pids = {str(pid) for pid in server.pids("worker").values()}

    # who it is, and hooks after the fork, once in each worker
    who = json.loads(get(mongrel2.address, "/who").body)
    assert who["worker"] in (1, 2)
    assert (who["master"], who["processes"], who["user"]) == (server.pid, "2", "b'kate'")
    assert who["request"] >= 1
    assert sorted(line.split()[0] for line in lines(tmp_path / "forked")) == ["1", "2"]
    assert {line.split()[1] for line in lines(tmp_path / "forked")} == pids
    assert get(mongrel2.address, "/user").body == b'"None"'
    server.wait_log(r"^\[GET /who\] login=kate \\x22k\\x22$")
    server.wait_log(r"^\[GET /user\] login=-$")

    # a lock that all threads of all workers share
    threads = [
        threading.Thread(target=get, args=(mongrel2.address, "/count"), kwargs={"timeout": 25}) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (tmp_path / "count").read_text() == "80"

    # timers in one worker, and in all; signals beside the requests
    wait_until(lambda: len(lines(tmp_path / "ticks")) >= 3, 10, "ticks")
    wait_until(lambda: set(lines(tmp_path / "everywhere")) == pids, 10, "ticks in each worker")
    assert len(set(lines(tmp_path / "ticks"))) == 1
    get(mongrel2.address, "/signal")
    wait_until(lambda: lines(tmp_path / "signals") == ["17 uwsgi-clock"], 10, "the signal")
    get(mongrel2.address, "/log")
    server.wait_log("^a line of the application's$")

    # a deadline that a request has asked for
    stuck = get(mongrel2.address, "/stuck", timeout=25)
    assert stuck.status == 504
    server.wait_log("HARAKIRI: .* GET '/stuck' ", 15)

    # when the worker that minds the timers ends, another one does
    get(mongrel2.address, "/reload")
    server.wait_log("generation 2 STARTING -> SERVING", 20)
    wait_until(lambda: not set(lines(tmp_path / "ticks")[-1:]) <= pids, 20, "ticks in a new worker")
    wait_until(lambda: pids & set(lines(tmp_path / "ends")), 20, "the end of an old worker")
    assert server.stop() == 0
