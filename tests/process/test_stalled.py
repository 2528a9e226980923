"""A Mongrel2 that was left by its handler: its reader of answers is blocked by a notice that nobody takes."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest
from support.handler import Handler
from support.http import Connection, get, request_bytes

if TYPE_CHECKING:
    from collections.abc import Callable

    from support.mongrel2 import Mongrel2
    from support.server import Server


@pytest.mark.parametrize("scheme", ["tcp", "ipc"])
@pytest.mark.parametrize("options", [(), ("--zeromq-direct",)], ids=["dispatched", "direct"])
def test_a_mongrel2_that_does_not_subscribe_is_freed(
    start_mongrel2: Callable[..., Mongrel2], serve: Callable[..., Server], scheme: str, options: tuple[str, ...]
) -> None:
    """It subscribes with newcomers only when its reader runs, which runs only when somebody takes its notices: whoever
    waits for the subscription before connecting to the PUSH waits for ever."""
    mongrel2 = start_mongrel2(scheme=scheme)
    with Handler(mongrel2) as handler:
        handler.wait_subscribed()
        with Connection(mongrel2.address) as client:
            client.send(request_bytes("/"))
            request = handler.take()
            handler.stop_taking()
        deadline = time.monotonic() + 30
        while True:  # once Mongrel2 has seen that the client has left, an answer makes a notice, which blocks it
            handler.answer(*request, b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
            if not handler.newcomer_is_subscribed(1.0):
                break
            assert time.monotonic() < deadline, "nothing is blocked, so this test tests nothing"
        serve(mongrel2, options=options)
        assert get(mongrel2.address).text == "hello\n"
