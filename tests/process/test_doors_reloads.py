"""Load at every door at once, while workers come and go: nothing is lost, and no connection is broken off."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest
from support.doors import WAYS, running
from support.http import Closed
from support.load import Load
from support.server import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from support.doors import Running, Way
    from support.server import Server

PATIENCE = 40.0
"""Seconds for one step on a machine that is busy."""

pytestmark = pytest.mark.timeout(150)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """One server for all; each test leaves it as it found it, but for its workers."""
    fifo = tmp_path_factory.mktemp("fifo") / "fifo"
    options = ("--master-fifo", str(fifo), "--disable-logging", "--harakiri", "/stuck/wait=1")
    with running(tmp_path_factory.mktemp, *options) as found:
        yield found


class Loads:
    """Clients at every way: quick requests, and some of 0.1 s, so that some are under way at every moment."""

    def __init__(self, ways: list[Way]) -> None:
        self.loads = {
            f"{way.name} {path}": Load(
                way.address, path, clients=clients, tagged=True, timeout=PATIENCE, connect=way.connect, again=True
            )
            for way in ways
            for path, clients in (("/sleep/0.002", 1), ("/sleep/0.1", 1))
        }
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> Loads:
        for load in self.loads.values():
            self._stack.enter_context(load)
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def go_on(self) -> None:
        """Every client has got an answer to something that it asked for after now."""
        now = time.monotonic()
        for load in self.loads.values():
            load.more(2, PATIENCE, since=now)

    def judge(self) -> None:
        for name, load in self.loads.items():
            assert set(load.summary()) == {"200"}, (name, load.summary())
            assert not load.resets, name


def turn(server: Server, command: Callable[[], object], workers: int = 2) -> None:
    """A reload, and all old workers have gone."""
    old = set(server.pids("worker").values())
    mark = server.mark()
    command()
    server.wait_ready(workers, PATIENCE, after=mark)
    server.wait_gone(old, PATIENCE)


def tell(server: Server, letter: str) -> None:
    path = server.args[server.args.index("--master-fifo") + 1]
    with open(path, "w") as fifo:
        fifo.write(letter)


def everywhere(served: Running) -> list[Way]:
    return [served.way(name) for name in WAYS]


def test_reloads_and_an_upgrade_under_load_at_every_door(served: Running) -> None:
    server = served.server
    with Loads(everywhere(served)) as loads:
        loads.go_on()
        for letter in "rrc":
            turn(server, lambda letter=letter: tell(server, letter))  # type: ignore[misc]
            loads.go_on()
        mark = server.mark()
        turn(server, lambda: server.signal(signal.SIGUSR2))
        server.wait_log("upgrade: goes on in place of m2serve", PATIENCE, after=mark)
        loads.go_on()
    loads.judge()
    document = served.doors.statistics()
    assert {one["proto"] for one in document["sockets"]} == {"fastcgi", "http", "scgi", "uwsgi", "zeromq"}
    assert document["m2serve"]["topology"] == "dispatched"


def test_a_killed_worker_costs_what_it_was_doing(served: Running) -> None:
    server = served.server
    ways = [way for way in everywhere(served) if way.name != "mongrel2"]
    with Loads(ways) as loads:
        loads.go_on()
        pid = server.kill_child("worker 1")
        server.wait_gone([pid], PATIENCE)
        wait_until(lambda: len(server.pids("worker")) == 2, PATIENCE, "a successor")
        loads.go_on()
    for name, load in loads.loads.items():
        summary = load.summary()
        assert set(summary) <= {"200", "closed"}, (name, summary)
        # each client is in one place at a time
        assert summary.get("closed", 0) <= 1, (name, summary)
    for way in ways:
        assert way.get("/").text == "hello\n"


@pytest.mark.parametrize("name", ["http", "fastcgi"])
def test_harakiri_is_a_504(served: Running, name: str) -> None:
    server = served.server
    old = set(server.pids("worker").values())
    mark = server.mark()
    with served.way(name).open() as client:
        answer = client.request("/stuck/wait/3")
        assert answer.status == 504
        with contextlib.suppress(Closed):
            assert client.read_to_end(PATIENCE) == b"", "nothing is answered twice"
    found = server.wait_log(r"HARAKIRI: worker \d \(pid: (\d+)\)", PATIENCE, after=mark)
    assert int(found[1]) in old
    # its successor has come before it leaves, and the next test has two workers again
    server.wait_gone([int(found[1])], PATIENCE)
    wait_until(lambda: len(server.pids("worker")) == 2, PATIENCE, "a successor")
    assert served.way(name).get("/").text == "hello\n"


def test_what_runs_at_a_stop_is_finished(tmp_path_factory: pytest.TempPathFactory, tmp_path: Path) -> None:
    with running(tmp_path_factory.mktemp, threads=8) as served:
        server, ways = served.server, everywhere(served)
        gate = tmp_path / "gate"
        with ThreadPoolExecutor(len(ways)) as pool:
            answers = [pool.submit(way.get, f"/until{gate}-{number}.") for number, way in enumerate(ways)]
            for number in range(len(ways)):
                # two threads' lines may run into each other
                server.wait_log(f"begun {str(gate)[1:]}-{number}\\.", PATIENCE)
            server.signal(signal.SIGTERM)
            server.wait_log("SIGTERM: stopping", PATIENCE)
            for number in range(len(ways)):
                (tmp_path / f"gate-{number}.").touch()
            pids = {answer.result(PATIENCE).text.split()[0] for answer in answers}
        assert pids
        assert server.wait(PATIENCE) == 0
        for way in ways:
            if way.name in ("http", "uwsgi", "fastcgi"):
                with pytest.raises(ConnectionRefusedError):
                    way.open()
        assert not os.path.exists(str(served.way("uwsgi-unix").address))
