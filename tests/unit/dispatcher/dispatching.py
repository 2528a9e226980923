"""A Mongrel2's PUSH made of a plain socket, and a dispatcher's parts without a dispatcher."""

from __future__ import annotations

import os
import select
import socket
import time

from m2serve.dispatcher.intake import Intake
from m2serve.dispatcher.phase import Phase
from m2serve.dispatcher.taken import Taken
from m2serve.endpoint import Endpoint, ZmqPair
from m2serve.transports import ledger
from m2serve.transports.ledger import Ledger, create_ledger
from m2serve.transports.node import WorkerPost
from m2serve.wire import zmtp

LIMIT = 20.0
RING = 64 * 1024


def message(conn: int, body: bytes = b"", path: bytes = b"/", sender: bytes = b"m2") -> bytes:
    """One request as its frame."""
    raw = b"%s %d %s 0:}%d:%s," % (sender, conn, path, len(body), body)
    return zmtp.frame_header(len(raw)) + raw


def wait_readable(sock, timeout: float = LIMIT) -> None:
    poller = select.poll()
    poller.register(sock, select.POLLIN)
    assert poller.poll(timeout * 1000)


class Node:
    """One endpoint: the far side of PUSH, the ledger, and what the master would keep."""

    def __init__(self, scheme: str, directory, ring_size: int = RING) -> None:
        if scheme == "tcp":
            self.listener = socket.create_server(("127.0.0.1", 0))
            spec = f"tcp://127.0.0.1:{self.listener.getsockname()[1]}"
        else:
            spec = f"ipc://{directory}/push"
            self.listener = socket.socket(socket.AF_UNIX)
            self.listener.bind(f"{directory}/push")
            self.listener.listen()
        self.listener.settimeout(LIMIT)
        self.pair = ZmqPair(Endpoint.parse(spec), Endpoint("ipc", path="/nowhere"))
        self.ring_size = ring_size
        self.ledger_fd = create_ledger(1, ring_size)
        self.kept = -1
        self.far: socket.socket | None = None
        self.intakes: list[Intake] = []
        self.posts: list[WorkerPost] = []

    # -- the dispatcher's side

    def intake(self, **options) -> Intake:
        rings = Ledger(self.ledger_fd, 1, self.ring_size).rings
        intake = Intake(0, self.pair, rings[0], self._keep, self._drop, **options)
        self.intakes.append(intake)
        return intake

    def _keep(self, index: int, fd: int) -> None:
        assert index == 0
        self._drop(0)
        self.kept = os.dup(fd)

    def _drop(self, index: int) -> None:
        if self.kept >= 0:
            os.close(self.kept)
        self.kept = -1

    def opened(self) -> Intake:
        """An intake with an open connection; ``far`` is the other end."""
        intake = self.intake()
        intake.connect(time.monotonic())
        self.accept()
        self.far.sendall(zmtp.GREETING + zmtp.ready(b"PUSH"))
        self.open(intake)
        ours = zmtp.GREETING + zmtp.ready(b"PULL")
        assert self.read(len(ours)) == ours
        return intake

    def accept(self) -> None:
        if self.far is not None:
            self.far.close()
        self.far, _ = self.listener.accept()
        self.far.settimeout(LIMIT)

    def open(self, intake: Intake) -> None:
        while not intake.opening(time.monotonic()):
            assert intake.phase in (Phase.CONNECTING, Phase.OPENING)
            if intake.phase is Phase.OPENING:
                wait_readable(intake.sock)

    def successor(self, claimed=()) -> Intake:
        """The intake of a dispatcher that takes over after a SIGKILL: nothing but descriptors was left."""
        self.intakes[-1].sock.close()
        intake = self.intake()
        fd, self.kept = self.kept, -1
        self.kept = os.dup(fd)
        intake.adopt(fd, time.monotonic(), set(claimed))
        return intake

    # -- Mongrel2's side

    def send(self, data: bytes) -> None:
        self.far.sendall(data)

    def read(self, count: int) -> bytes:
        data = b""
        while len(data) < count:
            chunk = self.far.recv(count - len(data))
            assert chunk
            data += chunk
        return data

    def post(self, threads: int = 2, key: int | None = None) -> WorkerPost:
        key = len(self.posts) if key is None else key
        post = WorkerPost.create(key, key, threads)
        self.posts.append(post)
        return post

    def close(self) -> None:
        for intake in self.intakes:
            if intake.sock is not None:
                intake.sock.close()
        self._drop(0)
        self.listener.close()
        if self.far is not None:
            self.far.close()
        os.close(self.ledger_fd)


def receive(intake: Intake, count: int = 0) -> list:
    """Read until at least *count* arrivals have come, and then whatever lies there."""
    found: list = []
    deadline = time.monotonic() + LIMIT
    while len(found) < count:
        assert time.monotonic() < deadline, found
        wait_readable(intake.sock)
        assert intake.receive()
        found += intake.arrivals(0.0)
    return found


def receive_bytes(intake: Intake, position: int) -> list:
    """Read until the stream has come to *position*."""
    found: list = []
    deadline = time.monotonic() + LIMIT
    while intake.words[ledger.RECEIVED] < position:
        assert time.monotonic() < deadline
        wait_readable(intake.sock)
        assert intake.receive()
        found += intake.arrivals(0.0)
        intake.free()
    return found


def conns(found) -> list[int]:
    """The connections of requests among arrivals; everything must be a request."""
    found = list(found)
    assert all(isinstance(one, Taken) for one in found), found
    return [int(one.conn) for one in found]
