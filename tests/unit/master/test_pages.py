"""Pages of plugins without a master: requests come in pieces, and nobody is waited for."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Any

import pytest
from turns import NOW, turn

from m2serve.endpoint import StatsAddress
from m2serve.master.pages import PageServer
from m2serve.observe.snapshot import Snapshot
from m2serve.observe.teller import PATIENCE
from m2serve.plugin.hooks import Call, Page

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from m2serve.ids import Seconds


def snapshot(now: Seconds) -> Snapshot:
    return Snapshot("x", 4242, 0, 0, "/", 0.0, 1, False, 10, (), (), (), None)


def page(path: str, state: Snapshot) -> tuple[str, bytes] | None:
    if path == "/bad":
        raise ValueError("on purpose")
    return ("text/plain", b"pid %d at %s" % (state.pid, path.encode())) if path != "/none" else None


@pytest.fixture
def server(tmp_path: Path) -> Iterator[PageServer]:
    address = StatsAddress(path=str(tmp_path / "page"))
    made = PageServer(address, snapshot=snapshot, what="page of mine", page=Page(Call("mine", "page", page), address))
    made.listen()
    yield made
    made.close()


def connect(server: PageServer) -> socket.socket:
    sock = socket.socket(socket.AF_UNIX)
    sock.settimeout(5)
    sock.connect(server.address.path)
    turn(server)
    return sock


def ask(server: PageServer, *pieces: bytes) -> tuple[str, bytes]:
    with connect(server) as sock:
        for piece in pieces:
            sock.sendall(piece)
            turn(server)
        data = b""
        while more := sock.recv(65536):
            data += more
    turn(server)
    assert len(server.polled()) == 1, "he has gone"
    head, _, body = data.partition(b"\r\n\r\n")
    return head.decode().split("\r\n")[0], body


@pytest.mark.parametrize(
    "pieces",
    [
        (b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n",),
        (b"GE", b"T /metrics?x=1 HTTP/1.0\r\nHo", b"st: x\r\n\r", b"\n"),
        (b"GET /metrics\n\n",),
    ],
)
def test_a_request_in_pieces(server: PageServer, pieces: tuple[bytes, ...]) -> None:
    assert ask(server, *pieces) == ("HTTP/1.0 200 OK", b"pid 4242 at /metrics")


@pytest.mark.parametrize(
    ("request_bytes", "status", "body"),
    [
        (b"GET /none HTTP/1.1\r\n\r\n", "404 Not Found", b"there is nothing here\n"),
        (b"GET /bad HTTP/1.1\r\n\r\n", "404 Not Found", b"there is nothing here\n"),
        (b"POST / HTTP/1.1\r\n\r\n", "400 Bad Request", b"expected GET\n"),
        (b"\x16\x03\x01\r\n\r\n", "400 Bad Request", b"expected GET\n"),
        (b"GET /" + b"x" * 9000, "400 Bad Request", b"expected GET\n"),
        (b"HEAD / HTTP/1.1\r\n\r\n", "200 OK", b""),
    ],
)
def test_other_requests(server: PageServer, request_bytes: bytes, status: str, body: bytes) -> None:
    assert ask(server, request_bytes) == (f"HTTP/1.0 {status}", body)


def test_nothing_is_said_before_he_has_asked(server: PageServer) -> None:
    with connect(server) as sock:
        sock.sendall(b"GET / HTTP/1.1\r\n")
        for _ in range(3):
            turn(server)
        sock.setblocking(False)
        with pytest.raises(BlockingIOError):
            sock.recv(1)
        assert server.due(NOW) == NOW + PATIENCE
        turn(server, NOW + PATIENCE)
        assert len(server.polled()) == 1
    turn(server)


def test_who_leaves_in_the_middle_is_forgotten(server: PageServer) -> None:
    with connect(server) as sock:
        sock.sendall(b"GET / HT")
        turn(server)
    turn(server)
    assert len(server.polled()) == 1


def test_the_length_is_right(server: PageServer) -> None:
    with connect(server) as sock:
        sock.sendall(b"HEAD /x HTTP/1.1\r\n\r\n")
        turn(server)
        head: Any = sock.recv(65536).decode()
    assert "Content-Length: 14\r\n" in head and "Content-Type: text/plain\r\n" in head
