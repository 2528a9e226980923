"""Static files through a real Mongrel2, in both topologies."""

from __future__ import annotations

import os
import socket
from typing import TYPE_CHECKING

import pytest
from support.http import Closed, Connection, get, request_bytes
from support.server import wait_until
from support.told import statistics

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from support.mongrel2 import Mongrel2
    from support.server import Server

SIZE = 6_000_000
"""More than the kernel's buffers take."""
BLOCK = bytes(range(250)) * 4


@pytest.fixture
def files(tmp_path: Path) -> Path:
    directory = tmp_path / "files"
    directory.mkdir()
    (directory / "a.css").write_bytes(b"css")
    (directory / "large").write_bytes(BLOCK * (SIZE // len(BLOCK)))
    (directory / "out").symlink_to("/etc/passwd")
    return directory


def served(path: Path) -> int:
    """Static requests by the statistics."""
    cores = [core for worker in statistics(path)["workers"] for core in worker["cores"]]
    return sum(core["static_requests"] for core in cores)


@pytest.mark.parametrize("topology", ["dispatched", "direct"])
def test_files_are_served_without_the_application(
    topology: str,
    start_mongrel2: Callable[..., Mongrel2],
    serve: Callable[..., Server],
    files: Path,
    tmp_path: Path,
) -> None:
    # with zeromq-direct nobody hears of credit
    front = start_mongrel2(settings={"download.flow_control": int(topology == "dispatched")})
    options = ["--static-map", f"/static={files}", "--static-expires", "css$ 100", "--stats", str(tmp_path / "stats")]
    options += ["--zeromq-direct"] if topology == "direct" else []
    serve(front, processes=1, threads=2, options=tuple(options))
    answer = get(front.address, "/static/a.css")
    assert (answer.status, answer.body, answer.get("content-type")) == (200, b"css", "text/css")
    assert answer.get("expires") is not None
    date = answer.get("last-modified")
    assert date is not None
    with Connection(front.address, 25) as connection:
        assert connection.request("/static/a.css", method="HEAD").get("content-length") == "3"
        assert connection.request("/static/a.css", headers=(("If-Modified-Since", date),)).status == 304
        part = connection.request("/static/large", headers=(("Range", "bytes=1000-300999"),))
        assert (part.status, part.get("content-range")) == (206, f"bytes 1000-300999/{SIZE}")
        assert part.body == BLOCK * 300
        assert connection.request("/static/large").body == BLOCK * (SIZE // len(BLOCK))
        # the connection has served all of that, and serves the application too
        for path in ("/static/nothing", "/static/../../etc/passwd", "/static/..%2f..%2fetc/passwd", "/static/out"):
            other = connection.request(path)
            assert (other.status, b"root:" in other.body) == (404, False), path
        assert connection.request("/").body == b"hello\n"
    wait_until(lambda: served(tmp_path / "stats") == 5, 20, "five static requests in the statistics")


def test_a_file_that_shrinks_closes_the_connection(
    start_mongrel2: Callable[..., Mongrel2], serve: Callable[..., Server], files: Path
) -> None:
    front = start_mongrel2(settings={"download.flow_control": 1})
    server = serve(front, processes=1, threads=1, options=("--check-static", str(files)))
    with Connection(front.address, 25) as connection:
        connection.send(request_bytes("/large"))
        wait_until(lambda: b"200 OK" in connection.socket.recv(200, socket.MSG_PEEK), 20, "the head")
        os.truncate(files / "large", 100_000)
        with pytest.raises(Closed):
            connection.read()
    server.wait_log("broken answer .*/large'?: the file is .* bytes shorter")
    assert get(front.address, "/").body == b"hello\n"
