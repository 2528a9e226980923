"""A Mongrel2 in its chroot, as its own user; m2serve outside, inside, and as somebody else."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from support.http import get
from support.server import APPS, ROOT, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable

    from support.mongrel2 import Mongrel2
    from support.server import Server

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="a chroot needs root")

APPLICATION = ("--threads", "2", "--pythonpath", str(APPS), "--module", "probe")
NOBODY, SOMEBODY = 65534, 65533

INSIDE = """
import os, sys
sys.path.insert(0, sys.argv[1])
import m2serve.cli, probe, encodings.ascii, encodings.idna, encodings.latin_1
os.chroot(sys.argv[2])
os.chdir("/")
sys.exit(m2serve.cli.main(sys.argv[3:]))
"""
"""There is no Python in the chroot: all that is needed is imported before."""


def database(mongrel2: Mongrel2) -> str:
    return str(mongrel2.directory / "config.sqlite")


def upload(mongrel2: Mongrel2) -> None:
    """A body that takes the way through a file, of which nothing is left."""
    body = bytes(range(256)) * 1000
    assert get(mongrel2.address, "/echo", method="POST", body=body).body == body
    wait_until(lambda: not any((mongrel2.home / "uploads").iterdir()), 20, "the file is removed")


def test_mongrel2_in_its_chroot(start_mongrel2: Callable[..., Mongrel2], start_server: Callable[..., Server]) -> None:
    mongrel2 = start_mongrel2(scheme="ipc", chroot=True)
    assert mongrel2.send_spec == "ipc:///run/req", "this is how Mongrel2 names it"
    server = start_server("--mongrel2-config", database(mongrel2), *APPLICATION).wait_ready()
    assert get(mongrel2.address).text == "hello\n"
    assert f"requests from ipc://{mongrel2.root}/run/req" in server.log
    assert f"chroot {mongrel2.root}," in server.log
    upload(mongrel2)
    assert "WARNING" not in server.log


def test_a_chroot_that_did_not_happen(
    start_mongrel2: Callable[..., Mongrel2], start_server: Callable[..., Server]
) -> None:
    mongrel2 = start_mongrel2(scheme="ipc", chroot=True, user=65534)
    server = start_server("--mongrel2-config", database(mongrel2), *APPLICATION).wait_ready()
    assert get(mongrel2.address).text == "hello\n"
    assert "chroot" not in server.log
    upload(mongrel2)
    assert "WARNING" not in server.log


@pytest.fixture
def somebody() -> int:
    """A user who is neither root nor Mongrel2, and may read our code."""
    command = [sys.executable, "-c", "import m2serve.cli"]
    path = {**os.environ, "PYTHONPATH": str(ROOT)}
    try:
        subprocess.run(command, user=SOMEBODY, cwd="/", env=path, capture_output=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("another user cannot read our code, or run our Python")
    return SOMEBODY


def test_each_as_its_own_user(
    start_mongrel2: Callable[..., Mongrel2], start_server: Callable[..., Server], somebody: int
) -> None:
    """As the manual says: they meet in the group of the directory, and in the mode of the files."""
    mongrel2 = start_mongrel2(chroot=True, owner=NOBODY, settings={"upload.temp_store_mode": "0660"})
    uploads = mongrel2.home / "uploads"
    os.chown(uploads, NOBODY, somebody)
    uploads.chmod(0o2770)
    server = start_server("--mongrel2-config", database(mongrel2), *APPLICATION, user=somebody).wait_ready()
    upload(mongrel2)
    assert "WARNING" not in server.log


def test_without_the_rights_it_is_told_and_tried(
    start_mongrel2: Callable[..., Mongrel2], start_server: Callable[..., Server], somebody: int
) -> None:
    mongrel2 = start_mongrel2(chroot=True, owner=NOBODY)
    server = start_server("--mongrel2-config", database(mongrel2), *APPLICATION, user=somebody).wait_ready()
    server.wait_log(rf"WARNING.*uploads in {mongrel2.home}/uploads cannot be removed by user {somebody}")
    assert get(mongrel2.address, "/echo", method="POST", body=b"x" * 100_000).status == 500
    server.wait_log(rf"{mongrel2.home}/uploads/upload\.\w+")
    assert get(mongrel2.address).status == 200


def test_both_in_the_same_chroot(start_mongrel2: Callable[..., Mongrel2], start_server: Callable[..., Server]) -> None:
    mongrel2 = start_mongrel2(chroot=True, scheme="ipc", owner=NOBODY)
    shutil.copy(database(mongrel2), mongrel2.home / "config.sqlite")
    server = start_server(
        *("--mongrel2-config", "/config.sqlite", "--threads", "2", "--module", "probe"),
        program=("-c", INSIDE, str(APPS), str(mongrel2.root)),
        environment={"TMPDIR": "/tmp"},
    ).wait_ready()
    assert "requests from ipc:///run/req" in server.log
    upload(mongrel2)
    assert "WARNING" not in server.log
