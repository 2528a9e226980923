"""How many wait at a listening socket."""

from __future__ import annotations

import contextlib
import socket

import pytest

from m2serve.door import Door
from m2serve.system.backlog import Backlog, backlog


@pytest.fixture(params=[socket.AF_INET, socket.AF_UNIX], ids=["inet", "unix"])
def listener(request, tmp_path):
    address = str(tmp_path / "a") if request.param == socket.AF_UNIX else ("127.0.0.1", 0)
    with socket.socket(request.param) as sock:
        sock.bind(address)
        sock.listen(5)
        yield sock


def test_those_that_wait_are_counted(listener):
    door = Door("http", "a", listener.fileno(), listener.family)
    with contextlib.ExitStack() as clients:
        for number in range(3):
            client = clients.enter_context(socket.socket(listener.family))
            client.connect(listener.getsockname())
            assert backlog(door) == Backlog(number + 1, 5, 0)
        listener.accept()[0].close()
        assert backlog(door) == Backlog(2, 5, 0)
    assert listener.fileno() >= 0


def test_a_descriptor_that_is_none():
    assert backlog(Door("http", "a", 9999)) == Backlog()
    assert backlog(Door("http", "a", 9999, socket.AF_UNIX)) == Backlog()
