"""Threads, and who leads: real sockets, a protocol of lines."""

from __future__ import annotations

import os
import select
import threading
import time
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from support.doorman import BIG, Doorman, echo, receive, receive_all
from support.server import wait_until

from m2serve.config.postlimits import PostLimits
from m2serve.transports.doors.guests import Policy
from m2serve.transports.doors.room import DoorRoom, computes

if TYPE_CHECKING:
    from collections.abc import Callable

    from m2serve.message import Request


def test_one_slow_request_holds_up_nobody(open_door: Callable[..., Doorman]) -> None:
    go = threading.Event()

    def serve(request: Request, channel: Any) -> None:
        if request.path == b"/slow":
            assert go.wait(20)
        echo(request, channel)

    door = open_door(serve, 2)
    with door.connect() as slow, door.connect() as quick:
        slow.sendall(b"/slow 0\n")
        for _ in range(20):
            quick.sendall(b"/a 0\n")
            assert receive(quick, 6) == b"/a=0:\n"
        go.set()
        assert receive(slow, 9) == b"/slow=0:\n"


def test_a_request_that_computes_holds_up_nobody(open_door: Callable[..., Doorman]) -> None:
    over = threading.Event()

    def serve(request: Request, channel: Any) -> None:
        if request.path == b"/spin":
            while not over.is_set():
                sum(range(1000))
        echo(request, channel)

    door = open_door(serve, 2)
    with door.connect() as slow, door.connect() as quick:
        slow.sendall(b"/spin 0\n")
        for _ in range(5):
            quick.sendall(b"/a 0\n")
            assert receive(quick, 6) == b"/a=0:\n"
        over.set()
        assert receive(slow, 9) == b"/spin=0:\n"


def test_a_thread_that_sleeps_does_not_compute() -> None:
    go, numbers = threading.Event(), []

    def wait() -> None:
        numbers.append(threading.get_native_id())
        go.wait(20)

    thread = threading.Thread(target=wait)
    thread.start()
    assert computes(threading.get_native_id())
    wait_until(lambda: numbers and not computes(numbers[0]), 20, "it sleeps")
    go.set()
    thread.join(20)
    wait_until(lambda: not computes(numbers[0]), 20, "it is not there")


def test_while_all_threads_work_bodies_come_and_answers_go(open_door: Callable[..., Doorman]) -> None:
    go, busy = threading.Event(), threading.Semaphore(0)

    def serve(request: Request, channel: Any) -> None:
        if request.path == b"/slow":
            busy.release()
            assert go.wait(20)
        channel.send_last(bytes(BIG) if request.path == b"/big" else b"done\n")

    door = open_door(serve, 2)
    with door.connect() as reader, door.connect() as writer, door.connect() as one, door.connect() as two:
        reader.sendall(b"/big 0\n")
        reader.recv(1)
        writer.sendall(b"/a %d\n" % BIG)
        one.sendall(b"/slow 0\n")
        two.sendall(b"/slow 0\n")
        assert busy.acquire(timeout=20) and busy.acquire(timeout=20)
        assert len(receive(reader, BIG - 1)) == BIG - 1
        writer.sendall(bytes(BIG))
        assert not go.is_set()
        go.set()
        for client in (writer, one, two):
            assert receive(client, 5) == b"done\n"


def test_slow_requests_use_all_threads(open_door: Callable[..., Doorman]) -> None:
    together = threading.Barrier(4)

    def serve(request: Request, channel: Any) -> None:
        together.wait(20)
        channel.send_last(b"ok\n")

    door = open_door(serve, 4)
    clients = [door.connect() for _ in range(4)]
    for _ in range(3):
        for client in clients:
            client.sendall(b"/a 0\n")
        assert [receive(client, 3) for client in clients] == [b"ok\n"] * 4
    for client in clients:
        client.close()


