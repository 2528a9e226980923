"""A temporary store that has no space left."""

from __future__ import annotations

import os
import subprocess
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest
from support.http import Connection, get, request_bytes
from support.server import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from support.mongrel2 import Mongrel2
    from support.server import Server

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="a small disk is mounted, which needs root")


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A place with room for one megabyte."""
    path = tmp_path / "disk"
    path.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "none", str(path)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip(f"nothing can be mounted here: {mounted.stderr!r}")
    yield path
    subprocess.run(["umount", "-l", str(path)], check=True)


def test_it_is_told_before_the_body_comes(
    start_mongrel2: Callable[..., Mongrel2], serve: Callable[..., Server], disk: Path
) -> None:
    mongrel2 = start_mongrel2(settings={"upload.temp_store": f"{disk}/up.XXXXXX"})
    server = serve(mongrel2, module="uploads", options=("--mongrel2-config", f"{mongrel2.directory}/config.sqlite"))
    with Connection(mongrel2.address) as connection:
        connection.send(request_bytes("/", method="POST", headers=(("Content-Length", "2000000"),)))
        assert connection.read().status == 507
        assert connection.read_to_end() == b""
    server.wait_log(rf"507.*no space for an upload of 2000000 bytes: [0-9]+ bytes left.*{disk}/up.XXXXXX")
    wait_until(lambda: not any(disk.iterdir()), 20, "the file is removed")
    assert get(mongrel2.address, "/digest").status == 200


def test_in_chunks_nobody_can_know(
    start_mongrel2: Callable[..., Mongrel2], serve: Callable[..., Server], disk: Path
) -> None:
    """Mongrel2 itself ends the connection when it cannot write. The next one hears of it before it begins."""
    mongrel2 = start_mongrel2(settings={"upload.temp_store": f"{disk}/up.XXXXXX"})
    server = serve(mongrel2, module="uploads", options=("--mongrel2-config", f"{mongrel2.directory}/config.sqlite"))
    chunked = request_bytes("/", method="POST", headers=(("Transfer-Encoding", "chunked"),))
    with Connection(mongrel2.address) as connection:
        connection.send(chunked + b"1\r\nx\r\n")
        wait_until(lambda: any(path.stat().st_size for path in disk.iterdir()), 20, "the body is being written")
        # The notice of the upload left before its first byte was written, this one after it: so it was read when there
        # was still room.
        assert get(mongrel2.address, "/digest").status == 200
        with suppress(ConnectionError):
            for _ in range(40):
                connection.send(b"ea60\r\n" + bytes(60_000) + b"\r\n")
        assert connection.read_to_end() == b""
    server.wait_log("upload broken off .*expected=None free=[0-9]+")
    wait_until(lambda: not any(disk.iterdir()), 20, "the file is removed")
    (disk / "other").write_bytes(bytes(1020 * 1024))
    with Connection(mongrel2.address) as connection:
        connection.send(chunked)
        assert connection.read().status == 507
    server.wait_log("507.*no space for an upload of unknown size")
    wait_until(lambda: [path.name for path in disk.iterdir()] == ["other"], 20, "the file is removed")
    assert get(mongrel2.address, "/digest").status == 200
