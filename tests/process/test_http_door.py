"""Requests by HTTP, without any web server in front."""

from __future__ import annotations

import os
import signal
import threading
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pytest
from support.http import Closed, Connection, get, request_bytes
from support.server import APPS, Server, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable

PATIENCE = 30.0


@pytest.fixture
def serve_http(start_server: Callable[..., Server]) -> Callable[..., tuple[Server, tuple[str, int]]]:
    """A server with a door for HTTP, at a port of the kernel's choice."""

    def start(*options: str, module: str = "probe", workers: int = 1) -> tuple[Server, tuple[str, int]]:
        args = ["--pythonpath", str(APPS), "--module", module, "--http", "127.0.0.1:0"]
        server = start_server(*args, "-p", str(workers), *options)
        server.wait_ready(workers, PATIENCE)
        port = server.wait_log(r"http door at 127\.0\.0\.1:(\d+)", PATIENCE)[1]
        return server, ("127.0.0.1", int(port))

    return start


def test_it_serves(serve_http: Callable[..., Any]) -> None:
    server, address = serve_http("--threads", "4", workers=2)
    with Connection(address) as connection:
        for _ in range(3):
            assert connection.request("/").status == 200
        assert connection.request("/", method="POST", body=bytes(200_000)).status == 200
    assert server.stop(PATIENCE) == 0


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


def test_no_reload_costs_a_request(serve_http: Callable[..., Any]) -> None:
    server, address = serve_http("--threads", "4", workers=2)
    over = threading.Event()
    served: list[int] = []
    broken: list[BaseException] = []

    def client(kept: bool) -> None:
        """A connection that was kept may end at any time: a request that crosses its end is sent again (RFC 9112)."""
        with ExitStack() as stack:
            connection: Connection | None = None
            used = False
            try:
                while not over.is_set():
                    used = connection is not None
                    connection = connection or stack.enter_context(Connection(address))
                    headers = () if kept else (("Connection", "close"),)
                    try:
                        answer = connection.request("/", headers=headers)
                    except Closed as error:
                        if not used or error.partial:
                            raise
                        connection.close()
                        connection = None
                        continue
                    served.append(answer.status)
                    if "close" in answer.all("connection"):
                        connection.close()
                        connection = None
            except BaseException as error:
                broken.append(error)

    clients = [threading.Thread(target=client, args=(kept,), daemon=True) for kept in (True, True, False, False)]
    for one in clients:
        one.start()
    for _ in range(3):
        before, mark = len(served), server.mark()
        os.kill(server.process.pid, signal.SIGHUP)
        server.wait_log("all 2 workers ready", PATIENCE, after=mark)
        wait_until(lambda before=before: len(served) > before + 50, PATIENCE, "clients go on")
    over.set()
    for one in clients:
        one.join(PATIENCE)
    assert not broken
    assert set(served) == {200}
    assert get(address).status == 200


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
