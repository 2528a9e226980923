from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING

import pytest

from m2serve.apps.uwsgi.clock import Clock, Entry
from m2serve.apps.uwsgi.locks import CLOCK, Locks
from m2serve.apps.uwsgi.times import Every

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def fd() -> Iterator[int]:
    fd = os.memfd_create("test")
    yield fd
    os.close(fd)


def test_two_openings_keep_each_other_out(fd: int) -> None:
    ours, theirs = Locks(fd), Locks(fd)
    assert ours.acquire(3)
    assert not theirs.acquire(3, wait=False) and theirs.is_taken(3)
    assert theirs.acquire(4, wait=False) and ours.is_taken(4)
    assert not ours.acquire(3, wait=False)
    taken = threading.Event()

    def wait() -> None:
        theirs.acquire(3)
        taken.set()

    thread = threading.Thread(target=wait)
    thread.start()
    theirs.release(5)
    ours.release(3)
    assert taken.wait(10)
    thread.join()


def test_only_one_minds_a_timer(fd: int) -> None:
    first, second = Clock(Locks(fd)), Clock(Locks(fd))
    calls: list[str] = []
    led, often, everywhere = threading.Event(), threading.Event(), threading.Event()

    def count(name: str) -> None:
        calls.append(name)
        led.set()
        if len(calls) >= 5:
            often.set()

    first.add(Entry(Every(0.01, 0.0), lambda: count("first"), lambda: False))
    first.start()
    assert led.wait(10)
    second.add(Entry(Every(0.01, 0.0), lambda: count("second"), lambda: False))
    second.add(Entry(Every(0.01, 0.0), everywhere.set, lambda: True))
    second.start()
    assert often.wait(10) and everywhere.wait(10)
    first.stop()
    second.stop()
    assert set(calls) == {"first"}


def test_a_failing_handler_does_not_end_it_and_an_end_is_an_end(fd: int, caplog: pytest.LogCaptureFixture) -> None:
    clock = Clock(Locks(fd))
    called: list[int] = []
    over = threading.Event()

    def handler() -> None:
        called.append(1)
        if len(called) == 3:
            over.set()
        raise RuntimeError("of the application's")

    clock.add(Entry(Every(0.005, 0.0), handler, lambda: False, left=3))
    clock.start()
    assert over.wait(10)
    clock.stop()
    assert len(called) == 3
    assert "handler of a signal failed" in caplog.text
    assert Locks(fd).is_taken(CLOCK)


def test_nothing_runs_before_the_start(fd: int) -> None:
    clock = Clock(Locks(fd))
    clock.add(Entry(Every(0.001, 0.0), lambda: None, lambda: True))
    clock.call(lambda: None)
    assert not any(thread.name == "uwsgi-clock" for thread in threading.enumerate())
    clock.stop()


def test_the_end_waits_for_what_runs(fd: int) -> None:
    clock = Clock(Locks(fd))
    begun, go = threading.Event(), threading.Event()
    done: list[int] = []

    def handler() -> None:
        begun.set()
        go.wait(10)
        done.append(1)

    clock.start()
    clock.call(handler)
    assert begun.wait(10)
    threading.Timer(0.05, go.set).start()
    clock.stop()
    assert done == [1]
