"""More requests than there are threads for: who is served, who is refused, and how soon."""

from __future__ import annotations

import statistics
from typing import TYPE_CHECKING

from support.http import Connection, get
from support.load import Load
from support.server import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from support.mongrel2 import Mongrel2
    from support.server import Server

SLEEP = 0.1
THREADS = 4
LIMIT = 8


def test_what_is_too_much_is_refused_at_once(mongrel2: Mongrel2, serve: Callable[..., Server]) -> None:
    server = serve(
        mongrel2,
        processes=2,
        threads=THREADS // 2,
        options=("--disable-logging", "--queue-limit", str(LIMIT), "--health-check", "/pid"),
    )
    server.allow("queue-limit")
    # those who are refused come again at once: many times what can be served
    with Load(mongrel2.address, f"/sleep/{SLEEP}", clients=THREADS + LIMIT + 6, timeout=15) as load:
        load.more(200, timeout=30)
        checks = [get(mongrel2.address, "/pid", timeout=15) for _ in range(10)]
        load.more(50, timeout=30)
    assert set(load.summary()) == {"200", "503"}, load.summary()
    assert [check.status for check in checks] == [200] * 10
    served = [result.seconds for result in load.results if result.status == 200]
    refused = [result.seconds for result in load.results if result.status == 503]
    assert len(served) >= 3 * THREADS
    # a busy machine is late with both
    assert statistics.median(refused) < statistics.median(served)
    assert statistics.median(served) < 10 * (SLEEP + SLEEP * LIMIT / THREADS)
    answer = get(mongrel2.address, "/sleep/0")
    assert answer.status == 200
    assert server.log.count("queue-limit") == len(refused)


FATAL = """
import os


def application(environ, start_response):
    # the process that gets a new name, or none, does not survive it
    name = environ["QUERY_STRING"]
    try:
        os.close(os.open(name or "/", os.O_CREAT | os.O_EXCL | os.O_WRONLY))
    except FileExistsError:
        if name:
            start_response("200 OK", [("Content-Length", "6")])
            return [b"served"]
    os._exit(9)
"""


def test_what_ran_in_a_dead_worker_runs_again_if_it_may(
    mongrel2: Mongrel2, start_server: Callable[..., Server], tmp_path: Path
) -> None:
    (tmp_path / "fatal.py").write_text(FATAL)
    args = ["--zeromq", mongrel2.pair, "-p", "2", "--threads", "2", "--pythonpath", str(tmp_path)]
    server = start_server(*args, "--module", "fatal", "--disable-logging", "--retry-idempotent")
    server.wait_ready(2)
    server.allow("died", "502")
    for method, status, again in (("GET", 200, 1), ("HEAD", 200, 1), ("POST", 502, 0)):
        mark = server.mark()
        with Connection(mongrel2.address, 20) as client:
            assert client.request(f"/?{tmp_path}/{method}", method=method).status == status
        assert server.log[mark:].count("another one gets it (retry-idempotent)") == again
        wait_until(lambda: len(server.pids("worker")) == 2, 20, "two workers again")
    # one that nobody survives costs two workers, not all
    mark = server.mark()
    assert get(mongrel2.address, "/", timeout=20).status == 502
    assert server.log[mark:].count("another one gets it (retry-idempotent)") == 1
    assert get(mongrel2.address, f"/?{tmp_path}/GET", timeout=20).status == 200
