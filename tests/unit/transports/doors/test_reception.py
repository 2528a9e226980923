"""Who is let in, and by which worker: real sockets, a protocol of lines."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any

from support.doorman import Doorman, echo, receive, receive_all

if TYPE_CHECKING:
    from collections.abc import Callable

    import pytest

    from m2serve.message import Request


def test_those_who_have_much_to_say_do_not_keep_others_out(open_door: Callable[..., Doorman]) -> None:
    """There is always another request of a connection that is there; one that is new is let in all the same."""

    def serve(request: Request, channel: Any) -> None:
        time.sleep(0.002)
        echo(request, channel)

    door = open_door(serve, 1)
    with door.connect() as many:
        many.sendall(b"/a 0\n" * 5000)
        assert receive(many, 6) == b"/a=0:\n"
        with door.connect() as new:
            new.sendall(b"/b 0\n")
            assert receive(new, 6) == b"/b=0:\n"
        assert door.served < 5000


def test_the_last_worker_serves_who_waits_to_be_accepted() -> None:
    go, busy = threading.Event(), threading.Event()

    def serve(request: Request, channel: Any) -> None:
        busy.set()
        assert go.wait(20)
        channel.send_last(b"HTTP/1.1 200 OK\r\n\r\n", request.path)

    door = Doorman(serve, 1)
    with door.connect() as first, door.connect() as second, door.connect() as third:
        first.sendall(b"/1 0\n")
        assert busy.wait(20)
        for client in (second, third):
            client.sendall(b"/2 0\n")
        door.room.stop(final=True)
        go.set()
        for client in (second, third):
            assert receive_all(client) == b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n/2"
    for thread in door.threads:
        thread.join(20)
    assert door.room.over
    door.listener.detach()


def test_nothing_is_left_to_workers_that_are_not_at_the_door(
    open_door: Callable[..., Doorman], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where another worker has fewer connections it may have the next one: for as long as this test, if it is there."""
    monkeypatch.setattr("m2serve.transports.doors.reception._COURTESY", 60.0)
    door = open_door(echo, 2, workers=(1, 3))
    door.visitors[2] = 1
    with door.connect() as first, door.connect() as second:
        for client in (first, second):
            client.sendall(b"/ 0\n")
            assert receive(client, 1)
        assert door.visitors[1] == 3
