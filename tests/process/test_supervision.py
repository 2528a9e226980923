"""What the clients notice when processes die, are stopped or replaced: nothing, or as little as possible."""

from __future__ import annotations

import os
import random
import signal
import time
from typing import TYPE_CHECKING

import pytest
from support.http import Connection, get, request_bytes
from support.load import Load
from support.server import APPS, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from support.mongrel2 import Mongrel2
    from support.server import Server

TOPOLOGIES = pytest.mark.parametrize("options", [(), ("--zeromq-direct",)], ids=["dispatched", "direct"])
QUIET = ("--disable-logging",)

ANSWER_SECONDS = 8.0
BACK_SECONDS = 15.0


def versioned(path: Path, version: str) -> None:
    """An application whose code is its version."""
    path.write_text(
        f"import time\n\n\ndef application(environ, start_response):\n    time.sleep(0.005)\n"
        f"    start_response('200 OK', [('Content-Length', '{len(version)}')])\n    return [b'{version}']\n"
    )


@pytest.fixture
def site(mongrel2: Mongrel2, start_server: Callable[..., Server], tmp_path: Path) -> Callable[..., Server]:
    """Serve ``tmp_path/site.py``, two workers."""

    def start(*options: str) -> Server:
        args = ["--zeromq", mongrel2.pair, "-p", "2", "--threads", "4", "--pythonpath", str(tmp_path)]
        return start_server(*args, "--module", "site_under_test", *QUIET, *options)

    return start


def assert_only_answers(load: Load) -> None:
    assert set(load.summary()) == {"200"}, load.summary()


# --- sudden death ---------------------------------------------------------------------


def test_a_killed_worker_costs_its_requests_only(mongrel2: Mongrel2, serve: Callable[..., Server]) -> None:
    server = serve(mongrel2, options=QUIET)
    with Load(mongrel2.address, "/sleep/0.01", clients=16) as load:
        load.more(100)
        for number in (1, 2):
            mark, killed = server.mark(), time.monotonic()
            server.kill_child(f"worker {number}")
            load.more(100, timeout=BACK_SECONDS, since=killed)
            server.wait_log(rf"worker {number} ready", timeout=BACK_SECONDS, after=mark)
    assert "timeout" not in load.summary(), load.summary()
    assert load.worst() < ANSWER_SECONDS
    lost = sum(count for outcome, count in load.summary().items() if outcome != "200")
    assert lost <= 2 * 4, f"two workers had four requests each: {load.summary()}"


def test_a_worker_that_exits_by_itself_is_replaced(mongrel2: Mongrel2, serve: Callable[..., Server]) -> None:
    server = serve(mongrel2)
    response = get(mongrel2.address, "/die")
    assert response.status == 502
    server.wait_log(r"died: exit code 9")
    wait_until(lambda: len(server.pids("worker")) == 2, BACK_SECONDS, "two workers again")
    assert get(mongrel2.address).status == 200


@pytest.mark.parametrize("scheme", ["tcp", "ipc"])
def test_a_killed_dispatcher_costs_at_most_what_it_was_sending(
    start_mongrel2: Callable[..., Mongrel2], serve: Callable[..., Server], scheme: str
) -> None:
    """Killed amid its ``send``, it leaves a batch of which nobody knows who has what: those clients are closed."""
    mongrel2 = start_mongrel2(scheme=scheme)
    server = serve(mongrel2, options=QUIET)
    with Load(mongrel2.address, "/sleep/0.01", clients=16, tagged=True) as load:
        load.more(100)
        for _ in range(3):
            mark, killed = server.mark(), time.monotonic()
            server.kill_child("dispatcher")
            load.more(100, timeout=BACK_SECONDS, since=killed)
            server.wait_log(r"dispatcher STARTING -> READY", timeout=BACK_SECONDS, after=mark)
        # A successor lives on when a worker leaves whom it has taken over.
        mark = server.mark()
        server.signal(signal.SIGHUP)
        server.wait_log(r"worker 1 DRAINING -> DEAD", after=mark)
        server.wait_log(r"worker 2 DRAINING -> DEAD", after=mark)
        load.more(100, timeout=BACK_SECONDS, since=time.monotonic())
    assert "spawned dispatcher" not in server.log[mark:]
    counts = load.summary()
    assert set(counts) <= {"200", "closed"}, counts
    assert counts.get("closed", 0) <= 8, counts  # a batch, or two small ones; nearly always none
    assert load.worst() < ANSWER_SECONDS


