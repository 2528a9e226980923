"""Connections, threads, and who leads: real sockets, a protocol of lines."""

from __future__ import annotations

import os
import select
import socket
import threading
import time
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from support.doorman import Doorman, Lines, receive, receive_all
from support.server import wait_until

from m2serve.config.postlimits import PostLimits
from m2serve.transports.doors import connection
from m2serve.transports.doors.room import DoorRoom, Policy, computes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from m2serve.message import Request

BIG = 8 * 1024 * 1024
"""More than the buffers of a connection on loopback take."""


@pytest.fixture
def open_door() -> Iterator[Callable[..., Doorman]]:
    opened: list[Doorman] = []

    def start(serve: Callable[[Any, Any], Any], threads: int = 2, **rest: Any) -> Doorman:
        opened.append(Doorman(serve, threads, **rest))
        return opened[-1]

    yield start
    for one in opened:
        one.stop()


def echo(request: Request, channel: Any) -> None:
    body = request.body if channel.body is None else channel.body.input.read()
    channel.send_last(b"%b=%d:" % (request.path, len(body)), body, b"\n")


def test_requests_of_a_connection_are_answered_in_order(open_door: Callable[..., Doorman]) -> None:
    door = open_door(echo, 4)
    with door.connect() as client:
        client.sendall(b"/a 0\n/b 3\nabc/c 0\n")
        assert receive(client, 19) == b"/a=0:\n/b=3:abc\n/c=0:\n"[:19]
        receive(client, 2)
        client.sendall(b"/d 0\n")
        assert receive(client, 6) == b"/d=0:\n"


def whole(channel: Any) -> None:
    channel.send_last(b"whole")


def whole_and_close(channel: Any) -> None:
    channel.send_last(b"whole")
    channel.close()


def in_parts(channel: Any) -> None:
    channel.send(b"who")
    channel.send(b"le")


def broken(channel: Any) -> None:
    channel.send(b"who")
    channel.close()


@pytest.mark.parametrize(
    ("answer", "said"),
    [(whole, b"whole."), (whole_and_close, b"whole."), (in_parts, b"whole."), (broken, b"who")],
)
def test_the_end_of_an_answer_is_told_unless_it_breaks_off(
    open_door: Callable[..., Doorman], monkeypatch: pytest.MonkeyPatch, answer: Callable[[Any], None], said: bytes
) -> None:
    monkeypatch.setattr(Lines, "end", lambda self: b".")
    door = open_door(lambda request, channel: answer(channel))
    with door.connect() as client:
        client.sendall(b"/a 0\n/b 0\n")
        if answer in (whole, in_parts):
            assert receive(client, 2 * len(said)) == said * 2
        else:
            assert receive_all(client) == said


def test_a_request_may_come_byte_by_byte(open_door: Callable[..., Doorman]) -> None:
    door = open_door(echo)
    with door.connect() as client:
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in b"/a 2\nxy":
            client.sendall(bytes([byte]))
        assert receive(client, 8) == b"/a=2:xy\n"


def test_the_client_is_asked_for_the_body_it_holds_back(open_door: Callable[..., Doorman]) -> None:
    door = open_door(echo)
    with door.connect() as client:
        client.sendall(b"/a 2 continue\n")
        assert receive(client, 25) == b"HTTP/1.1 100 Continue\r\n\r\n"
        client.sendall(b"xy")
        assert receive(client, 8) == b"/a=2:xy\n"


def test_a_body_of_unknown_length_gets_one(open_door: Callable[..., Doorman]) -> None:
    seen: list[Request] = []

    def look(request: Request, channel: Any) -> None:
        seen.append(request)
        echo(request, channel)

    door = open_door(look)
    with door.connect() as client:
        client.sendall(b"/a ?\nxyz.\n")
        assert receive(client, 9) == b"/a=3:xyz\n"
    assert seen[0].headers[b"content-length"] == b"3"
    assert b"transfer-encoding" not in seen[0].headers


def test_a_large_body_waits_in_a_file(open_door: Callable[..., Doorman]) -> None:
    kinds: list[bool] = []

    def look(request: Request, channel: Any) -> None:
        kinds.append(channel.body is None)
        echo(request, channel)

    door = open_door(look, policy={"memory": 1000})
    with door.connect() as client:
        client.sendall(b"/a 1000\n" + bytes(1000) + b"/a 300000\n" + bytes(300000))
        assert len(receive(client, 8 + 1001 + 10 + 300001)) == 8 + 1001 + 10 + 300001
    assert kinds == [True, False]


