"""What of a loaded application cannot be forked."""

from __future__ import annotations

import socket
import threading

import pytest

from m2serve.apps.forkable import obstacles, sockets


@pytest.fixture
def before():
    found = sockets()
    if obstacles(found):
        pytest.skip("threads of other tests run")
    return found


def test_threads_that_run(before):
    over = threading.Event()
    thread = threading.Thread(target=over.wait, name="beat", daemon=True)
    thread.start()
    try:
        assert obstacles(before) == ["thread 'beat' runs"]
    finally:
        over.set()
        thread.join()
    assert obstacles(before) == []


def test_connections_that_are_open(before):
    with socket.create_server(("127.0.0.1", 0)) as server:
        assert obstacles(before) == [], "nobody is at its other end"
        with socket.create_connection(server.getsockname()) as client:
            port = server.getsockname()[1]
            assert obstacles(before) == [f"descriptor {client.fileno()} is a connection to ('127.0.0.1', {port})"]


def test_pairs_are_connections(before):
    ours, theirs = socket.socketpair()
    with ours, theirs:
        assert sorted(obstacles(before)) == sorted(
            f"descriptor {one.fileno()} is a connection to a socket without a name" for one in (ours, theirs)
        )


def test_what_was_there_before_does_not_count():
    ours, theirs = socket.socketpair()
    with ours, theirs:
        known = sockets()
        assert not any("descriptor" in line for line in obstacles(known))


def test_datagrams_do_not_mix(before, tmp_path):
    with (
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as log,
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as app,
    ):
        log.bind(str(tmp_path / "log"))
        app.connect(str(tmp_path / "log"))
        assert obstacles(before) == []
