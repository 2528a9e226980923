"""Descriptors that raise alarms, without a master."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import pytest
from turns import turn

from m2serve.config.alarms import AlarmFd
from m2serve.ids import Seconds
from m2serve.master.alarmfds import AlarmFds

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


class Watched:
    """As the alarms ask it."""

    def __init__(self, *specs: AlarmFd) -> None:
        self.heard: list[tuple[str, bytes]] = []
        self.fds = AlarmFds(specs, lambda name, text: self.heard.append((name, text)))
        self.fds.open()

    def turn(self, now: float = 100.0) -> int:
        """Gives how many events there were."""
        before = len(self.heard)
        turn(self.fds, now)  # type: ignore[arg-type]
        return len(self.heard) - before


@pytest.fixture
def made() -> Iterator[Callable[[int], int]]:
    """Keeps descriptors, which others are to have left us."""
    kept: list[int] = []

    def keep(fd: int) -> int:
        kept.append(fd)
        os.set_inheritable(fd, True)
        return fd

    yield keep
    for fd in kept:
        os.close(fd)


def test_each_byte_of_a_pipe(made: Any) -> None:
    reader, writer = os.pipe()
    watched = Watched(AlarmFd("boss", made(reader), 1, "it burns"))
    assert watched.turn() == 0
    os.write(writer, b"abc")
    assert watched.turn() == 3
    assert watched.heard[0] == ("boss", b"it burns")
    assert watched.turn() == 0
    os.close(writer)
    assert watched.turn() == 0
    assert dict(watched.fds.polled()) == {}


def test_so_many_bytes(made: Any) -> None:
    reader, writer = os.pipe()
    watched = Watched(AlarmFd("boss", made(reader), 4, "x"))
    os.write(made(writer), b"abcdef")
    assert watched.turn() == 2, "four bytes, and what is left"


def test_an_eventfd(made: Any, caplog: pytest.LogCaptureFixture) -> None:
    event = made(os.eventfd(0))
    watched = Watched(AlarmFd("boss", event, 8, "x"))
    os.eventfd_write(event, 3)
    assert watched.turn() == 1
    assert watched.turn() == 0
    assert caplog.messages == []
    careless = Watched(AlarmFd("boss", event, 1, "x"))
    os.eventfd_write(event, 1)
    assert careless.turn() == 0
    assert caplog.messages == [f"descriptor {event} raises no alarm any more: Invalid argument"]


def test_who_writes_all_the_time_is_left_alone_for_a_moment(made: Any) -> None:
    watched = Watched(AlarmFd("boss", zero := made(os.open("/dev/zero", os.O_RDONLY)), 1, "x"))
    assert watched.turn(100.0) == 64
    assert watched.fds.due() == Seconds(100.1)
    assert watched.turn(100.05) == 0
    assert watched.turn(100.11) == 64
    assert dict(watched.fds.polled()) == {}
    watched.fds.turn(Seconds(101.0))
    assert list(watched.fds.polled()) == [zero]


def test_numbers_that_nobody_has_left_us(made: Any, caplog: pytest.LogCaptureFixture) -> None:
    ours, closed = os.pipe()
    os.close(closed)
    watched = Watched(AlarmFd("boss", ours, 1, "x"), AlarmFd("boss", closed, 1, "x"))
    assert dict(watched.fds.polled()) == {}
    assert caplog.messages == [
        f"descriptor {ours} raises no alarm: nobody has left it to us",
        f"descriptor {closed} raises no alarm: Bad file descriptor",
    ]
    os.close(ours)
