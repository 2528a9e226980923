"""What options and signals do to requests that come by HTTP, without any web server in front."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING, Any

import pytest
from support.http import Connection, request_bytes
from support.server import APPS, Server

if TYPE_CHECKING:
    from collections.abc import Callable

PATIENCE = 30.0


@pytest.fixture
def serve_http(start_server: Callable[..., Server]) -> Callable[..., tuple[Server, tuple[str, int]]]:
    """A server with a door for HTTP, at a port of the kernel's choice."""

    def start(*options: str) -> tuple[Server, tuple[str, int]]:
        server = start_server("--pythonpath", str(APPS), "--module", "probe", "--http", "127.0.0.1:0", *options)
        server.wait_ready(1, PATIENCE)
        port = server.wait_log(r"http door at 127\.0\.0\.1:(\d+)", PATIENCE)[1]
        return server, ("127.0.0.1", int(port))

    return start


CHUNKED = b"POST /echo HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
CHUNK = b"3e8\r\n" + b"x" * 1000 + b"\r\n"


def test_one_chunk_has_a_limit(serve_http: Callable[..., Any]) -> None:
    """As in uWSGI, where a body of many of them may have any size."""
    _, address = serve_http("--chunked-input-limit", "1000")
    with Connection(address) as connection, Connection(address) as other:
        connection.send(CHUNKED + 50 * CHUNK + b"0\r\n\r\n")
        assert connection.read().body == b"x" * 50_000
        connection.send(CHUNKED + CHUNK + b"3e9\r\n")
        assert connection.read().status == 413
        assert other.request("/echo", method="POST", body=bytes(50_000)).body == bytes(50_000)


def test_a_body_in_chunks_has_a_time_of_its_own(serve_http: Callable[..., Any]) -> None:
    _, address = serve_http("--chunked-input-timeout", "1")
    with Connection(address) as connection:
        connection.send(CHUNKED + CHUNK)
        assert connection.read().status == 408


def test_a_pause_and_a_stop_lose_nobody(serve_http: Callable[..., Any]) -> None:
    server, address = serve_http("--threads", "2")
    mark = server.mark()
    os.kill(server.process.pid, signal.SIGTSTP)
    server.wait_log("paused, new requests wait", PATIENCE, after=mark)
    with Connection(address) as one, Connection(address) as two:
        one.send(request_bytes("/"))
        os.kill(server.process.pid, signal.SIGTSTP)
        # a signal that is sent before the last one was taken would be one with it
        server.wait_log("going on", PATIENCE, after=mark)
        assert one.read().status == 200
        os.kill(server.process.pid, signal.SIGTSTP)
        server.wait_log("paused, new requests wait(?s:.*)going on(?s:.*)paused", PATIENCE, after=mark)
        two.send(request_bytes("/"))
        os.kill(server.process.pid, signal.SIGTERM)
        assert two.read().status == 200
    assert server.process.wait(PATIENCE) == 0
