"""When and how Graphite is told, without a master: no server that is away, full or slow is ever waited for."""

from __future__ import annotations

import logging
import socket
from typing import TYPE_CHECKING, Any

import pytest
from support.ports import free_ports
from turns import turn

from m2serve.config.settings import load
from m2serve.master.carbon import Carbon
from m2serve.observe.snapshot import Snapshot

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from m2serve.ids import Seconds

OPTIONS = ("--http", "127.0.0.1:1", "--module", "app", "--carbon-id", "id")
LINES = b".id.requests 0 0\n"


@pytest.fixture
def start() -> Iterator[Callable[..., Carbon]]:
    made: list[Carbon] = []

    def begin(*ports: int, options: tuple[str, ...] = (), version: str = "x") -> Carbon:
        def snapshot(now: Seconds) -> Snapshot:
            return Snapshot(version, 1, 0, 0, "/", 0.0, 1, False, 10, (), (), (), None)

        addresses = [word for port in ports for word in ("--carbon", f"127.0.0.1:{port}")]
        carbon = Carbon(load([*OPTIONS, *addresses, *options], {}), snapshot)
        carbon.resolve()
        made.append(carbon)
        turn(carbon, 0.0)
        return carbon

    yield begin
    for carbon in made:
        carbon.close()


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(10)
        yield server


def port(listener: socket.socket) -> int:
    number: int = listener.getsockname()[1]
    return number


def pushed(listener: socket.socket, carbon: Carbon, now: float) -> bytes:
    """What comes over the next connection."""
    connection, _ = listener.accept()
    with connection:
        connection.settimeout(10)
        data = b""
        for _ in range(10_000):
            turn(carbon, now)
            connection.setblocking(False)
            try:
                piece = connection.recv(65536)
            except BlockingIOError:
                continue
            if not piece:
                return data
            data += piece
    raise AssertionError(f"no end after {data!r}")


def test_a_push_in_each_period(start: Any, listener: socket.socket) -> None:
    carbon = start(port(listener))
    assert carbon.due(0.0) == 60.0
    assert dict(carbon.polled()) == {}
    for now in (60.0, 120.5, 400.0):
        turn(carbon, now)
        assert LINES in pushed(listener, carbon, now)
        assert dict(carbon.polled()) == {}
    # the second was late, which moved no other; what a long pause has left out is left out
    assert carbon.due(400.0) == 420.0


def test_one_that_is_away_is_told_of_once(start: Any, listener: socket.socket, caplog: Any) -> None:
    caplog.set_level(logging.INFO, "m2serve.carbon")
    (away,) = free_ports(1)
    carbon = start(port(listener), away, options=("--carbon-max-retry", "2", "--carbon-retry-delay", "5"))
    turn(carbon, 60.0)
    assert pushed(listener, carbon, 60.0)
    turn(carbon, 60.0)
    assert caplog.messages == [f"127.0.0.1:{away}: Connection refused"]
    assert carbon.due(60.0) == 65.0
    for now in (65.0, 65.1, 70.0, 70.1):
        turn(carbon, now)
    assert carbon.due(70.1) == 120.0, "two more attempts, and no further one"
    with socket.create_server(("127.0.0.1", away)) as back:
        back.settimeout(10)
        turn(carbon, 120.0)
        assert pushed(back, carbon, 120.0)
    assert caplog.messages[1:] == [f"127.0.0.1:{away} is reached again"]


def test_one_that_reads_nothing(start: Any, listener: socket.socket, caplog: Any, monkeypatch: Any) -> None:
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    carbon = start(port(listener), options=("--carbon-max-retry", "0"))
    monkeypatch.setattr(carbon._report, "text", lambda snapshot, now: b"x" * 50_000_000)
    for now in (60.0, 60.1, 62.9):
        turn(carbon, now)
        assert len(carbon.polled()) == 1
    assert carbon.due(62.9) == 63.0
    turn(carbon, 63.0)
    assert dict(carbon.polled()) == {}
    assert caplog.messages == [f"127.0.0.1:{port(listener)}: nothing more could be sent within 3 s"]
    assert carbon.due(63.0) == 120.0


def test_one_that_accepts_nobody(start: Any, caplog: Any) -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=0) as full, socket.socket() as first, socket.socket() as second:
        for client in (first, second):
            client.setblocking(False)
            client.connect_ex(full.getsockname())
        carbon = start(port(full))
        turn(carbon, 60.0)
        assert len(carbon.polled()) == 1
        turn(carbon, 63.0)
        assert caplog.messages == [f"127.0.0.1:{port(full)}: nothing more could be sent within 3 s"]
        assert carbon.due(63.0) == 70.0


def test_a_push_that_lasts_gives_way_to_the_next(
    start: Any, listener: socket.socket, caplog: Any, monkeypatch: Any
) -> None:
    carbon = start(port(listener), options=("--carbon-freq", "1"))
    monkeypatch.setattr(carbon._report, "text", lambda snapshot, now: b"%d " % now * 5_000_000)
    turn(carbon, 1.0)
    turn(carbon, 2.0)
    assert len(carbon.polled()) == 1
    assert caplog.messages == [f"127.0.0.1:{port(listener)}: the last push was not over when the next one began"]
    for expected in (b"1 ", b"2 "):
        connection, _ = listener.accept()
        with connection:
            assert connection.recv(2) == expected


def test_a_forked_child_lets_go(start: Any, listener: socket.socket) -> None:
    carbon = start(port(listener))
    turn_only = carbon.turn
    turn_only(60.0)
    (fd,) = carbon.polled()
    carbon.abandon()
    assert dict(carbon.polled()) == {}
    socket.socket(fileno=fd).close()  # it was still open


def test_without_any_nothing_is_looked_at(start: Any) -> None:
    carbon = start()
    carbon.snapshot = None
    turn(carbon, 1e6)
    assert carbon.due(1e6) is None


def test_a_host_that_nobody_knows(monkeypatch: Any, caplog: Any) -> None:
    def unknown(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    carbon = Carbon(load([*OPTIONS, "--carbon", "nowhere.invalid:2003"], {}))
    carbon.resolve()
    assert caplog.messages == ["nothing is sent to nowhere.invalid:2003: Name or service not known"]
    turn(carbon, 1e6)
    assert carbon.due(1e6) is None
