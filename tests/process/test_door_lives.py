"""What befalls the master befalls no request that came by a socket of ours, with a Mongrel2 and without one."""

from __future__ import annotations

import os
import signal
import socket
import ssl
import threading
from typing import TYPE_CHECKING, Any

import pytest
from support import certificates
from support.http import Response, get
from support.load import Load
from support.server import APPS, Server, wait_until
from support.told import statistics

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from support.mongrel2 import Mongrel2

PATIENCE = 40.0
"""Seconds for one step on a machine that is busy."""
GOES_ON = r"upgrade: goes on in place of m2serve \S+ with \d+ children"
NOBODY = 65534

pytestmark = pytest.mark.timeout(120)


@pytest.fixture
def start_http(start_server: Callable[..., Server], tmp_path: Path) -> Callable[..., tuple[Server, tuple[str, int]]]:
    """A server with a door for HTTP at a port of the kernel's choice, statistics and a FIFO."""

    def start(*options: str, **more: Any) -> tuple[Server, tuple[str, int]]:
        args = ["--pythonpath", str(APPS), "--module", "probe", "--http", "127.0.0.1:0", "--disable-logging"]
        args += ["--stats", str(tmp_path / "stats"), "--master-fifo", str(tmp_path / "fifo")]
        server = start_server(*args, *options, **more)
        port = server.wait_log(r"http door at 127\.0\.0\.1:(\d+)", PATIENCE)[1]
        return server, ("127.0.0.1", int(port))

    return start


def tell(directory: Path, letter: str) -> None:
    with open(directory / "fifo", "w") as fifo:
        fifo.write(letter)


def requests_of(directory: Path) -> int:
    return sum(one["requests"] for one in statistics(directory / "stats", timeout=PATIENCE)["workers"])


class Asked(threading.Thread):
    """A request that may have to wait."""

    def __init__(self, address: tuple[str, int], target: str) -> None:
        super().__init__(daemon=True)
        self._address, self._target = address, target
        self._response: Response | None = None
        self.start()

    def run(self) -> None:
        self._response = get(self._address, self._target, timeout=PATIENCE)

    def answer(self) -> Response:
        self.join(2 * PATIENCE)
        assert self._response is not None
        return self._response


def test_reload_chain_and_upgrade_under_load(start_http: Callable[..., Any], tmp_path: Path) -> None:
    """A quarter of the requests runs for some time, so that there are some under way at every moment."""
    server, address = start_http("-p", "2", "--threads", "4")
    server.wait_ready(2, PATIENCE)
    targets = ("/", "/", "/", "/sleep/0.05")
    with (
        Load(address, *targets, clients=4, timeout=PATIENCE, again=True) as kept,
        Load(address, *targets, clients=4, timeout=PATIENCE, keep_alive=False) as single,
    ):
        for what in ("reload", "chain", "upgrade"):
            kept.more(50, PATIENCE)
            single.more(50, PATIENCE)
            mark, old = server.mark(), server.pids("worker")
            if what == "reload":
                server.signal(signal.SIGHUP)
            elif what == "chain":
                tell(tmp_path, "c")
            else:
                server.signal(signal.SIGUSR2)
                server.wait_log(GOES_ON, PATIENCE, after=mark)
            server.wait_log("all 2 workers ready", PATIENCE, after=mark)
            server.wait_gone(old.values(), PATIENCE)
        kept.more(50, PATIENCE)
        single.more(50, PATIENCE)
    outcomes = {(one.outcome, one.status) for one in (*kept.results, *single.results)}
    assert outcomes == {("status", 200)}, (kept.summary(), single.summary())
    # Those of the dead are counted, too, through the upgrade. A worker counts behind its answer.
    served = len(kept.results) + len(single.results)
    wait_until(lambda: requests_of(tmp_path) >= served, PATIENCE, f"{served} requests are counted")
    assert requests_of(tmp_path) == served
    document = statistics(tmp_path / "stats", timeout=PATIENCE)
    assert [(one["proto"], one["max_queue"]) for one in document["sockets"]] == [("http", 100)]
    assert document["listen_queue_errors"] == 0
    assert server.stop(PATIENCE) == 0


def test_nobody_is_there_until_somebody_asks(start_http: Callable[..., Any], tmp_path: Path) -> None:
    """The first request waits in the kernel's queue until a worker is up; so does one when all have left again."""
    server, address = start_http("-p", "2", "--cheap", "--idle", "1")
    server.wait_log("no worker is wanted before a request comes", PATIENCE)
    assert get(address, timeout=PATIENCE).status == 200
    server.wait_log(r"a connection waits at 127\.0\.0\.1:\d+: 2 workers wanted", PATIENCE)
    wait_until(lambda: not server.pids("worker"), PATIENCE, "nothing to do: all workers leave")
    mark = server.mark()
    assert get(address, timeout=PATIENCE).status == 200
    server.wait_log(r"a connection waits at", PATIENCE, after=mark)
    assert server.stop(PATIENCE) == 0


