"""Mongrel2 with download.flow_control=1: whatever clients read, and how, none is cut off and none is forgotten."""

from __future__ import annotations

import contextlib
import itertools
import random
import socket
import threading
import time
from typing import TYPE_CHECKING

import pytest
from support.http import Closed, Connection, get, request_bytes
from support.load import Load
from support.server import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from support.mongrel2 import Mongrel2
    from support.server import Server

    Begin = Callable[[Mongrel2, str], Connection]

FLOW: dict[str, int | str] = {"download.flow_control": 1}
SIZES = (100, 90_000, 3000, 102_200, 20_000, 250_000, 1)
SOME = 6_000_000
"""More than the kernel's buffers take."""


@pytest.fixture
def flowing(start_mongrel2: Callable[..., Mongrel2]) -> Mongrel2:
    return start_mongrel2(settings=FLOW)


def trickle(connection: Connection, size: int) -> int:
    """Read an answer of that size in small pieces, now and then resting; gives the bytes of its body."""
    data, body = b"", -1
    while body < 0 or len(data) < body + size:
        got = connection.socket.recv(random.randrange(1000, 40_000))
        if not got:
            raise Closed(data)
        data += got
        if body < 0 and b"\r\n\r\n" in data:
            body = data.index(b"\r\n\r\n") + 4
        if random.random() < 0.05:
            time.sleep(0.005)
    return len(data) - body


@pytest.mark.parametrize("dies", [False, True])
def test_a_connection_for_many_answers_is_never_cut(
    flowing: Mongrel2, serve: Callable[..., Server], dies: bool
) -> None:
    """More of them than would pass if any debt were forgotten or counted twice."""
    server = serve(flowing, options=("--disable-logging",))
    failures: list[BaseException] = []
    closed: list[int] = []
    rounds = itertools.count()

    def answers(number: int, sizes: list[int]) -> None:
        with Connection(flowing.address, 20) as connection:
            connection.socket.settimeout(20)
            while sizes:
                size = sizes.pop()
                next(rounds)
                connection.send(request_bytes(f"/big/{size}"))
                if number % 2:
                    assert trickle(connection, size) == size
                else:
                    assert len(connection.read().body) == size

    def client(number: int) -> None:
        sizes = list(SIZES * 8)
        try:
            while sizes:
                try:
                    answers(number, sizes)
                except (Closed, ConnectionError):
                    if not dies:
                        raise
                    closed.append(number)
        except BaseException as error:
            failures.append(error)

    clients = [threading.Thread(target=client, args=(number,)) for number in range(6)]
    with Load(flowing.address, "/sleep/0", clients=2, tagged=True) as small:
        for one in clients:
            one.start()
        if dies:
            for enough in (40, 120, 200):
                wait_until(lambda enough=enough: next(rounds) > enough or failures, 20, "progress")
                mark = server.mark()
                server.kill_child("dispatcher")
                server.wait_log("pull taken over", after=mark)
        for one in clients:
            one.join(40)
            assert not one.is_alive()
    assert not failures, failures
    closes = small.summary().get("closed", 0) + len(closed)
    assert set(small.summary()) <= {"200", "closed"}, small.summary()
    # a dispatcher killed while it sends closes the clients of that batch: nobody knows who has what
    assert closes <= (8 if dies else 0), (small.summary(), closed)


@pytest.fixture
def begin() -> Iterator[Begin]:
    """Ask, and read nothing yet."""
    with contextlib.ExitStack() as opened:

        def ask(front: Mongrel2, target: str) -> Connection:
            connection = opened.enter_context(Connection(front.address, 25))
            connection.send(request_bytes(target))
            return connection

        yield ask


def in_time(front: Mongrel2) -> int:
    """Quick requests go on; gives the pid that answered."""
    response = get(front.address, "/pid")
    assert response.status == 200
    assert response.seconds < 15
    return int(response.text.split()[0])


