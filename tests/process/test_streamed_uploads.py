"""Bodies that Mongrel2 sends in pieces (upload.stream), read by the application while the client sends."""

from __future__ import annotations

import hashlib
import json
import random
from typing import TYPE_CHECKING, Any

import pytest
from support.http import Connection, Response

if TYPE_CHECKING:
    from collections.abc import Callable

    from support.mongrel2 import Mongrel2
    from support.server import Server

STREAM = {"upload.stream": 1}
KIB, MIB = 1024, 1024 * 1024
PROTOCOLS = pytest.mark.parametrize("protocol", ["tnetstring", "json"])
FRAMINGS = pytest.mark.parametrize("chunked", [False, True], ids=["length", "chunked"])


@pytest.fixture
def streaming(start_mongrel2: Callable[..., Mongrel2], serve: Callable[..., Server]) -> Callable[..., Any]:
    """Start a Mongrel2 that streams uploads, and m2serve."""

    def start(
        *options: str,
        protocol: str = "tnetstring",
        processes: int = 2,
        threads: int = 2,
        settings: dict[str, int] | None = None,
    ) -> tuple[Mongrel2, Server]:
        mongrel2 = start_mongrel2(protocol=protocol, settings={**STREAM, **(settings or {})})
        server = serve(mongrel2, module="streaming", processes=processes, threads=threads, options=options)
        return mongrel2, server

    return start


def content(size: int) -> bytes:
    return random.Random(size).randbytes(size)


def head(target: str, *, length: int | None = None, extra: str = "") -> bytes:
    framing = "Transfer-Encoding: chunked" if length is None else f"Content-Length: {length}"
    return f"POST {target} HTTP/1.1\r\nHost: localhost\r\n{framing}\r\n{extra}\r\n".encode()


def chunks(data: bytes, size: int = 30_000) -> bytes:
    framed = [b"%x\r\n%b\r\n" % (len(data[at : at + size]), data[at : at + size]) for at in range(0, len(data), size)]
    return b"".join([*framed, b"0\r\n\r\n"])


def upload(mongrel2: Mongrel2, data: bytes, target: str, *, chunked: bool = False, timeout: float = 25.0) -> Response:
    with Connection(mongrel2.address, timeout) as connection:
        return send(connection, data, target, chunked=chunked)


def send(connection: Connection, data: bytes, target: str = "/digest/65536/0", *, chunked: bool = False) -> Response:
    connection.send(head(target, length=None if chunked else len(data)) + (chunks(data) if chunked else data))
    return connection.read("POST")


def assert_received(response: Response, data: bytes, *, chunked: bool = False) -> dict[str, Any]:
    assert response.status == 200, response
    told: dict[str, Any] = json.loads(response.body)
    assert told["size"] == len(data)
    assert told["sha256"] == hashlib.sha256(data).hexdigest()
    assert told["length"] == (None if chunked else str(len(data)))
    assert told["terminated"] is True
    assert told["coding"] is None
    return told


@PROTOCOLS
@FRAMINGS
def test_bodies_arrive_as_they_were_sent(streaming: Callable[..., Any], protocol: str, chunked: bool) -> None:
    mongrel2, _ = streaming(protocol=protocol)
    for size in (70 * KIB, MIB, 30 * MIB):
        data = content(size)
        assert_received(upload(mongrel2, data, "/digest/65536/0", chunked=chunked), data, chunked=chunked)
    small = content(5000)
    # Content-Length that small comes inside the message, chunks never do
    assert_received(upload(mongrel2, small, "/digest/65536/0", chunked=chunked), small, chunked=chunked)