def test_a_door_that_closes_finishes_what_has_begun() -> None:
    go, busy = threading.Event(), threading.Event()

    def serve(request: Request, channel: Any) -> None:
        busy.set()
        if request.path == b"/slow":
            assert go.wait(20)
        channel.send_last(b"HTTP/1.1 200 OK\r\nX: y\r\n\r\n", b"ok\n")

    door = Doorman(serve, 2)
    with door.connect() as slow, door.connect() as idle, door.connect() as late:
        slow.sendall(b"/slow 0\n")
        assert busy.wait(20)
        wait_until(lambda: len(door.room.guests.by_fd) == 3, 20, "all are accepted")
        door.room.stop()
        late.sendall(b"/late 0\n")
        assert receive_all(late) == b"HTTP/1.1 200 OK\r\nX: y\r\nConnection: close\r\n\r\nok\n"
        assert receive_all(idle) == b""
        go.set()
        assert receive_all(slow) == b"HTTP/1.1 200 OK\r\nX: y\r\nConnection: close\r\n\r\nok\n"
    for thread in door.threads:
        thread.join(20)
    assert door.room.over and not any(thread.is_alive() for thread in door.threads)
    door.listener.detach()


def test_a_pause_keeps_requests_and_clients_waiting(open_door: Callable[..., Doorman]) -> None:
    door = open_door(echo)
    with door.connect() as known:
        known.sendall(b"/a 0\n")
        assert receive(known, 6) == b"/a=0:\n"
        door.room.pause(True)
        known.sendall(b"/b 0\n")
        with door.connect() as new:
            new.sendall(b"/c 0\n")
            wait_until(lambda: len(door.room.guests.ready) == 1, 20, "the request is read")
            assert len(door.room.guests.by_fd) == 1
            door.room.pause(False)
            assert receive(new, 6) == b"/c=0:\n"
        assert receive(known, 6) == b"/b=0:\n"


def test_many_clients_at_once(open_door: Callable[..., Doorman]) -> None:
    door = open_door(echo, 4)
    wrong: list[bytes] = []

    def client(number: int) -> None:
        with door.connect() as sock:
            for turn in range(50):
                body = b"%d.%d" % (number, turn) * (turn * 20)
                said = b"/%d %d\n" % (number, len(body)) + body
                sock.sendall(said)
                expected = b"/%d=%d:" % (number, len(body)) + body + b"\n"
                if (answer := receive(sock, len(expected))) != expected:
                    wrong.append(answer[:80])

    clients = [threading.Thread(target=client, args=(number,)) for number in range(16)]
    for one in clients:
        one.start()
    for one in clients:
        one.join(50)
    assert not wrong and not any(one.is_alive() for one in clients)


def test_an_idle_door_costs_no_time(open_door: Callable[..., Doorman]) -> None:
    door = open_door(echo)
    with door.connect() as client:
        client.sendall(b"/a 0\n")
        receive(client, 6)
    wait_until(lambda: not door.room.guests.by_fd and door.room._resting, 20, "all rests")
    before, began = time.process_time(), time.monotonic()
    while time.monotonic() - began < 0.5:
        time.sleep(0.1)
    assert time.process_time() - before < 0.1


def test_a_connection_that_a_thread_has_just_closed_is_no_bell(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is reported of it comes too late. Whoever took it for mail of Mongrel2's would wait for that."""
    reader, writer = os.pipe()
    os.set_blocking(reader, False)
    visitors = memoryview(bytearray(4096)).cast("Q")
    mail: Any = SimpleNamespace(bell_read=reader, has_mail=lambda: False)
    room = DoorRoom(Policy(PostLimits([])), visitors, 1, memoryview(bytearray(8)).cast("Q"), mail)
    monkeypatch.setattr(room, "_epoll", SimpleNamespace(poll=lambda timeout, most: [(987, select.EPOLLIN)]))
    room._turn(accepting=True)
    os.write(writer, b"..")
    monkeypatch.setattr(room, "_epoll", SimpleNamespace(poll=lambda timeout, most: [(reader, select.EPOLLIN)]))
    room._turn(accepting=True)
    with pytest.raises(BlockingIOError):
        os.read(reader, 1)
    os.close(reader)
    os.close(writer)