def test_more_workers_when_threads_are_busy(start_http: Callable[..., Any], tmp_path: Path) -> None:
    """One thread is there, and requests hold it: uWSGI's algorithms see it on the sheets of the workers."""
    server, address = start_http("-p", "2", "--cheaper", "1", "--cheaper-overload", "1")
    server.wait_ready(1, PATIENCE)
    gate = tmp_path / "open"
    asked = [Asked(address, f"/until{gate}") for _ in range(2)]
    server.wait_log(r"2 workers wanted, \+1: spare: no thread was free", PATIENCE)
    server.wait_log("worker 2 STARTING -> READY", PATIENCE)
    gate.touch()
    assert [one.answer().status for one in asked] == [200, 200]
    server.wait_log(r"1 workers wanted, -1: spare", PATIENCE)
    assert get(address, timeout=PATIENCE).status == 200
    assert server.stop(PATIENCE) == 0


def test_workers_that_are_replaced(start_http: Callable[..., Any], tmp_path: Path) -> None:
    """After so many requests; a connection that is kept goes on with the next worker or is closed between two
    requests."""
    server, address = start_http("--max-requests", "20", "--min-worker-lifetime", "0", "--threads", "2")
    server.wait_ready(1, PATIENCE)
    with Load(address, clients=2, timeout=PATIENCE, again=True) as load:
        server.wait_log("worker 1 is to be replaced: .*max-requests", PATIENCE)
        server.wait_log("worker 1 DRAINING -> DEAD", PATIENCE)
        load.more(20, PATIENCE)
    assert {(one.outcome, one.status) for one in load.results} == {("status", 200)}, load.summary()
    assert server.stop(PATIENCE) == 0


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_a_key_that_only_root_can_read(start_server: Callable[..., Server], public_path: Callable[[], Path]) -> None:
    """As uWSGI's users have it: the certificate is root's, the application is not; an upgrade changes nothing."""
    directory = public_path()
    certificate, key = certificates.make(directory)
    server = start_server(
        *("--pythonpath", str(APPS), "--module", "probe", "--uid", str(NOBODY), "--gid", str(NOBODY)),
        *("--https", f"127.0.0.1:0,{certificate},{key}"),
        cwd=directory,
    )
    server.wait_ready(1, PATIENCE)
    port = int(server.wait_log(r"https door at 127\.0\.0\.1:(\d+)", PATIENCE)[1])
    assert f"{certificate}: read as root and kept in memory" in server.log
    trusting = ssl.create_default_context(cafile=str(certificate))

    def ask() -> bytes:
        with (
            socket.create_connection(("127.0.0.1", port), PATIENCE) as plain,
            trusting.wrap_socket(plain, server_hostname="localhost") as sock,
        ):
            sock.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            data = b""
            while piece := sock.recv(65536):
                data += piece
            return data

    assert ask().startswith(b"HTTP/1.1 200 ")
    mark, old = server.mark(), server.pids("worker")
    server.signal(signal.SIGUSR2)
    server.wait_log(GOES_ON, PATIENCE, after=mark)
    server.wait_ready(1, PATIENCE, after=mark)
    server.wait_gone(old.values(), PATIENCE)
    assert ask().endswith(b"\r\n\r\nhello\n")
    assert server.stop(PATIENCE) == 0


def test_sockets_of_some_workers(
    start_http: Callable[..., Any], start_mongrel2: Callable[..., Mongrel2], tmp_path: Path
) -> None:
    """Each socket is served by the workers that map-socket names, whatever becomes of them; Mongrel2's by all."""
    mongrel2 = start_mongrel2()
    mapped = [str(tmp_path / name) for name in ("a", "b")]
    server, everybodys = start_http(
        *("-p", "3", "--http-socket", mapped[0], "--http-socket", mapped[1], "--zeromq", mongrel2.pair),
        *("--map-socket", "0:1,2", "--map-socket", "1:3"),
    )

    def who(address: Any) -> set[int]:
        """Those who answer, among ten."""
        return {int(get(address, "/pid", timeout=PATIENCE).body.split()[0]) for _ in range(10)}

    def look() -> None:
        one, two, three = (server.pids("worker")[f"worker {number}"] for number in (1, 2, 3))
        assert who(mapped[0]) <= {one, two}
        assert who(mapped[1]) == {three}
        for address in (everybodys, mongrel2.address):
            assert who(address) <= {one, two, three}

    server.wait_ready(3, PATIENCE)
    look()
    with Load(mapped[1], clients=3, timeout=PATIENCE, again=True) as load:
        for what in ("reload", "chain", "upgrade"):
            load.more(20, PATIENCE)
            mark, old = server.mark(), server.pids("worker")
            if what == "upgrade":
                server.signal(signal.SIGUSR2)
                server.wait_log(GOES_ON, PATIENCE, after=mark)
            else:
                tell(tmp_path, "r" if what == "reload" else "c")
            server.wait_log("all 3 workers ready", PATIENCE, after=mark)
            server.wait_gone(old.values(), PATIENCE)
        load.more(20, PATIENCE)
    assert {(one.outcome, one.status) for one in load.results} == {("status", 200)}, load.summary()
    look()
    tell(tmp_path, "-")
    server.wait_log("changes nothing: 3 workers are wanted, at least so many are allowed", PATIENCE)
    mark = server.mark()
    tell(tmp_path, "C")
    wait_until(lambda: not server.pids("worker"), PATIENCE, "all workers leave")
    assert get(mapped[1], timeout=PATIENCE).status == 200
    server.wait_log(f"a connection waits at {mapped[1]}: 3 workers wanted", PATIENCE, after=mark)
    for number in (1, 2, 3):
        server.wait_log(f"worker {number} ready in", PATIENCE, after=mark)
    look()
    assert server.stop(PATIENCE) == 0
