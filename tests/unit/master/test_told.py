"""When the process that was started is told that it may leave."""

from __future__ import annotations

import os

import pytest
from boards import NOW, Maker

from m2serve.master.told import Told
from m2serve.system.background import Launch


@pytest.fixture
def pipe():
    reader, writer = os.pipe()
    os.set_blocking(reader, False)
    yield reader, Launch(writer)
    os.close(reader)


def heard(reader):
    try:
        return os.read(reader, 100)
    except BlockingIOError:
        return None


def test_at_the_first_turn(pipe):
    reader, launch = pipe
    Told(launch, Maker().board, served=False).turn(NOW)
    assert heard(reader) == b"0\n"
    assert heard(reader) == b"", "and nothing more"
    launch.failed(1, "too late")


def test_when_all_workers_have_been_ready(pipe):
    reader, launch = pipe
    board = Maker().board
    told = Told(launch, board, served=True)
    told.turn(NOW)
    assert heard(reader) is None
    board.served = True
    told.turn(NOW)
    assert heard(reader) == b"0\n"


def test_a_failure_has_a_code_and_a_reason(pipe):
    reader, launch = pipe
    launch.failed(22, "it cannot be loaded")
    assert heard(reader) == b"22\nit cannot be loaded"
    assert not launch


def test_nobody_waits_in_the_foreground():
    Launch().succeeded()
    Launch().failed(1, "nobody hears")
