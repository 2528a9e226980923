"""Messages to mules: who gets which."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from m2serve.apps.uwsgi.module import Uwsgi
from m2serve.apps.uwsgi.mules import MESSAGE, Boxes
from m2serve.apps.uwsgi.running import Running
from m2serve.config.settings import Settings
from m2serve.master.boxes import make_boxes

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def boxes() -> Iterator[Boxes]:
    pairs = make_boxes(2, ())
    yield Boxes(pairs)
    for fd in (fd for pair in pairs for fd in pair):
        os.close(fd)


def test_each_has_its_own_and_all_have_one(boxes: Boxes) -> None:
    assert len(boxes) == 2
    assert boxes.send(b"any", 0)
    assert boxes.send(b"one", 1)
    assert boxes.send(b"", 2)
    assert not boxes.send(b"three", 3)
    assert not boxes.send(b"less", -1)
    assert boxes.take(1) == (MESSAGE, b"one")
    assert boxes.take(2) == (MESSAGE, b"")
    assert boxes.take(2) == (MESSAGE, b"any")
    assert boxes.take(1, 0) is None
    assert boxes.take(2, 0.001) is None


def test_who_sends_never_waits(boxes: Boxes) -> None:
    sent = 0
    while boxes.send(b"x" * 1000, 1):
        sent += 1
        assert sent < 100_000
    assert sent > 50
    assert boxes.send(b"x", 2)
    assert not boxes.send(bytes(1 << 24), 2)
    for _ in range(sent):
        assert boxes.take(1, 0) == (MESSAGE, b"x" * 1000)
    assert boxes.take(1, 0) is None


def test_how_much_may_lie_there() -> None:
    def fits(room: int) -> int:
        pairs = make_boxes(1, (), room)
        boxes, count = Boxes(pairs), 0
        while boxes.send(b"x" * 100, 1):
            count += 1
        for fd in (fd for pair in pairs for fd in pair):
            os.close(fd)
        return count

    assert 0 < fits(8192) < fits(65536)


def test_what_is_left_is_kept() -> None:
    first = make_boxes(2, ())
    Boxes(first).send(b"a", 1)
    second = make_boxes(3, first)
    assert second[:3] == first
    third = make_boxes(1, second)
    assert third == first[:2]
    assert Boxes(third).take(1) == (MESSAGE, b"a")
    for pair in second[2:]:
        for fd in pair:
            with pytest.raises(OSError, match="Bad file descriptor"):
                os.fstat(fd)
    assert make_boxes(0, third) == ()


def module(boxes: Boxes, mule: int = 0) -> Uwsgi:
    running = Running(Settings(), -1, master=1, started=0.0, mule=mule)
    running.boxes = boxes
    return Uwsgi(running)


def test_the_module(boxes: Boxes) -> None:
    worker, mule = module(boxes), module(boxes, 1)
    assert worker.mule_msg("any") is True
    assert worker.mule_msg(b"one", 1) is True
    assert worker.mule_msg(b"three", 3) is False
    assert mule.mule_get_msg() == b"one"
    assert mule.mule_get_msg(buffer_size=2) == b"an"
    assert mule.mule_get_msg(timeout=0) is None
    with pytest.raises(ValueError, match="only in a mule"):
        worker.mule_get_msg()
    with pytest.raises(ValueError, match="invalid mule"):
        worker.mule_msg("x", None)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="unknown farm"):
        worker.mule_msg("x", "farm")
    with pytest.raises(ValueError, match="no mule configured"):
        module(Boxes(())).mule_msg("x")
    assert not hasattr(worker, "mule_msg_hook")
