"""Which files are opened and deleted for uploads, and which are not."""

from __future__ import annotations

import os
import socket
from typing import TYPE_CHECKING

import pytest

from m2serve.endpoint import Endpoint, ZmqPair
from m2serve.front import Front
from m2serve.uploads.body import FileBody, NoBody, UploadFiles
from m2serve.uploads.store import TempStore, UploadError
from m2serve.wire.upload import Claim

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PAIR = ZmqPair(Endpoint.parse("tcp://127.0.0.1:1"), Endpoint.parse("tcp://127.0.0.1:2"))


@pytest.fixture
def chroot(tmp_path: Path) -> Path:
    root = tmp_path / "root"
    (root / "uploads").mkdir(parents=True)
    return root


@pytest.fixture
def store(chroot: Path) -> TempStore:
    return TempStore(Front(PAIR, chroot=str(chroot), temp_store="/uploads/up.XXXXXX"))


@pytest.fixture
def victim(tmp_path: Path) -> Iterator[Path]:
    """A file that nobody may open, read or delete."""
    path = tmp_path / "victim"
    path.write_bytes(b"secret")
    yield path
    assert path.read_bytes() == b"secret"


def refused(store: TempStore, name: bytes = b"/uploads/up.abcdef", expected: int | None = 3) -> str:
    with pytest.raises(UploadError) as caught:
        store.open(name, expected)
    return str(caught.value)


def test_a_file_is_gone_when_it_is_open(store: TempStore, chroot: Path) -> None:
    path = chroot / "uploads/up.abcdef"
    path.write_bytes(b"abcd")
    assert store.size(b"/uploads/up.abcdef") == 4
    fd, size = store.open(b"/uploads/up.abcdef", 3)
    assert (os.read(fd, 10), size, path.exists()) == (b"abcd", 4, False)
    os.close(fd)


def test_what_is_not_there(store: TempStore, chroot: Path) -> None:
    text = refused(store)
    assert f"{chroot}/uploads/up.abcdef: no such file" in text
    assert "/uploads/up.abcdef" in text
    assert "mongrel2-chroot" in text
    assert store.size(b"/uploads/up.abcdef") is None
    assert not store.remove(b"/uploads/up.abcdef")


def test_a_mongrel2_that_had_no_right_to_its_chroot(tmp_path: Path) -> None:
    (tmp_path / "up.abcdef").write_bytes(b"abc")
    store = TempStore(Front(PAIR, chroot=str(tmp_path / "root"), temp_store=f"{tmp_path}/up.XXXXXX"))
    fd, _ = store.open(os.fsencode(tmp_path / "up.abcdef"), 3)
    os.close(fd)


