"""Large answers through a real Mongrel2: complete, at the client's pace, without a thread."""

from __future__ import annotations

import contextlib
import hashlib
import os
import signal
import socket
import sys
import time
from typing import TYPE_CHECKING

import pytest
from support.http import Closed, Connection, Response, get, request_bytes
from support.server import APPS, wait_until

sys.path.insert(0, str(APPS))
from downloads import content

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from support.mongrel2 import Mongrel2
    from support.server import Server

    Begin = Callable[[Mongrel2, str], Connection]

FLOW = {"download.flow_control": 1}
LARGE = 30_000_000
SOME = 8_000_000
"""More than the kernel's buffers take."""


def digest(size: int) -> bytes:
    found = hashlib.sha256()
    for piece in content(size):
        found.update(piece)
    return found.digest()


def write_file(path: Path, size: int) -> Path:
    with path.open("wb") as file:
        file.writelines(content(size))
    return path


@pytest.fixture
def flowing(start_mongrel2: Callable[..., Mongrel2]) -> Mongrel2:
    return start_mongrel2(settings=FLOW)


@pytest.fixture
def begin() -> Iterator[Callable[[Mongrel2, str], Connection]]:
    """Ask, and read nothing yet of the answer that has begun."""
    with contextlib.ExitStack() as opened:

        def ask(front: Mongrel2, target: str) -> Connection:
            connection = opened.enter_context(Connection(front.address, 25))
            connection.send(request_bytes(target))
            wait_until(lambda: b"200 OK" in connection.socket.recv(200, socket.MSG_PEEK), 20, "the head")
            return connection

        yield ask


def thread_count(server: Server, worker: str = "worker 1") -> int:
    return len(os.listdir(f"/proc/{server.pids()[worker]}/task"))


def temporary_files(server: Server, worker: str = "worker 1") -> list[str]:
    folder = f"/proc/{server.pids()[worker]}/fd"
    found = []
    for name in os.listdir(folder):
        try:
            found.append(os.readlink(f"{folder}/{name}"))
        except FileNotFoundError:
            pass
    return [link for link in found if link.startswith(str(server.temporary))]


ALONE = pytest.mark.alone


@pytest.mark.parametrize(
    "front", ["flow control", pytest.param("no flow control", marks=ALONE), pytest.param("direct", marks=ALONE)]
)
def test_every_byte_arrives(
    start_mongrel2: Callable[..., Mongrel2],
    serve: Callable[..., Server],
    tmp_path: Path,
    front: str,
    request: pytest.FixtureRequest,
) -> None:
    flowing = front == "flow control"
    mongrel2 = start_mongrel2(settings=FLOW if flowing else {}, protocol="tnetstring" if flowing else "json")
    serve(mongrel2, module="downloads", options=("--zeromq-direct",) if front == "direct" else ())

    kept: list[Connection] = []
    request.addfinalizer(lambda: [connection.close() for connection in kept])

    def ask(target: str) -> Response:
        """Over one connection; but without flow control Mongrel2 cuts off whoever is slower than we take him for."""
        for again in range(1 if flowing else 5, 0, -1):
            if not kept:
                kept.append(Connection(mongrel2.address, 25))
            try:
                return kept[0].request(target)
            except Closed:
                kept.pop().close()
                if again == 1:
                    raise
        raise AssertionError

    for size in (65_536, 1 << 20, LARGE):
        expected, path = digest(size), write_file(tmp_path / f"{size}", size)
        for how in ("list", "generate", "file"):
            for length in ("length=1&", ""):
                response = ask(f"/{how}/{size}?{length}file={path}")
                what = f"{how} {size} {length}"
                assert len(response.body) == size, what
                assert hashlib.sha256(response.body).digest() == expected, what