def test_ten_killed_workers_cost_their_requests_only(mongrel2: Mongrel2, serve: Callable[..., Server]) -> None:
    """What a thread had begun is answered 502 or, if the answer had begun, closed; what it had not goes to another."""
    threads, kills = 4, 10
    dice = random.Random(10)
    server = serve(mongrel2, processes=3, threads=threads, options=QUIET)
    with Load(mongrel2.address, "/sleep/0.01", clients=16, tagged=True) as load:
        load.more(100)
        for _ in range(kills):
            title = dice.choice(sorted(server.pids("worker")))
            pid = server.kill_child(title)
            load.more(60, timeout=BACK_SECONDS, since=time.monotonic())
            server.wait_gone([pid])
        wait_until(lambda: len(server.pids("worker")) == 3, 20, "all workers are back")
        load.more(60, since=time.monotonic())
    counts = load.summary()
    assert set(counts) <= {"200", "502", "closed"}, counts
    assert sum(count for outcome, count in counts.items() if outcome != "200") <= kills * threads, counts
    assert load.worst() < ANSWER_SECONDS


def test_a_killed_direct_worker_is_replaced(mongrel2: Mongrel2, serve: Callable[..., Server]) -> None:
    """Its requests are lost: Mongrel2 had handed them to it, and nobody else knows of them."""
    server = serve(mongrel2, options=("--zeromq-direct", *QUIET))
    with Load(mongrel2.address, "/sleep/0.01", clients=16, timeout=3.0) as load:
        load.more(100)
        mark, killed = server.mark(), time.monotonic()
        server.kill_child("worker 1")
        server.wait_log(r"worker 1 ready", timeout=BACK_SECONDS, after=mark)
        load.more(100, timeout=BACK_SECONDS, since=killed)


@TOPOLOGIES
def test_a_killed_master_takes_all_along(
    mongrel2: Mongrel2, serve: Callable[..., Server], options: tuple[str, ...]
) -> None:
    server = serve(mongrel2, options=(*options, *QUIET))
    front = mongrel2.process
    assert front is not None
    with Load(mongrel2.address, "/sleep/0.01", clients=16, timeout=3.0) as load:
        load.more(100)
        server.kill_master()
        wait_until(lambda: not server.strays(), 20, f"the children are gone: {server.strays()}")
        again = time.monotonic()
        serve(mongrel2, options=(*options, *QUIET))
        load.more(100, timeout=BACK_SECONDS, since=again)
    assert mongrel2.process is front
    assert mongrel2.alive()


# --- stopping -------------------------------------------------------------------------


@TOPOLOGIES
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGQUIT])
def test_an_idle_server_stops_at_once(
    mongrel2: Mongrel2, serve: Callable[..., Server], options: tuple[str, ...], number: signal.Signals
) -> None:
    server = serve(mongrel2, options=options)
    assert get(mongrel2.address).status == 200
    started = time.monotonic()
    server.signal(number)
    assert server.wait() == 0
    assert time.monotonic() - started < 15.0


@TOPOLOGIES
def test_what_runs_is_finished_before_the_stop(
    mongrel2: Mongrel2, serve: Callable[..., Server], options: tuple[str, ...]
) -> None:
    server = serve(mongrel2, options=options)
    clients = [Connection(mongrel2.address) for _ in range(4)]
    for number, client in enumerate(clients):
        client.send(request_bytes(f"/slow/0.7/{number}"))
        server.wait_log(f"^begun /slow/0.7/{number}")
    server.signal(signal.SIGTERM)
    assert [client.read().text for client in clients] == [f"/slow/0.7/{number}" for number in range(4)]
    assert server.wait() == 0
    for client in clients:
        client.close()


def test_a_stop_under_load_answers_what_it_took(mongrel2: Mongrel2, serve: Callable[..., Server]) -> None:
    """What the first server leaves in Mongrel2 waits there for the second; nobody is refused.

    Each stop may cost what is under way, nearly always one request at most, which then times out: Mongrel2's PUSH has
    no acknowledgement, so what its libzmq writes between our reading the last byte and its seeing our end is gone, and
    neither side knows.
    """
    stops = 2
    server = serve(mongrel2, options=QUIET)
    with Load(mongrel2.address, "/sleep/0.01", clients=16, timeout=5.0, tagged=True) as load:
        load.more(200)
        for _ in range(stops):
            assert server.stop() == 0
            server = serve(mongrel2, options=QUIET)
            load.more(200, since=time.monotonic())
    counts = load.summary()
    assert set(counts) <= {"200", "timeout"}, counts
    assert counts.get("timeout", 0) <= stops * 4, counts


def test_mercy_ends(mongrel2: Mongrel2, serve: Callable[..., Server]) -> None:
    server = serve(mongrel2, options=("--worker-reload-mercy", "1"))
    with Connection(mongrel2.address) as client:
        client.send(request_bytes("/slow/60"))
        server.wait_log("^begun")
        started = time.monotonic()
        server.signal(signal.SIGTERM)
        assert server.wait() == 0
        assert 0.8 < time.monotonic() - started < 30


def test_impatience(mongrel2: Mongrel2, serve: Callable[..., Server]) -> None:
    server = serve(mongrel2)
    with Connection(mongrel2.address) as client:
        client.send(request_bytes("/slow/60"))
        server.wait_log("^begun")
        for word in ("stopping, with", "stopping at_once", "stopping brutal"):
            server.signal(signal.SIGTERM)
            server.wait_log(word)
        server.wait(20)


