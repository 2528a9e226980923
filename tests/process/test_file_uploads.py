"""Bodies that Mongrel2 hands over as files."""

from __future__ import annotations

import hashlib
import json
import random
import signal
from typing import TYPE_CHECKING, Any

import pytest
from support.http import Connection, get, request_bytes
from support.server import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from support.mongrel2 import Mongrel2
    from support.server import Server

KIB, MIB = 1024, 1024 * 1024
CHUNK = 60_000


def left(mongrel2: Mongrel2) -> list[str]:
    """Temporary files of Mongrel2's."""
    return sorted(path.name for path in mongrel2.directory.glob("upload.*"))


def wait_clean(mongrel2: Mongrel2) -> None:
    wait_until(lambda: not left(mongrel2), 20, f"files left: {left(mongrel2)}")


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


def shown(mongrel2: Mongrel2, name: str) -> Any:
    """How far the upload of that X-Progress-ID is; None: nobody knows of it."""
    return json.loads(get(mongrel2.address, f"/progress/{name}").text)


def begin_known(connection: Connection, mongrel2: Mongrel2) -> None:
    """Begin one of a MiB that the dispatcher knows; a file alone shows that Mongrel2 does."""
    begin(connection, "/", MIB, ("X-Progress-ID", "known"))
    connection.send(bytes(1000))
    wait_until(lambda: shown(mongrel2, "known"), 20, "its beginning")


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


def test_a_body_over_the_limit_is_refused_before_it_comes(
    mongrel2: Mongrel2, upload_server: Callable[..., Server]
) -> None:
    upload_server("--limit-post", "1M", "--limit-post", "/large=10M")
    for headers in ((("Content-Length", "2000000"),), (("Content-Length", "2000000"), ("Expect", "100-continue"))):
        with Connection(mongrel2.address) as connection:
            connection.send(request_bytes("/digest", method="POST", headers=headers))
            answer = connection.read()
            if answer.status == 100:
                answer = connection.read()
            assert (answer.status, answer.get("connection")) == (413, "close")
            assert connection.read_to_end() == b""
    with Connection(mongrel2.address) as connection:
        connection.send(request_bytes("/digest", method="POST", headers=(("Transfer-Encoding", "chunked"),)))
        for _ in range(30):  # and no end
            connection.send(b"ea60\r\n" + bytes(60_000) + b"\r\n")
        assert connection.read().status == 413
    with Connection(mongrel2.address) as connection:
        begin(connection, "/large", 2_000_000)
        connection.send(bytes(2_000_000))
        assert connection.read().status == 200
        assert connection.request("/digest", method="POST", body=bytes(1000)).status == 200
    wait_clean(mongrel2)