@pytest.mark.parametrize("how", ["list", "generate", "file"])
def test_clients_that_do_not_read_keep_no_thread(
    flowing: Mongrel2, serve: Callable[..., Server], begin: Begin, tmp_path: Path, how: str
) -> None:
    server = serve(flowing, module="downloads", processes=1, threads=2)
    path = write_file(tmp_path / "file", SOME)
    stalled = [begin(flowing, f"/{how}/{SOME}?length=1&file={path}") for _ in range(8)]
    quick = [get(flowing.address, "/quick") for _ in range(50)]
    assert max(response.seconds for response in quick) < 10
    before = thread_count(server)
    for connection in stalled:
        response = connection.read()
        assert hashlib.sha256(response.body).digest() == digest(SOME)
        assert connection.request("/quick").status == 200, "the connection goes on"
    assert thread_count(server) <= before
    server.wait_log(rf"GET /{how}/{SOME}\S* => generated {SOME} bytes")


def test_slow_clients_and_quick_ones(flowing: Mongrel2, serve: Callable[..., Server], begin: Begin) -> None:
    """20 clients read what lies there every now and then; everybody else is served meanwhile."""
    serve(flowing, module="downloads", processes=2, threads=2)
    slow = [begin(flowing, "/generate/300000") for _ in range(20)]
    got = [b""] * len(slow)
    while not all(data.endswith(b"\r\n0\r\n\r\n") for data in got):
        for number, connection in enumerate(slow):
            if not got[number].endswith(b"\r\n0\r\n\r\n"):
                got[number] += connection.socket.recv(30_000)
        assert get(flowing.address, "/quick").seconds < 10
    assert min(map(len, got)) > 300_000


def test_nothing_is_left_of_a_client_that_leaves(flowing: Mongrel2, serve: Callable[..., Server], begin: Begin) -> None:
    server = serve(flowing, module="downloads", processes=1, threads=1, options=("--response-buffer", "100k"))
    connection = begin(flowing, f"/generate/{SOME}")
    # the thread is free, the answer waits on disk
    assert get(flowing.address, "/quick").status == 200
    assert len(temporary_files(server)) == 1
    connection.close()
    found = server.wait_log(rf"GET /generate/{SOME} => generated (\d+) bytes .*HTTP/1.1 200")
    assert 0 < int(found[1]) < SOME
    wait_until(lambda: not temporary_files(server), 20, "end of the temporary file")


@pytest.mark.parametrize("killed", ["worker 1", "dispatcher"])
def test_a_process_killed_midway(flowing: Mongrel2, serve: Callable[..., Server], begin: Begin, killed: str) -> None:
    server = serve(flowing, module="downloads", processes=1, threads=1, options=("--response-buffer", "100k"))
    connection = begin(flowing, f"/generate/{SOME}?length=1")
    assert get(flowing.address, "/quick").status == 200
    assert len(temporary_files(server)) == 1
    mark = server.mark()
    server.kill_child(killed)
    if killed == "dispatcher":
        assert hashlib.sha256(connection.read().body).digest() == digest(SOME)
    else:
        # what Mongrel2 had still arrives, then the end
        assert 0 < len(connection.read_to_end()) < SOME
        server.wait_log("worker 1.*ready", after=mark)
    assert get(flowing.address, "/quick").status == 200
    assert list(server.temporary.iterdir()) == []


@pytest.mark.parametrize("how", ["stop", "reload"])
def test_a_worker_that_leaves_finishes_its_answers(
    flowing: Mongrel2, serve: Callable[..., Server], begin: Begin, how: str
) -> None:
    server = serve(flowing, module="downloads", processes=1, threads=1)
    connection = begin(flowing, f"/generate/{SOME}?length=1")
    assert get(flowing.address, "/quick").status == 200
    server.signal(signal.SIGTERM if how == "stop" else signal.SIGHUP)
    time.sleep(0.5)  # long enough for somebody who does not wait
    assert hashlib.sha256(connection.read().body).digest() == digest(SOME)
    if how == "stop":
        assert server.wait() == 0
    else:
        server.wait_log(r"DRAINING -> DEAD \(exit code 0\)")


@pytest.mark.parametrize("target", ["/events/early", "/patient"])
def test_an_application_learns_that_its_client_has_left(
    flowing: Mongrel2, serve: Callable[..., Server], begin: Begin, target: str
) -> None:
    server = serve(flowing, module="downloads")
    connection = begin(flowing, target)
    connection.close()
    server.wait_log("closed early connected=False" if "events" in target else "noticed")
