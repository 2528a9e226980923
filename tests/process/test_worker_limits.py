"""Workers that are replaced for their age, their requests or their size, under load."""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING

import pytest
from support.http import get
from support.load import Load
from support.server import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable

    from support.mongrel2 import Mongrel2
    from support.server import Server


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (("--max-requests", "300", "--max-requests-delta", "50"), r"max-requests, \d+ served"),
        (("--max-worker-lifetime", "2"), r"max-worker-lifetime, \d+ s old"),
        (("--reload-on-rss", "1"), r"reload-on-rss, \d+ MiB"),
        (("--reload-on-uss", "1", "--reload-on-pss", "1"), r"reload-on-uss, \d+ MiB"),
    ],
    ids=["requests", "lifetime", "memory", "shares"],
)
def test_workers_are_replaced_and_no_request_is_lost(
    mongrel2: Mongrel2, serve: Callable[..., Server], options: tuple[str, ...], reason: str
) -> None:
    server = serve(mongrel2, options=("--disable-logging", "--min-worker-lifetime", "1", *options))
    before = set(server.pids("worker").values())
    with (
        Load(mongrel2.address, "/sleep/0.002", clients=8, tagged=True) as quick,
        Load(mongrel2.address, "/sleep/0.1", clients=4, tagged=True) as slow,
    ):
        for number in (1, 2):
            server.wait_log(rf"worker {number} is to be replaced: {reason}")
        wait_until(lambda: not before & set(server.pids("worker").values()), 20, "both were replaced")
        quick.more(50, since=time.monotonic())
    assert set(quick.summary()) == {"200"}, quick.summary()
    assert set(slow.summary()) == {"200"}, slow.summary()
    ready, seen = 0, []
    for source, target in re.findall(r"worker \d (\w+) -> (\w+)", server.log):
        ready += (target == "READY") - (source == "READY")
        seen.append(ready)
    assert min(seen[seen.index(2) :]) == 2, "the successor was ready first"
    assert max(seen) == 3, "one at a time"
    assert server.stop() == 0


def test_a_worker_that_grows_too_large_is_killed_amid_its_request(
    mongrel2: Mongrel2, serve: Callable[..., Server]
) -> None:
    server = serve(mongrel2, threads=2, options=("--disable-logging", "--evil-reload-on-rss", "150"))
    with Load(mongrel2.address, "/sleep/0.01", clients=3, tagged=True, timeout=20) as load:
        load.more(20)
        mark = server.mark()
        assert get(mongrel2.address, "/keep/200/60", timeout=30).status == 502
        number = server.wait_log(r"worker (\d) .* is killed: evil-reload-on-rss, \d+ MiB", after=mark)[1]
        server.wait_log(rf"worker {number} \(pid: \d+\) died: killed by signal 9, SIGKILL; respawn in", after=mark)
        server.wait_log(rf"worker {number} ready", after=mark)
        load.more(20, since=time.monotonic())
    # What ran in its other thread at that moment goes with it, and no more.
    assert sum(load.summary().values()) - load.summary()["200"] <= 1, load.summary()