def test_no_download_is_lost_with_a_dispatcher(flowing: Mongrel2, serve: Callable[..., Server], begin: Begin) -> None:
    server = serve(flowing, processes=2, threads=2, options=("--disable-logging",))
    stalled = [begin(flowing, f"/big/{SOME + number}") for number in range(12)]
    in_time(flowing)
    for _ in range(3):
        mark = server.mark()
        server.kill_child("dispatcher")
        server.wait_log("pull taken over", after=mark)
        in_time(flowing)
    for number, connection in enumerate(stalled):
        assert len(connection.read().body) == SOME + number
        assert connection.request("/big/200000").status == 200, "the connection goes on"


def test_a_workers_death_closes_its_downloads_and_no_others(
    flowing: Mongrel2, serve: Callable[..., Server], begin: Begin
) -> None:
    server = serve(flowing, processes=2, threads=2, options=("--disable-logging",))
    stalled = [begin(flowing, f"/big/{SOME}") for _ in range(10)]
    for connection in stalled:
        wait_until(lambda one=connection: b"200 OK" in one.socket.recv(50, socket.MSG_PEEK), 20, "the head")
    mark = server.mark()
    server.kill_child("worker 1")
    server.wait_log("worker 1 STARTING -> READY", after=mark)
    ended = []
    for connection in stalled:
        try:
            ended.append(len(connection.read().body) == SOME)
        except Closed as closed:
            assert 0 < len(closed.partial) < SOME
            ended.append(False)
    # about half of them, as the threads of both workers were free
    assert 1 <= ended.count(False) <= 9
    wait_until(lambda: server.log.count("died while it answered") == ended.count(False), 20, "a line for each")
    in_time(flowing)


def test_who_reads_nothing_is_given_up(flowing: Mongrel2, serve: Callable[..., Server], begin: Begin) -> None:
    server = serve(flowing, processes=1, threads=2, options=("--send-timeout", "2", "--response-buffer", "100k"))
    stalled = [begin(flowing, f"/big/{SOME + number}") for number in range(3)]
    reading = begin(flowing, "/big/3000000")
    assert len(reading.read().body) == 3_000_000
    wait_until(lambda: server.log.count("the client has read nothing for 2 s (send-timeout)") >= 3, 20, "given up")
    in_time(flowing)
    for connection in stalled:
        with pytest.raises(Closed) as closed:
            connection.read()
        assert 0 < len(closed.value.partial) < SOME


def test_a_reload_waits_for_downloads(flowing: Mongrel2, serve: Callable[..., Server], begin: Begin) -> None:
    server = serve(flowing, processes=1, threads=2, options=("--disable-logging",))
    stalled = [begin(flowing, f"/big/{SOME}") for _ in range(6)]
    old = in_time(flowing)
    mark = server.mark()
    server.signal(1)
    server.wait_log("all 1 workers ready", after=mark)
    wait_until(lambda: in_time(flowing) != old, 20, "the new worker")
    mark = server.mark()
    server.kill_child("dispatcher")  # while the old worker has left, and only its downloads go on
    server.wait_log("pull taken over", after=mark)
    for connection in stalled:
        assert len(connection.read().body) == SOME
    server.wait_gone([old])


def test_a_long_poll_outlives_the_idle_killer(
    start_mongrel2: Callable[..., Mongrel2], serve: Callable[..., Server], begin: Begin
) -> None:
    """Without keep-alive both clients are cut after 4.5 s."""
    limits: dict[str, int | str] = {
        "limits.min_ping": 2, "limits.min_write_rate": 100_000, "limits.min_read_rate": 100_000, "limits.tick_timer": 1
    }  # fmt: skip
    front = start_mongrel2(settings=limits)
    serve(front, processes=1, threads=1, options=("--keep-alive-interval", "1"))
    running, queued = begin(front, "/sleep/6"), begin(front, "/sleep/0")
    assert running.read().text == "/sleep/6"
    assert queued.read().text == "/sleep/0"