# --- reload ---------------------------------------------------------------------------


@pytest.mark.parametrize("rounds", [3])
def test_a_reload_loads_fresh_code_and_fails_nobody(
    mongrel2: Mongrel2, site: Callable[..., Server], tmp_path: Path, rounds: int
) -> None:
    source = tmp_path / "site_under_test.py"
    versioned(source, "v0")
    server = site().wait_ready(2)
    with Load(mongrel2.address, clients=16) as load:
        load.more(50)
        for number in range(1, rounds + 1):
            old = set(server.pids("worker").values())
            versioned(source, f"v{number}")
            mark = server.mark()
            server.signal(signal.SIGHUP)
            server.wait_ready(2, after=mark)
            server.wait_gone(old)
            new = load.more(50, since=time.monotonic())
            assert {result.body for result in new} == {f"v{number}".encode()}
    assert_only_answers(load)
    assert load.worst() < ANSWER_SECONDS


def test_a_reload_of_direct_workers_serves_fresh_code(
    mongrel2: Mongrel2, site: Callable[..., Server], tmp_path: Path
) -> None:
    source = tmp_path / "site_under_test.py"
    versioned(source, "v0")
    server = site("--zeromq-direct").wait_ready(2)
    assert get(mongrel2.address).text == "v0"
    old = set(server.pids("worker").values())
    versioned(source, "v1")
    server.signal(signal.SIGHUP)
    server.wait_gone(old)
    assert get(mongrel2.address).text == "v1"


@pytest.mark.parametrize("need_app", [(), ("--need-app",)], ids=["", "need-app"])
def test_a_reload_to_broken_code_keeps_the_old(
    mongrel2: Mongrel2, site: Callable[..., Server], tmp_path: Path, need_app: tuple[str, ...]
) -> None:
    source = tmp_path / "site_under_test.py"
    versioned(source, "good")
    server = site(*need_app).wait_ready(2)
    server.allow("broken by an edit")
    before = server.pids()
    with Load(mongrel2.address, clients=8) as load:
        load.more(50)
        source.write_text("raise RuntimeError('broken by an edit')\n")
        server.signal(signal.SIGHUP)
        server.wait_log("reload given up")
        wait_until(lambda: server.pids() == before, 20, "only the old processes are left")
        load.more(50, since=time.monotonic())
        versioned(source, "better")
        mark = server.mark()
        server.signal(signal.SIGHUP)
        server.wait_ready(2, after=mark)
        server.wait_gone([pid for title, pid in before.items() if title != "dispatcher"])
        assert load.more(50, since=time.monotonic())[-1].body == b"better"
    assert_only_answers(load)


def test_a_worker_told_to_hang_up_finishes_and_is_replaced(mongrel2: Mongrel2, serve: Callable[..., Server]) -> None:
    server = serve(mongrel2, options=QUIET)
    with (
        Load(mongrel2.address, "/sleep/0.01", clients=14, tagged=True) as load,
        Load(mongrel2.address, "/sleep/0.4", clients=2, tagged=True) as slow,
    ):
        for title in ("worker 1", "worker 2", "worker 1", "worker 2"):
            load.more(100)
            old, mark = server.pids(title)[title], server.mark()
            os.kill(old, signal.SIGHUP)
            left = server.wait_log(rf"{title} READY -> DRAINING \(HUP\)", after=mark)
            server.wait_log(rf"{title} STARTING -> READY", after=left.end())
            server.wait_gone([old])
            load.more(50, since=time.monotonic())
    assert_only_answers(load)
    assert_only_answers(slow)
    assert load.worst() < ANSWER_SECONDS
    assert set(server.pids()) == {"dispatcher", "nursery 1", "worker 1", "worker 2"}
    assert "killed" not in server.log.lower()


def test_signals_to_the_group_disturb_no_worker(mongrel2: Mongrel2, serve: Callable[..., Server]) -> None:
    """A terminal sends INT to everybody; only the master may act on it."""
    server = serve(mongrel2)
    children = server.pids()
    for pid in children.values():
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGQUIT):
            os.kill(pid, number)
    assert get(mongrel2.address).status == 200
    assert server.pids() == children


# --- an application that cannot be loaded ---------------------------------------------


@TOPOLOGIES
def test_need_app_stops_with_22_and_one_traceback(
    mongrel2: Mongrel2, start_server: Callable[..., Server], options: tuple[str, ...]
) -> None:
    args = ["--zeromq", mongrel2.pair, "-p", "4", "--pythonpath", str(APPS), "--module", "broken", "--need-app"]
    server = start_server(*args, *options)
    server.allow("broken on purpose", "cannot be loaded and need-app is set")
    assert server.wait() == 22
    assert server.log.count("Traceback (most recent call last)") == 1
    assert "broken.py" in server.log