@pytest.mark.parametrize(
    ("said", "answered"),
    [(b"/a 11\n", b"413"), (b"/a ?\n0123456789x", b"413"), (b"junk\n", b"400"), (b"/" * 200, b"431")],
)
def test_what_is_refused_is_answered_and_ends(open_door: Callable[..., Doorman], said: bytes, answered: bytes) -> None:
    door = open_door(echo, limit=10)
    with door.connect() as client:
        client.sendall(said)
        assert receive_all(client).startswith(b"HTTP/1.1 " + answered)
    assert door.refused[0] == 1


def test_a_refusal_reaches_a_client_that_sends_on(open_door: Callable[..., Doorman]) -> None:
    """Closed at once, the kernel would reset the connection, and the client never see the answer."""
    door = open_door(echo, limit=10)
    with door.connect() as client:
        client.sendall(b"/a 200000\n")
        client.sendall(bytes(200_000))
        assert receive_all(client).startswith(b"HTTP/1.1 413")


@pytest.mark.parametrize(
    ("said", "which"), [(b"/a", "head_timeout"), (b"/a 10\nabc", "body_timeout"), (b"/a ?\nabc", "chunk_timeout")]
)
def test_slow_requests_are_given_up(open_door: Callable[..., Doorman], said: bytes, which: str) -> None:
    door = open_door(echo, **{which: 0.2})
    with door.connect() as client:
        client.sendall(said)
        assert receive_all(client).startswith(b"HTTP/1.1 408")


def test_who_says_nothing_is_left(open_door: Callable[..., Doorman]) -> None:
    door = open_door(echo, head_timeout=0.2, keepalive=0.3)
    with door.connect() as silent, door.connect() as served:
        served.sendall(b"/a 0\n")
        assert receive_all(served) == b"/a=0:\n"
        assert receive_all(silent) == b""


def test_a_mistake_of_ours_costs_one_connection(open_door: Callable[..., Doorman]) -> None:
    door = open_door(echo, 1)
    with door.connect() as one, door.connect() as other:
        one.sendall(b"bug\n")
        assert receive_all(one) == b""
        other.sendall(b"/a 0\n")
        assert receive(other, 6) == b"/a=0:\n"


def test_a_slow_reader_holds_no_thread(open_door: Callable[..., Doorman]) -> None:
    def serve(request: Request, channel: Any) -> None:
        channel.send_last(bytes(BIG) if request.path == b"/big" else b"small\n")

    door = open_door(serve, 1)
    with door.connect() as slow, door.connect() as quick:
        slow.sendall(b"/big 0\n/small 0\n")
        slow.recv(1)
        for _ in range(3):
            quick.sendall(b"/a 0\n")
            assert receive(quick, 6) == b"small\n"
        assert len(receive(slow, BIG - 1)) == BIG - 1
        assert receive(slow, 6) == b"small\n"


def test_a_reader_that_never_reads_is_left(open_door: Callable[..., Doorman]) -> None:
    door = open_door(lambda _, channel: channel.send_last(bytes(BIG)), policy={"patience": 0.2})
    with door.connect() as client:
        client.sendall(b"/big 0\n")
        client.recv(1)
        wait_until(lambda: not door.room._conns, 20, "it is closed")


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


def test_those_who_have_much_to_say_do_not_keep_others_out(open_door: Callable[..., Doorman]) -> None:
    """There is always another request of a connection that is there; one that is new is let in all the same."""

    def serve(request: Request, channel: Any) -> None:
        time.sleep(0.002)
        echo(request, channel)

    door = open_door(serve, 1)
    with door.connect() as many:
        many.sendall(b"/a 0\n" * 5000)
        assert receive(many, 6) == b"/a=0:\n"
        with door.connect() as new:
            new.sendall(b"/b 0\n")
            assert receive(new, 6) == b"/b=0:\n"
        assert door.served < 5000


def test_an_answer_that_breaks_off_is_no_whole_one(open_door: Callable[..., Doorman]) -> None:
    def serve(request: Request, channel: Any) -> None:
        channel.send(b"part\n")
        channel.close()

    door = open_door(serve, protocol="uwsgi")
    with door.connect() as client, pytest.raises(ConnectionResetError):
        client.sendall(b"/a 0\n")
        receive_all(client)
    wait_until(lambda: not door.room._conns, 20, "it is closed")


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