def test_a_client_that_leaves_midway(mongrel2: Mongrel2, upload_server: Callable[..., Server]) -> None:
    server = upload_server()
    for _ in range(3):
        with Connection(mongrel2.address) as connection:
            begin(connection, "/", MIB)
            connection.send(bytes(MIB // 2))
            wait_until(lambda: left(mongrel2), 20, "the upload's file")
    wait_clean(mongrel2)
    assert server.stop() == 0, "it waits for nobody"


def test_how_far_it_is(mongrel2: Mongrel2, upload_server: Callable[..., Server], tmp_path: Path) -> None:
    upload_server()
    assert shown(mongrel2, "bar") is None
    with Connection(mongrel2.address) as by_header, Connection(mongrel2.address) as by_query:
        begin(by_header, f"/hold{tmp_path}/gate", MIB, ("X-Progress-ID", "bar"))
        by_header.send(bytes(MIB // 2))
        by_query.send(request_bytes("/?X-Progress-ID=foo", method="POST", headers=(("Transfer-Encoding", "chunked"),)))
        by_query.send(b"ea60\r\n" + bytes(60_000) + b"\r\n")
        wait_until(lambda: (shown(mongrel2, "bar") or {}).get("received") == MIB // 2, 20, "half of it")
        assert shown(mongrel2, "bar") == {"received": MIB // 2, "expected": MIB, "done": False}
        wait_until(lambda: (shown(mongrel2, "foo") or {}).get("received") == 60_000, 20, "a chunk")
        assert shown(mongrel2, "foo") == {"received": 60_000, "expected": None, "done": False}
        by_header.send(bytes(MIB // 2))
        wait_until(lambda: (shown(mongrel2, "bar") or {}).get("done"), 20, "all of it")
        (tmp_path / "gate").touch()
        assert by_header.read().status == 200
        by_query.send(b"0\r\n\r\n")
        assert by_query.read().status == 200
    wait_until(lambda: shown(mongrel2, "bar") is None, 20, "the end")


def test_a_worker_that_dies(mongrel2: Mongrel2, upload_server: Callable[..., Server], tmp_path: Path) -> None:
    server = upload_server(processes=1, threads=1)
    with Connection(mongrel2.address) as running, Connection(mongrel2.address) as waiting:
        for connection in (running, waiting):
            begin(connection, f"/hold{tmp_path}/gate", MIB)
            connection.send(bytes(MIB))
            server.wait_log("^begun")
        with Connection(mongrel2.address) as midway:
            begin(midway, "/digest", MIB)
            midway.send(bytes(1000))
            wait_until(lambda: len(left(mongrel2)) == 2, 20, "one that waits, one that still comes")
            server.kill_child("worker 1")
            assert running.read().status == 502
            (tmp_path / "gate").touch()
            midway.send(bytes(MIB - 1000))
            assert waiting.read().status == 200
            assert json.loads(midway.read().text)["size"] == MIB
    wait_clean(mongrel2)


def test_a_client_that_leaves_while_its_upload_waits(
    mongrel2: Mongrel2, upload_server: Callable[..., Server], tmp_path: Path
) -> None:
    server = upload_server(processes=1, threads=1)
    with Connection(mongrel2.address) as running:
        running.send(request_bytes(f"/hold{tmp_path}/gate"))
        server.wait_log("^begun")
        with Connection(mongrel2.address) as waiting:
            begin(waiting, "/digest", MIB)
            waiting.send(bytes(MIB))
            wait_until(lambda: left(mongrel2), 20, "its file")
        wait_clean(mongrel2)
        (tmp_path / "gate").touch()
        assert running.read().status == 200


def test_an_application_that_fails(mongrel2: Mongrel2, upload_server: Callable[..., Server]) -> None:
    server = upload_server()
    server.allow("raised on purpose")
    with Connection(mongrel2.address) as connection:
        begin(connection, "/raise", MIB)
        connection.send(bytes(MIB))
        assert connection.read().status == 500
    assert left(mongrel2) == []


def test_a_dispatcher_that_dies(mongrel2: Mongrel2, upload_server: Callable[..., Server], tmp_path: Path) -> None:
    server = upload_server("--limit-post", "2M", processes=1, threads=1)
    data = random.Random(5).randbytes(MIB)
    with (
        Connection(mongrel2.address) as running,
        Connection(mongrel2.address) as waiting,
        Connection(mongrel2.address) as midway,
        Connection(mongrel2.address) as endless,
    ):
        begin(running, f"/hold{tmp_path}/gate", MIB)
        running.send(data)
        server.wait_log("^begun")
        begin(waiting, "/", MIB)
        waiting.send(data)
        begin(midway, "/", MIB)
        midway.send(data[:1000])
        endless.send(request_bytes("/", method="POST", headers=(("Transfer-Encoding", "chunked"),)))
        wait_until(lambda: len(left(mongrel2)) == 3, 20, "three files")
        mark = server.mark()
        server.kill_child("dispatcher")
        server.wait_log("pull taken over", after=mark)
        (tmp_path / "gate").touch()
        midway.send(data[1000:])
        for connection in (running, waiting, midway):
            assert json.loads(connection.read().text)["sha256"] == hashlib.sha256(data).hexdigest()
        for _ in range(50):
            endless.send(b"ea60\r\n" + bytes(60_000) + b"\r\n")
        assert endless.read().status == 413
    wait_clean(mongrel2)


def test_a_stop_waits_for_uploads(mongrel2: Mongrel2, upload_server: Callable[..., Server]) -> None:
    server = upload_server()
    with Connection(mongrel2.address) as midway:
        begin_known(midway, mongrel2)
        server.signal(signal.SIGTERM)
        wait_until(lambda: refused(mongrel2), 20, "a refusal of what comes late")
        assert get(mongrel2.address, "/digest").status == 200, "all else is served meanwhile"
        midway.send(bytes(MIB - 1000))
        assert json.loads(midway.read().text)["size"] == MIB
        assert server.wait() == 0
    wait_clean(mongrel2)


def refused(mongrel2: Mongrel2) -> bool:
    """Whether uploads are; one that comes before the dispatcher knows of the stop is accepted, and given up."""
    with Connection(mongrel2.address, timeout=1) as connection:
        begin(connection, "/", MIB)
        try:
            return connection.read().status == 503
        except TimeoutError:
            return False


def test_a_stop_has_an_end(mongrel2: Mongrel2, upload_server: Callable[..., Server]) -> None:
    server = upload_server("--worker-reload-mercy", "2")
    with Connection(mongrel2.address) as midway:
        begin_known(midway, mongrel2)
        server.signal(signal.SIGTERM)
        assert midway.read().status == 503
        assert server.wait() == 0
    wait_clean(mongrel2)


def test_a_store_that_is_not_known(mongrel2: Mongrel2, serve: Callable[..., Server]) -> None:
    server = serve(mongrel2, module="uploads")
    with Connection(mongrel2.address) as connection:
        begin(connection, "/", MIB)
        assert connection.read().status == 500
    server.wait_log(r"reason=an upload to the file .*upload\.[A-Za-z0-9]{6}.*mongrel2-config.*mongrel2-setting")
    wait_clean(mongrel2)


def test_a_wrong_chroot(mongrel2: Mongrel2, upload_server: Callable[..., Server], tmp_path: Path) -> None:
    """A file that is not where we think it is: the log says where that was, and what to set."""
    server = upload_server()
    with Connection(mongrel2.address) as connection:
        begin_known(connection, mongrel2)
        (name,) = left(mongrel2)
        (mongrel2.directory / name).rename(tmp_path / name)
        connection.send(bytes(MIB - 1000))
        assert connection.read().status == 500
        assert connection.read_to_end() == b""
    server.wait_log(rf"refused status=500 .*{name}: no such file.*mongrel2-chroot")
    assert get(mongrel2.address, "/digest").status == 200


@pytest.mark.parametrize("behind", [b"", b"GET /digest HTTP/1.1\r\nHost: localhost\r\n\r\n"], ids=["alone", "followed"])
def test_a_body_goes_back_as_it_came(mongrel2: Mongrel2, upload_server: Callable[..., Server], behind: bytes) -> None:
    """The answer outlives the application's call, and the file its name. What Mongrel2 writes behind it stays out."""
    upload_server()
    data = random.Random(3).randbytes(5 * MIB)
    with Connection(mongrel2.address) as connection:
        begin(connection, "/back", len(data))
        connection.send(data + behind)
        assert connection.read().body == data
    wait_clean(mongrel2)


def test_without_a_dispatcher_uploads_are_refused(mongrel2: Mongrel2, serve: Callable[..., Server]) -> None:
    serve(mongrel2, module="uploads", options=(*options(mongrel2), "--zeromq-direct"))
    for headers in ((("Content-Length", str(MIB)),), (("Transfer-Encoding", "chunked"),)):
        with Connection(mongrel2.address) as connection:
            connection.send(request_bytes("/", method="POST", headers=headers))
            assert connection.read().status == 413
            assert connection.read_to_end() == b""
    wait_clean(mongrel2)
    forged = (("X-Mongrel2-Upload-Start", "/etc/passwd"), ("X-Mongrel2-Upload-Done", "/etc/passwd"))
    assert get(mongrel2.address, "/digest", headers=forged).status == 200
