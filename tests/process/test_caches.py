"""Caches that all workers share, and that outlive each of them."""

from __future__ import annotations

import json
import os
import signal
import threading
from typing import TYPE_CHECKING, Any

import pytest
from support.http import get
from support.server import APPS, wait_until
from support.told import statistics

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from support.mongrel2 import Mongrel2
    from support.server import Server

PATIENCE = 25.0
"""Seconds for one step on a machine that is busy."""

pytestmark = pytest.mark.timeout(90)


def test_workers_share_caches(mongrel2: Mongrel2, start_server: Callable[..., Server], tmp_path: Path) -> None:
    stats = str(tmp_path / "stats")
    options = ("--zeromq", mongrel2.pair, "--pythonpath", str(APPS), "--module", "caching", "-p", "3")
    options += ("--threads", "2", "--stats", stats, "--mule", "caching:mule")
    options += ("--cache2", "name=first,items=100,blocksize=100")
    options += ("--cache2", "name=hammered,items=40,purge_lru=1,blocksize=300,blocks=200,bitmap=1")
    server = start_server(*options).wait_ready(3)

    def ask(path: str) -> Any:
        return json.loads(get(mongrel2.address, path, timeout=PATIENCE).body)

    # many threads of three workers count together
    failures: list[object] = []
    threads = [threading.Thread(target=lambda: failures.append(ask("/count?times=250"))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == [0] * 8
    assert ask("/num?key=count") == 2000

    # what has its time is gone after it; a mule has the caches, too
    assert ask("/set?key=short&value=x&expires=1") is True
    wait_until(lambda: ask("/get?key=short") is None, PATIENCE, "its end")
    wait_until(lambda: ask("/get?key=mule") == "1", PATIENCE, "the mule's word")

    # writers are killed, wherever they are, and nobody ever sees half a value
    for _ in range(6):
        writes = ask("/num?key=writes")
        pid = ask("/hammer")
        wait_until(lambda before=writes: ask("/num?key=writes") > before + 100, PATIENCE, "writes")
        os.kill(pid, signal.SIGKILL)
        assert ask("/broken") == []

    caches = {one["name"]: one for one in statistics(stats)["caches"]}
    assert list(caches) == ["first", "hammered"]
    assert (caches["first"]["max_items"], caches["first"]["blocksize"], caches["first"]["full"]) == (100, 100, 0)
    assert caches["first"]["items"] == 3
    assert caches["first"]["hits"] >= 1
    assert caches["first"]["miss"] >= 1
    assert caches["hammered"]["items"] <= 40

    # a reload changes nothing, nor does another program that goes on
    for number in (signal.SIGHUP, signal.SIGUSR2):
        wait_until(lambda: len(server.pids("worker")) == 3, PATIENCE, "three workers")
        old, mark = server.pids("worker").values(), server.mark()
        server.signal(number)
        server.wait_ready(3, PATIENCE, after=mark)
        server.wait_gone(old, PATIENCE)
        assert ask("/num?key=count") == 2000
    assert ask("/broken") == []
    assert server.stop() == 0
