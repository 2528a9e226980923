from __future__ import annotations

import gc
import os
from typing import TYPE_CHECKING

import pytest

from m2serve.gateways.files.beneath import LeadsOut, open_beneath, open_file

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def root(tmp_path: Path) -> Iterator[Path]:
    """A directory with files and links, beside one that must not be reached; no descriptor may stay open."""
    root = tmp_path / "root"
    (root / "css" / "deep").mkdir(parents=True)
    (root / "css" / "a.css").write_text("a")
    (root / "css" / "deep" / "b.css").write_text("b")
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret" / "key").write_text("key")
    (root / "inside").symlink_to("css/a.css")
    (root / "absolute").symlink_to(root / "css")
    (root / "out").symlink_to(tmp_path / "secret" / "key")
    (root / "away").symlink_to("../secret")
    (root / "dangling").symlink_to("nowhere")
    (root / "loop").symlink_to("loop")
    os.mkfifo(root / "fifo")
    gc.collect()  # what earlier tests have left shall not go in the middle of this one
    before = len(os.listdir("/proc/self/fd"))
    yield root
    # What tests before have left to the garbage collector may have been closed meanwhile.
    assert len(os.listdir("/proc/self/fd")) <= before


def read(root: Path, name: str, *safe: Path) -> str | None:
    opened = open_beneath(bytes(root), name.encode().split(b"/"), [bytes(one) for one in safe])
    if opened is None:
        return None
    try:
        return "/" if opened.is_directory else os.read(opened.fd, 100).decode()
    finally:
        os.close(opened.fd)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("css/a.css", "a"),
        ("css/deep/b.css", "b"),
        ("css", "/"),
        ("css/nothing", None),
        ("css/a.css/x", None),
        ("inside", "a"),
        ("absolute/a.css", "a"),
        ("absolute/deep", "/"),
        ("dangling", None),
        ("loop", None),
        ("fifo", None),
        ("x" * 300, None),
    ],
)
def test_what_lies_beneath_is_opened(root: Path, name: str, content: str | None) -> None:
    assert read(root, name) == content


@pytest.mark.parametrize("name", ["out", "away", "away/key"])
def test_a_link_that_leads_out_is_refused(root: Path, name: str) -> None:
    with pytest.raises(LeadsOut, match="secret"):
        read(root, name)


def test_a_link_may_lead_to_a_safe_directory(root: Path) -> None:
    assert read(root, "out", root.parent / "secret") == "key"
    assert read(root, "away/key", root.parent / "secret") == "key"


def test_the_directory_itself_may_be_a_link_and_may_change(root: Path) -> None:
    current = root.parent / "current"
    current.symlink_to(root)
    assert read(current, "css/a.css") == "a"
    assert read(current, "inside") == "a"
    (root.parent / "new").mkdir()
    (root.parent / "new" / "inside").write_text("new")
    current.unlink()
    current.symlink_to(root.parent / "new")
    assert read(current, "inside") == "new"


def test_a_directory_that_is_not_there(root: Path) -> None:
    assert read(root / "nothing", "a") is None


def test_what_becomes_a_link_meanwhile_is_not_followed(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.path.realpath

    def replaced(path: bytes) -> bytes:
        found = real(path)
        if path.endswith(b"inside"):
            (root / "css" / "a.css").unlink()
            (root / "css" / "a.css").symlink_to(root.parent / "secret" / "key")
        return found

    monkeypatch.setattr(os.path, "realpath", replaced)
    assert read(root, "inside") is None


def test_one_file(root: Path) -> None:
    opened = open_file(bytes(root / "inside"))
    assert opened is not None and not opened.is_directory
    os.close(opened.fd)
    assert open_file(bytes(root / "fifo")) is None
    assert open_file(bytes(root / "nothing")) is None