def test_a_client_that_leaves_costs_nothing(open_door: Callable[..., Doorman]) -> None:
    arrived, left = threading.Semaphore(0), threading.Semaphore(0)

    def serve(request: Request, channel: Any) -> None:
        arrived.release()
        assert left.acquire(timeout=20)
        wait_until(lambda: not channel.connected(), 20, "it is seen to have left")
        for _ in range(1000):
            channel.send(bytes(10_000))

    door = open_door(serve, 1)
    client = door.connect()
    client.sendall(b"/a 0\n")
    assert arrived.acquire(timeout=20)
    client.close()
    left.release()
    wait_until(lambda: door.lost == 1 and not door.room._conns, 20, "its request is over")


def test_who_has_said_all_is_answered_and_left(open_door: Callable[..., Doorman]) -> None:
    door = open_door(echo)
    for _ in range(20):
        with door.connect() as client:
            client.sendall(b"/a 0\n")
            client.shutdown(socket.SHUT_WR)
            assert receive_all(client) == b"/a=0:\n"


def test_those_who_say_nothing_make_room(open_door: Callable[..., Doorman]) -> None:
    door = open_door(echo, policy={"connections": 8})
    idle = [door.connect() for _ in range(8)]
    wait_until(lambda: len(door.room._conns) == 8, 20, "all are accepted")
    with door.connect() as client:
        client.sendall(b"/a 0\n")
        assert receive(client, 6) == b"/a=0:\n"
    for sock in idle:
        sock.close()


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
        wait_until(lambda: len(door.room._conns) == 3, 20, "all are accepted")
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
            wait_until(lambda: len(door.room._queue) == 1, 20, "the request is read")
            assert len(door.room._conns) == 1
            door.room.pause(False)
            assert receive(new, 6) == b"/c=0:\n"
        assert receive(known, 6) == b"/b=0:\n"


def test_the_last_worker_serves_who_waits_to_be_accepted() -> None:
    go, busy = threading.Event(), threading.Event()

    def serve(request: Request, channel: Any) -> None:
        busy.set()
        assert go.wait(20)
        channel.send_last(b"HTTP/1.1 200 OK\r\n\r\n", request.path)

    door = Doorman(serve, 1)
    with door.connect() as first, door.connect() as second, door.connect() as third:
        first.sendall(b"/1 0\n")
        assert busy.wait(20)
        for client in (second, third):
            client.sendall(b"/2 0\n")
        door.room.stop(final=True)
        go.set()
        for client in (second, third):
            assert receive_all(client) == b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n/2"
    for thread in door.threads:
        thread.join(20)
    assert door.room.over
    door.listener.detach()


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
    wait_until(lambda: not door.room._conns and door.room._resting, 20, "all rests")
    before, began = time.process_time(), time.monotonic()
    while time.monotonic() - began < 0.5:
        time.sleep(0.1)
    assert time.process_time() - before < 0.1


def test_a_silent_connection_does_not_keep_a_worker_that_leaves(
    open_door: Callable[..., Doorman], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not even one that is just being accepted when the worker is told to leave."""
    monkeypatch.setattr(connection, "_FIRST_WORD", 0.1)
    door = open_door(echo)
    with door.connect() as client:
        wait_until(lambda: [one for one in door.room._conns.values() if not one.held], 20, "it is accepted")
        (conn,) = door.room._conns.values()
        with door.room.mutex:
            conn.held = True
        door.room.stop()
        with door.room.mutex:
            conn.held = False
        client.settimeout(20)
        assert client.recv(1) == b""


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


def test_nothing_is_left_to_workers_that_are_not_at_the_door(
    open_door: Callable[..., Doorman], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where another worker has fewer connections it may have the next one: for as long as this test, if it is there."""
    monkeypatch.setattr("m2serve.transports.doors.room._COURTESY", 60.0)
    door = open_door(echo, 2, workers=(1, 3))
    door.visitors[2] = 1
    with door.connect() as first, door.connect() as second:
        for client in (first, second):
            client.sendall(b"/ 0\n")
            assert receive(client, 1)
        assert door.visitors[1] == 3
