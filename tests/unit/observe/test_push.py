"""Lines of the log over ZeroMQ."""

from __future__ import annotations

import socket
import threading
from typing import TYPE_CHECKING

import pytest

from m2serve.endpoint import Endpoint
from m2serve.observe import push as push_module
from m2serve.observe.push import Push
from m2serve.wire.zmtp import GREETING, GREETING_SIZE, Decoder, Handshake, ping, ready

if TYPE_CHECKING:
    from pathlib import Path


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class Pull:
    """One connection, served by a thread as far as the handshake."""

    def __init__(self, path: Path, kind: bytes = b"PULL") -> None:
        self._server = socket.socket(socket.AF_UNIX)
        self._server.bind(str(path))
        self._server.listen()
        self._server.settimeout(10)
        self._kind = kind
        self._decoder = Decoder()
        self._frames: list[bytes] = []
        self.sock: socket.socket | None = None
        self._thread = threading.Thread(target=self._shake)
        self._thread.start()

    def _shake(self) -> None:
        self.sock, _ = self._server.accept()
        self.sock.settimeout(10)
        self.sock.sendall(GREETING + ready(self._kind))
        shake = Handshake(b"PUSH")
        while not shake.done:
            rest = shake.feed(self.sock.recv(GREETING_SIZE))
        self._frames += [frame.body for frame in self._decoder.feed(rest)]

    def shaken(self) -> socket.socket:
        self._thread.join(10)
        assert self.sock is not None
        return self.sock

    def take(self, count: int) -> list[bytes]:
        sock = self.shaken()
        while len(self._frames) < count:
            chunk = sock.recv(1 << 16)
            assert chunk, "the end"
            self._frames += [frame.body for frame in self._decoder.feed(chunk)]
        taken, self._frames = self._frames[:count], self._frames[count:]
        return taken

    def close(self) -> None:
        self._thread.join(10)
        if self.sock is not None:
            self.sock.close()
        self._server.close()


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(push_module, "_PATIENCE", 20.0)  # threads of a busy machine may take their time
    return tmp_path / "pull"


def test_lines_are_messages(path: Path) -> None:
    pull, push = Pull(path), Push(Endpoint.parse(f"ipc://{path}"))
    push.write(b"one\n")
    push.write(b"two " * 200 + b"\n")
    assert pull.take(2) == [b"one\n", b"two " * 200 + b"\n"]
    pull.shaken().sendall(ping(b"hello"))
    while len(pull._frames) < 2:  # the PONG, whenever the PING is found, and a line for each look
        push.write(b"three\n")
        pull._frames += pull.take(1)
        if any(b"PONG" in frame for frame in pull._frames):
            break
    assert any(b"PONGhello" in frame for frame in pull._frames)
    push.close()
    pull.close()


def test_nobody_there_costs_lines_and_no_time(path: Path) -> None:
    clock = Clock()
    push = Push(Endpoint.parse(f"ipc://{path}"), clock)
    for number in range(1500):
        push.write(b"%d\n" % number)
    pull = Pull(path)
    push.write(b"too early\n")
    clock.now += 60
    push.write(b"last\n")
    first, *lines = pull.take(1001)
    assert first == b"m2serve: 502 lines of the log were dropped\n"
    assert (lines[0], lines[-1]) == (b"502\n", b"last\n")
    push.close()
    pull.close()


def test_a_peer_that_takes_nothing_costs_no_time(path: Path) -> None:
    pull, push = Pull(path), Push(Endpoint.parse(f"ipc://{path}"))
    line = b"x" * 10_000 + b"\n"
    for _ in range(3000):
        push.write(line)
    assert pull.take(5) == [line] * 5
    push.write(line)
    assert pull.take(5) == [line] * 5, "frames stay whole"
    push.close()
    pull.close()


def test_a_peer_that_comes_back(path: Path) -> None:
    clock = Clock()
    pull, push = Pull(path), Push(Endpoint.parse(f"ipc://{path}"), clock)
    push.write(b"one\n")
    assert pull.take(1) == [b"one\n"]
    pull.close()
    path.unlink()
    push.write(b"two\n")
    pull = Pull(path)
    clock.now += 60
    push.write(b"three\n")
    assert pull.take(2) == [b"two\n", b"three\n"]
    push.close()
    pull.close()


def test_somebody_else_at_that_address(path: Path) -> None:
    clock = Clock()
    pull, push = Pull(path, b"SUB"), Push(Endpoint.parse(f"ipc://{path}"), clock)
    push.write(b"one\n")
    sock = pull.shaken()
    while sock.recv(100):
        pass
    push.forget()
    push.close()
    pull.close()


def test_the_copy_in_a_child_is_forgotten(path: Path) -> None:
    pull, push = Pull(path), Push(Endpoint.parse(f"ipc://{path}"))
    push.write(b"one\n")
    assert pull.take(1) == [b"one\n"]
    assert push._sock is not None
    copy = push._sock.dup()
    push.forget()
    assert push._sock is None
    copy.close()
    pull.close()
