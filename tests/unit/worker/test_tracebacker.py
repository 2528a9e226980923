"""The socket that tells what a worker's threads do."""

from __future__ import annotations

import stat
import threading

import pytest
from support.told import told_by

from m2serve.worker.tracebacker import Tracebacker, remove, report


def waits_here(event: threading.Event) -> None:
    event.wait(60)


@pytest.fixture
def busy():
    event = threading.Event()
    thread = threading.Thread(target=waits_here, args=(event,), name="core-7")
    thread.start()
    yield
    event.set()
    thread.join()


@pytest.mark.usefixtures("busy")
def test_a_line_for_each_frame():
    text = report()
    assert text.startswith("*** uWSGI Python tracebacker output ***\n\n")
    (line,) = [one for one in text.splitlines() if "function = waits_here " in one]
    assert line.startswith(f"thread_id = core-7 filename = {__file__} lineno = ")
    assert line.endswith("line = event.wait(60)")


def heard(tracebacker, path) -> bytes:
    """What a client gets, while the service thread is played by the test."""
    found: list[bytes] = []
    client = threading.Thread(target=lambda: found.append(told_by(path)))
    client.start()
    while client.is_alive():
        tracebacker.answer()
        client.join(0.01)
    return found[0]


def test_who_connects_is_told(tmp_path):
    path = tmp_path / "stacks.1"
    tracebacker = Tracebacker(str(path))
    assert tracebacker.listen() >= 0
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert b"function = " in heard(tracebacker, path)
    tracebacker.answer()  # nobody is there
    tracebacker.close()
    assert not path.exists()


def test_the_later_life_has_the_path(tmp_path):
    path = tmp_path / "stacks.1"
    old, new = Tracebacker(str(path)), Tracebacker(str(path))
    old.listen()
    new.listen()
    old.close()
    assert path.exists()
    new.close()
    assert not path.exists()


def test_where_it_cannot_listen(tmp_path):
    (tmp_path / "file").write_text("somebody's")
    for path in (tmp_path / "file", tmp_path / "no" / "directory"):
        tracebacker = Tracebacker(str(path))
        assert tracebacker.listen() == -1
        tracebacker.close()
    remove(str(tmp_path / "file"))
    assert (tmp_path / "file").read_text() == "somebody's"
