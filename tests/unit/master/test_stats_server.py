"""The statistics server without a master: what it asks to wait for, whom it serves, whom it drops."""

from __future__ import annotations

import json
import os
import select
import socket
from typing import TYPE_CHECKING

import pytest
from turns import NOW, turn

from m2serve.endpoint import StatsAddress
from m2serve.errors import ConfigError
from m2serve.master.stats import StatsServer
from m2serve.observe.snapshot import Snapshot
from m2serve.observe.teller import CLIENTS, FRESH, PATIENCE

if TYPE_CHECKING:
    from m2serve.ids import Seconds


class Counting:
    """Makes snapshots of some size, and counts them."""

    def __init__(self, size: int = 10) -> None:
        self.made = 0
        self._size = size

    def __call__(self, now: Seconds) -> Snapshot:
        self.made += 1
        return Snapshot("x" * self._size, 1, 0, 0, "/", 0.0, 1, False, 10, (), (), (), None)


@pytest.fixture
def start(tmp_path):
    servers = []

    def listen(snapshot=None, address=None, **options):
        parsed = StatsAddress.parse(address or str(tmp_path / "stats"))
        server = StatsServer(parsed, snapshot=snapshot or Counting(), **options)
        server.listen()
        servers.append(server)
        return server

    yield listen
    for server in servers:
        server.close()


def connect(server) -> socket.socket:
    sock = socket.socket(server.address.family)
    sock.settimeout(5)
    sock.connect(server.address.address)
    return sock


def read(sock) -> bytes:
    data = b""
    while piece := sock.recv(65536):
        data += piece
    return data


def test_who_connects_gets_the_document(start):
    server = start()
    with connect(server) as client:
        turn(server)
        assert json.loads(read(client))["pid"] == 1
    turn(server)
    assert len(server.polled()) == 1, "he has gone"
    assert server.due(NOW) is None


def test_what_he_says_costs_him_nothing(start):
    server = start()
    with connect(server) as client:
        client.sendall(b"GET / HTTP/1.1\r\n\r\n" * 1000)
        turn(server)
        assert json.loads(read(client))
        for _ in range(3):
            turn(server)
        assert len(server.polled()) == 2, "not closed before he closes, lest it be a reset"


def test_who_does_not_read_is_dropped(start):
    server = start(Counting(10_000_000))
    with connect(server) as client:
        turn(server)
        assert set(server.polled().values()) == {select.POLLIN, select.POLLOUT}
        assert server.due(NOW) == NOW + PATIENCE
        turn(server, NOW + PATIENCE - 0.1)
        assert len(server.polled()) == 2
        turn(server, NOW + PATIENCE)
        assert len(server.polled()) == 1
        assert 0 < len(read(client)) < 10_000_000


def test_a_large_document_goes_piece_by_piece(start):
    server = start(Counting(3_000_000))
    with connect(server) as client:
        client.setblocking(False)
        data = b""
        for _ in range(10_000):
            turn(server)
            try:
                piece = client.recv(1 << 20)
            except BlockingIOError:
                continue
            if not piece:
                break
            data += piece
        assert json.loads(data)["version"] == "x" * 3_000_000


def test_only_so_many_at_a_time(start):
    server = start()
    clients = [connect(server) for _ in range(CLIENTS + 3)]
    turn(server)
    assert len(server.polled()) == CLIENTS, "the listener is not among them"
    clients[0].close()
    turn(server)
    turn(server)
    assert len(server.polled()) == CLIENTS
    for client in clients:
        client.close()


def test_a_document_is_made_once_for_many(start):
    snapshot = Counting()
    server = start(snapshot)
    for now in (NOW, NOW + FRESH / 2, NOW + FRESH):
        with connect(server) as client:
            turn(server, now)
            read(client)
    assert snapshot.made == 2


def test_http(start):
    server = start(http=True, minified=True)
    with connect(server) as client:
        turn(server)
        head, _, body = read(client).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.0 200 OK\r\nConnection: close\r\n")
    assert f"Content-Length: {len(body)}".encode() in head
    assert json.loads(body)


def test_the_file_goes_with_the_server_unless_it_is_another(start, tmp_path):
    server = start()
    server.close()
    assert not (tmp_path / "stats").exists()
    server = start()
    os.unlink(tmp_path / "stats")
    (tmp_path / "stats").write_text("another's")
    server.close()
    assert (tmp_path / "stats").exists()


def test_addresses_that_cannot_be(start, tmp_path):
    start()
    with pytest.raises(ConfigError, match="in use"):
        start()
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="cannot listen"):
        start(address=str(tmp_path / "file"))
    with pytest.raises(ConfigError, match="cannot listen"):
        start(address=str(tmp_path / "none" / "stats"))
    with pytest.raises(ConfigError, match="cannot listen"):
        start(address="192.0.2.1:1")


def test_a_child_lets_go_and_removes_nothing(start, tmp_path):
    server = start()
    fds = list(server.polled())
    server.abandon()
    server.close()
    assert (tmp_path / "stats").exists()
    assert not server.polled()
    for fd in fds:
        os.close(fd)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("127.0.0.1:9191", ("127.0.0.1", 9191)),
        (":9191", ("0.0.0.0", 9191)),
        ("[::1]:9191", ("::1", 9191)),
        ("/run/stats", "/run/stats"),
        ("/run/a:b", "/run/a:b"),
        ("stats.sock", "stats.sock"),
        ("@name", "\0name"),
    ],
)
def test_addresses(text: str, expected: object):
    assert StatsAddress.parse(text).address == expected


@pytest.mark.parametrize("text", ["", "@", "/run/", "host:x", "a:b:1", "/" + "x" * 200])
def test_what_is_no_address(text: str):
    with pytest.raises(ConfigError):
        StatsAddress.parse(text)


def test_a_relative_path_is_made_absolute():
    assert StatsAddress.parse("stats").resolved("/srv").path == "/srv/stats"
    assert StatsAddress.parse("@stats").resolved("/srv").path == "@stats"
    assert StatsAddress.parse(":1").resolved("/srv") == StatsAddress("0.0.0.0", 1)