def test_a_relative_name(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run/up.abcdef").write_bytes(b"abc")
    store = TempStore(Front(PAIR, directory=str(tmp_path), temp_store="run/up.XXXXXX"))
    assert store.fits(b"run/up.abcdef")
    fd, _ = store.open(b"run/up.abcdef", 3)
    os.close(fd)
    assert not (tmp_path / "run/up.abcdef").exists()


def test_a_link_in_its_place(store: TempStore, chroot: Path, victim: Path) -> None:
    (chroot / "uploads/up.abcdef").symlink_to(victim)
    assert "up.abcdef" in refused(store)
    assert not store.remove(b"/uploads/up.abcdef")


def test_a_second_name_of_another_file(store: TempStore, chroot: Path, victim: Path) -> None:
    os.link(victim, chroot / "uploads/up.abcdef")
    assert "2 links" in refused(store)
    assert not store.remove(b"/uploads/up.abcdef")
    assert (chroot / "uploads/up.abcdef").exists()


@pytest.mark.parametrize("kind", ["fifo", "directory", "socket", "device"])
def test_what_is_no_file(store: TempStore, chroot: Path, kind: str) -> None:
    path = chroot / "uploads/up.abcdef"
    if kind == "fifo":
        os.mkfifo(path)
    elif kind == "directory":
        path.mkdir()
    elif kind == "socket":
        with socket.socket(socket.AF_UNIX) as sock:
            sock.bind(str(path))
    else:
        try:
            os.mknod(path, 0o20600, os.makedev(1, 5))
        except PermissionError:
            pytest.skip("only root makes devices")
    assert "up.abcdef" in refused(store)
    assert not store.remove(b"/uploads/up.abcdef")
    assert store.size(b"/uploads/up.abcdef") is None
    assert os.path.lexists(path)


def test_a_link_on_the_way_through_the_chroot(store: TempStore, chroot: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    other = tmp_path / "elsewhere/up.abcdef"
    other.write_bytes(b"secret")
    (chroot / "uploads").rmdir()
    (chroot / "uploads").symlink_to(tmp_path / "elsewhere")
    refused(store)
    assert not store.remove(b"/uploads/up.abcdef")
    assert other.read_bytes() == b"secret"


def test_a_template_that_leaves_the_chroot(chroot: Path, tmp_path: Path) -> None:
    (tmp_path / "up.abcdef").write_bytes(b"secret")
    store = TempStore(Front(PAIR, chroot=str(chroot), temp_store="/../up.XXXXXX"))
    assert "out of the chroot" in refused(store, b"/../up.abcdef")
    assert (tmp_path / "up.abcdef").exists()


def test_fewer_bytes_than_were_announced(store: TempStore, chroot: Path) -> None:
    path = chroot / "uploads/up.abcdef"
    path.write_bytes(b"ab")
    assert "2 bytes of 3" in refused(store)
    assert not path.exists()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_of_another_user(store: TempStore, chroot: Path) -> None:
    path = chroot / "uploads/up.abcdef"
    path.write_bytes(b"abc")
    path.chmod(0)
    assert "temp_store_mode" in refused(store)
    assert not path.exists()


def test_space(store: TempStore) -> None:
    room = store.room()
    assert room is not None
    assert room > 0
    assert TempStore(Front(PAIR)).room() is None
    assert TempStore(Front(PAIR, temp_store="/nowhere/at/all.XXXXXX")).room() is None


def test_nothing_fits_an_unknown_store() -> None:
    store = TempStore(Front(PAIR))
    assert not store.is_known
    assert not store.fits(b"/uploads/up.abcdef")


@pytest.mark.parametrize("size", [10, 14])
def test_the_body_as_the_application_reads_it(chroot: Path, size: int) -> None:
    """Behind it may lie the beginning of the client's next request."""
    (chroot / "uploads/up.abcdef").write_bytes(b"line\nother\nGET "[:size])
    files = UploadFiles([Front(PAIR, chroot=str(chroot), temp_store="/uploads/up.XXXXXX")])
    body = files.open(0, Claim(True, b"/uploads/up.abcdef", 10))
    assert isinstance(body, FileBody)
    assert (body.length, body.fault) == (10, None)
    file = body.input
    assert file.readline() == b"line\n"
    assert (file.read(), file.read(), file.tell()) == (b"other", b"", 10)
    assert (file.seek(-3, os.SEEK_END), file.read()) == (7, b"her")
    assert file.seek(0) == 0
    assert list(file) == [b"line\n", b"other"]
    assert (file.seek(100), file.read(1)) == (100, b"")
    with pytest.raises((OSError, ValueError)):
        file.seek(-1)
    body.close()
    assert file.closed


def test_a_body_in_chunks_is_as_long_as_its_file(chroot: Path) -> None:
    (chroot / "uploads/up.abcdef").write_bytes(b"")
    files = UploadFiles([Front(PAIR, chroot=str(chroot), temp_store="/uploads/up.XXXXXX")])
    body = files.open(0, Claim(True, b"/uploads/up.abcdef", None))
    assert (body.length, body.fault, body.input.read()) == (0, None, b"")
    body.close()
    missing = files.open(0, Claim(True, b"/uploads/up.abcdef", None))
    assert isinstance(missing, NoBody)
    assert "no such file" in str(missing.fault)
    missing.close()
