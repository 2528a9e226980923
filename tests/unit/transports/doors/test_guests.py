"""What becomes of connections that nobody asks anything, or whose time is over: real sockets, a protocol of lines."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from support.doorman import BIG, echo, receive, receive_all
from support.server import wait_until

from m2serve.transports.doors import connection

if TYPE_CHECKING:
    from collections.abc import Callable

    from support.doorman import Doorman


@pytest.mark.parametrize(
    ("said", "which"), [(b"/a", "head_timeout"), (b"/a 10\nabc", "body_timeout"), (b"/a ?\nabc", "chunk_timeout")]
)
def test_slow_requests_are_given_up(open_door: Callable[..., Doorman], said: bytes, which: str) -> None:
    door = open_door(echo, **{which: 0.2})
    with door.connect() as client:
        client.sendall(said)
        assert receive_all(client).startswith(b"HTTP/1.1 408")


def test_who_says_nothing_is_left(open_door: Callable[..., Doorman]) -> None:
    door = open_door(echo, head_timeout=0.2, keepalive=0.3)
    with door.connect() as silent, door.connect() as served:
        served.sendall(b"/a 0\n")
        assert receive_all(served) == b"/a=0:\n"
        assert receive_all(silent) == b""


def test_a_mistake_of_ours_costs_one_connection(open_door: Callable[..., Doorman]) -> None:
    door = open_door(echo, 1)
    with door.connect() as one, door.connect() as other:
        one.sendall(b"bug\n")
        assert receive_all(one) == b""
        other.sendall(b"/a 0\n")
        assert receive(other, 6) == b"/a=0:\n"


def test_a_reader_that_never_reads_is_left(open_door: Callable[..., Doorman]) -> None:
    door = open_door(lambda _, channel: channel.send_last(bytes(BIG)), policy={"patience": 0.2})
    with door.connect() as client:
        client.sendall(b"/big 0\n")
        client.recv(1)
        wait_until(lambda: not door.room.guests.by_fd, 20, "it is closed")


def test_those_who_say_nothing_make_room(open_door: Callable[..., Doorman]) -> None:
    door = open_door(echo, policy={"connections": 8})
    idle = [door.connect() for _ in range(8)]
    wait_until(lambda: len(door.room.guests.by_fd) == 8, 20, "all are accepted")
    with door.connect() as client:
        client.sendall(b"/a 0\n")
        assert receive(client, 6) == b"/a=0:\n"
    for sock in idle:
        sock.close()


def test_a_silent_connection_does_not_keep_a_worker_that_leaves(
    open_door: Callable[..., Doorman], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not even one that is just being accepted when the worker is told to leave."""
    monkeypatch.setattr(connection, "_FIRST_WORD", 0.1)
    door = open_door(echo)
    with door.connect() as client:
        wait_until(lambda: [one for one in door.room.guests.by_fd.values() if not one.held], 20, "it is accepted")
        (conn,) = door.room.guests.by_fd.values()
        with door.room.guests.mutex:
            conn.held = True
        door.room.stop()
        with door.room.guests.mutex:
            conn.held = False
        client.settimeout(20)
        assert client.recv(1) == b""
