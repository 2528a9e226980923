"""Requests and answers of one connection: real sockets, a protocol of lines."""

from __future__ import annotations

import socket
import threading
from typing import TYPE_CHECKING, Any

import pytest
from support.doorman import BIG, Lines, echo, receive, receive_all
from support.server import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable

    from support.doorman import Doorman

    from m2serve.message import Request


def test_requests_of_a_connection_are_answered_in_order(open_door: Callable[..., Doorman]) -> None:
    door = open_door(echo, 4)
    with door.connect() as client:
        client.sendall(b"/a 0\n/b 3\nabc/c 0\n")
        assert receive(client, 19) == b"/a=0:\n/b=3:abc\n/c=0:\n"[:19]
        receive(client, 2)
        client.sendall(b"/d 0\n")
        assert receive(client, 6) == b"/d=0:\n"


def whole(channel: Any) -> None:
    channel.send_last(b"whole")


def whole_and_close(channel: Any) -> None:
    channel.send_last(b"whole")
    channel.close()


def in_parts(channel: Any) -> None:
    channel.send(b"who")
    channel.send(b"le")


def broken(channel: Any) -> None:
    channel.send(b"who")
    channel.close()


@pytest.mark.parametrize(
    ("answer", "said"),
    [(whole, b"whole."), (whole_and_close, b"whole."), (in_parts, b"whole."), (broken, b"who")],
)
def test_the_end_of_an_answer_is_told_unless_it_breaks_off(
    open_door: Callable[..., Doorman], monkeypatch: pytest.MonkeyPatch, answer: Callable[[Any], None], said: bytes
) -> None:
    monkeypatch.setattr(Lines, "end", lambda self: b".")
    door = open_door(lambda request, channel: answer(channel))
    with door.connect() as client:
        client.sendall(b"/a 0\n/b 0\n")
        if answer in (whole, in_parts):
            assert receive(client, 2 * len(said)) == said * 2
        else:
            assert receive_all(client) == said


def test_a_request_may_come_byte_by_byte(open_door: Callable[..., Doorman]) -> None:
    door = open_door(echo)
    with door.connect() as client:
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in b"/a 2\nxy":
            client.sendall(bytes([byte]))
        assert receive(client, 8) == b"/a=2:xy\n"


def test_the_client_is_asked_for_the_body_it_holds_back(open_door: Callable[..., Doorman]) -> None:
    door = open_door(echo)
    with door.connect() as client:
        client.sendall(b"/a 2 continue\n")
        assert receive(client, 25) == b"HTTP/1.1 100 Continue\r\n\r\n"
        client.sendall(b"xy")
        assert receive(client, 8) == b"/a=2:xy\n"


def test_a_body_of_unknown_length_gets_one(open_door: Callable[..., Doorman]) -> None:
    seen: list[Request] = []

    def look(request: Request, channel: Any) -> None:
        seen.append(request)
        echo(request, channel)

    door = open_door(look)
    with door.connect() as client:
        client.sendall(b"/a ?\nxyz.\n")
        assert receive(client, 9) == b"/a=3:xyz\n"
    assert seen[0].headers[b"content-length"] == b"3"
    assert b"transfer-encoding" not in seen[0].headers


def test_a_large_body_waits_in_a_file(open_door: Callable[..., Doorman]) -> None:
    kinds: list[bool] = []

    def look(request: Request, channel: Any) -> None:
        kinds.append(channel.body is None)
        echo(request, channel)

    door = open_door(look, policy={"memory": 1000})
    with door.connect() as client:
        client.sendall(b"/a 1000\n" + bytes(1000) + b"/a 300000\n" + bytes(300000))
        assert len(receive(client, 8 + 1001 + 10 + 300001)) == 8 + 1001 + 10 + 300001
    assert kinds == [True, False]


@pytest.mark.parametrize(
    ("said", "answered"),
    [(b"/a 11\n", b"413"), (b"/a ?\n0123456789x", b"413"), (b"junk\n", b"400"), (b"/" * 200, b"431")],
)
def test_what_is_refused_is_answered_and_ends(open_door: Callable[..., Doorman], said: bytes, answered: bytes) -> None:
    door = open_door(echo, limit=10)
    with door.connect() as client:
        client.sendall(said)
        assert receive_all(client).startswith(b"HTTP/1.1 " + answered)
    assert door.refused[0] == 1


def test_a_refusal_reaches_a_client_that_sends_on(open_door: Callable[..., Doorman]) -> None:
    """Closed at once, the kernel would reset the connection, and the client never see the answer."""
    door = open_door(echo, limit=10)
    with door.connect() as client:
        client.sendall(b"/a 200000\n")
        client.sendall(bytes(200_000))
        assert receive_all(client).startswith(b"HTTP/1.1 413")


def test_a_slow_reader_holds_no_thread(open_door: Callable[..., Doorman]) -> None:
    def serve(request: Request, channel: Any) -> None:
        channel.send_last(bytes(BIG) if request.path == b"/big" else b"small\n")

    door = open_door(serve, 1)
    with door.connect() as slow, door.connect() as quick:
        slow.sendall(b"/big 0\n/small 0\n")
        slow.recv(1)
        for _ in range(3):
            quick.sendall(b"/a 0\n")
            assert receive(quick, 6) == b"small\n"
        assert len(receive(slow, BIG - 1)) == BIG - 1
        assert receive(slow, 6) == b"small\n"


def test_an_answer_that_breaks_off_is_no_whole_one(open_door: Callable[..., Doorman]) -> None:
    def serve(request: Request, channel: Any) -> None:
        channel.send(b"part\n")
        channel.close()

    door = open_door(serve, protocol="uwsgi")
    with door.connect() as client, pytest.raises(ConnectionResetError):
        client.sendall(b"/a 0\n")
        receive_all(client)
    wait_until(lambda: not door.room.guests.by_fd, 20, "it is closed")


def test_a_client_that_leaves_costs_nothing(open_door: Callable[..., Doorman]) -> None:
    arrived, left = threading.Semaphore(0), threading.Semaphore(0)

    def serve(request: Request, channel: Any) -> None:
        arrived.release()
        assert left.acquire(timeout=20)
        wait_until(lambda: not channel.connected(), 20, "it is seen to have left")
        for _ in range(1000):
            channel.send(bytes(10_000))

    door = open_door(serve, 1)
    client = door.connect()
    client.sendall(b"/a 0\n")
    assert arrived.acquire(timeout=20)
    client.close()
    left.release()
    wait_until(lambda: door.lost == 1 and not door.room.guests.by_fd, 20, "its request is over")


def test_who_has_said_all_is_answered_and_left(open_door: Callable[..., Doorman]) -> None:
    door = open_door(echo)
    for _ in range(20):
        with door.connect() as client:
            client.sendall(b"/a 0\n")
            client.shutdown(socket.SHUT_WR)
            assert receive_all(client) == b"/a=0:\n"
