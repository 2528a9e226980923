"""Bodies that Mongrel2 hands over as files."""

from __future__ import annotations

import hashlib
import json
import random
from typing import TYPE_CHECKING, Any

import pytest
from support.http import Connection, request_bytes
from support.server import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from support.mongrel2 import Mongrel2
    from support.server import Server

KIB, MIB = 1024, 1024 * 1024
CHUNK = 60_000


def left(mongrel2: Mongrel2) -> list[str]:
    """Temporary files of Mongrel2's."""
    return sorted(path.name for path in mongrel2.directory.glob("upload.*"))


def wait_clean(mongrel2: Mongrel2) -> None:
    wait_until(lambda: not left(mongrel2), 10, f"files left: {left(mongrel2)}")


def options(mongrel2: Mongrel2) -> tuple[str, ...]:
    return ("--mongrel2-config", str(mongrel2.directory / "config.sqlite"))


def chunks(data: bytes) -> Iterator[bytes]:
    for at in range(0, len(data), CHUNK):
        piece = data[at : at + CHUNK]
        yield b"%x\r\n%b\r\n" % (len(piece), piece)
    yield b"0\r\n\r\n"


def begin(connection: Connection, target: str, size: int, *headers: tuple[str, str]) -> None:
    """The head of an upload of *size* bytes."""
    connection.send(request_bytes(target, method="POST", headers=(("Content-Length", str(size)), *headers)))


@pytest.fixture
def upload_server(mongrel2: Mongrel2, serve: Callable[..., Server]) -> Callable[..., Server]:
    def start(*more: str, **kinds: Any) -> Server:
        return serve(mongrel2, module="uploads", options=(*options(mongrel2), *more), **kinds)

    return start


@pytest.mark.parametrize("protocol", ["tnetstring", "json"])
def test_what_comes_is_what_was_sent(
    start_mongrel2: Callable[..., Mongrel2], serve: Callable[..., Server], protocol: str
) -> None:
    mongrel2 = start_mongrel2(protocol=protocol)
    serve(mongrel2, module="uploads", options=options(mongrel2))
    source = random.Random(7)
    connection = Connection(mongrel2.address, timeout=30)
    for size, chunked in [
        (0, True), (5, True), (64 * KIB, False), (64 * KIB + 1, False), (64 * KIB, True), (MIB, False), (MIB, True),
        (30 * MIB, False), (30 * MIB, True),
    ]:  # fmt: skip
        data = source.randbytes(size)
        if chunked:
            connection.send(request_bytes("/", method="POST", headers=(("Transfer-Encoding", "chunked"),)))
            for piece in chunks(data):
                connection.send(piece)
        else:
            begin(connection, "/", size)
            connection.send(data)
        answer = connection.read()
        found = json.loads(answer.text)
        del found["pid"]
        assert found == {
            "sha256": hashlib.sha256(data).hexdigest(),
            "size": size,
            "length": str(size),
            "again": data[:10].decode("latin-1"),
            "end": size,
            "terminated": True,
            "names": [],
        }
        assert left(mongrel2) == []
        assert answer.get("connection") == ("close" if chunked else None)
        if chunked:
            assert connection.read_to_end() == b""
            connection.close()
            connection = Connection(mongrel2.address, timeout=30)
    connection.close()
