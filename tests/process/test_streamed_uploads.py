"""Bodies that Mongrel2 sends in pieces (upload.stream), read by the application while the client sends."""

from __future__ import annotations

import hashlib
import json
import random
import signal
import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from typing import TYPE_CHECKING, Any

import psutil
import pytest
from support.http import Connection, Response, get
from support.server import wait_until
from support.told import statistics

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from support.mongrel2 import Mongrel2
    from support.server import Server

STREAM = {"upload.stream": 1}
KIB, MIB = 1024, 1024 * 1024
PROTOCOLS = pytest.mark.parametrize("protocol", ["tnetstring", "json"])
FRAMINGS = pytest.mark.parametrize("chunked", [False, True], ids=["length", "chunked"])


@pytest.fixture
def streaming(start_mongrel2: Callable[..., Mongrel2], serve: Callable[..., Server]) -> Callable[..., Any]:
    """Start a Mongrel2 that streams uploads, and m2serve."""

    def start(
        *options: str,
        protocol: str = "tnetstring",
        processes: int = 2,
        threads: int = 2,
        settings: dict[str, int] | None = None,
    ) -> tuple[Mongrel2, Server]:
        mongrel2 = start_mongrel2(protocol=protocol, settings={**STREAM, **(settings or {})})
        server = serve(mongrel2, module="streaming", processes=processes, threads=threads, options=options)
        return mongrel2, server

    return start


def content(size: int) -> bytes:
    return random.Random(size).randbytes(size)


def head(target: str, *, length: int | None = None, extra: str = "") -> bytes:
    framing = "Transfer-Encoding: chunked" if length is None else f"Content-Length: {length}"
    return f"POST {target} HTTP/1.1\r\nHost: localhost\r\n{framing}\r\n{extra}\r\n".encode()


def chunks(data: bytes, size: int = 30_000) -> bytes:
    framed = [b"%x\r\n%b\r\n" % (len(data[at : at + size]), data[at : at + size]) for at in range(0, len(data), size)]
    return b"".join([*framed, b"0\r\n\r\n"])


def upload(mongrel2: Mongrel2, data: bytes, target: str, *, chunked: bool = False, timeout: float = 25.0) -> Response:
    with Connection(mongrel2.address, timeout) as connection:
        return send(connection, data, target, chunked=chunked)


def send(connection: Connection, data: bytes, target: str = "/digest/65536/0", *, chunked: bool = False) -> Response:
    connection.send(head(target, length=None if chunked else len(data)) + (chunks(data) if chunked else data))
    return connection.read("POST")


def assert_received(response: Response, data: bytes, *, chunked: bool = False) -> dict[str, Any]:
    assert response.status == 200, response
    told: dict[str, Any] = json.loads(response.body)
    assert told["size"] == len(data)
    assert told["sha256"] == hashlib.sha256(data).hexdigest()
    assert told["length"] == (None if chunked else str(len(data)))
    assert told["terminated"] is True
    assert told["coding"] is None
    return told


@PROTOCOLS
@FRAMINGS
def test_bodies_arrive_as_they_were_sent(streaming: Callable[..., Any], protocol: str, chunked: bool) -> None:
    mongrel2, _ = streaming(protocol=protocol)
    for size in (70 * KIB, MIB, 30 * MIB):
        data = content(size)
        assert_received(upload(mongrel2, data, "/digest/65536/0", chunked=chunked), data, chunked=chunked)
    small = content(5000)
    # Content-Length that small comes inside the message, chunks never do
    assert_received(upload(mongrel2, small, "/digest/65536/0", chunked=chunked), small, chunked=chunked)


@pytest.mark.parametrize("content_length", [20480, 65536])
def test_the_connection_is_kept_when_all_was_read(streaming: Callable[..., Any], content_length: int) -> None:
    mongrel2, _ = streaming(settings={"limits.content_length": content_length})
    data = content(300 * KIB)
    with Connection(mongrel2.address) as connection:
        for target in ("/digest/4096/0", "/digest/1000000/0", "/digest/65536/0"):
            response = send(connection, data, target)
            assert_received(response, data)
            assert response.get("connection") is None
            assert json.loads(connection.request("/lines", body=b"a\nb\n").body) == {"lines": 2}


def test_the_connection_is_closed_behind_chunks(streaming: Callable[..., Any]) -> None:
    """Mongrel2 1.12.2 may garble a large body that comes over the same connection later."""
    mongrel2, _ = streaming()
    data = content(300 * KIB)
    with Connection(mongrel2.address) as connection:
        # nothing behind it is run, be it sent ahead
        connection.send(head("/digest/65536/0") + chunks(data) + head("/digest/65536/0", length=len(data)) + data)
        response = connection.read()
        assert_received(response, data, chunked=True)
        assert response.get("connection") == "close"
        assert connection.read_to_end() == b""
    wait_closed(mongrel2)


def test_what_is_pipelined_behind_a_body_waits_for_its_end(streaming: Callable[..., Any]) -> None:
    mongrel2, _ = streaming()
    data = content(MIB)
    whole = head("/digest/65536/0", length=len(data)) + data
    with Connection(mongrel2.address) as connection:
        sender = threading.Thread(target=connection.send, args=(whole + whole + head("/lines", length=0) + whole,))
        sender.start()
        for _ in range(2):
            assert_received(connection.read(), data)
        assert json.loads(connection.read().body) == {"lines": 0}
        assert_received(connection.read(), data)
        sender.join()


def test_lines_can_be_read(streaming: Callable[..., Any]) -> None:
    mongrel2, _ = streaming()
    data = b"".join(b"%d\n" % number for number in range(100_000))
    assert json.loads(upload(mongrel2, data, "/lines").body) == {"lines": 100_000}


def test_mongrel2_continues_the_client(streaming: Callable[..., Any]) -> None:
    mongrel2, _ = streaming()
    data = content(200 * KIB)
    with Connection(mongrel2.address) as connection:
        connection.send(head("/digest/65536/0", length=len(data), extra="Expect: 100-continue\r\n"))
        assert connection.read().status == 100
        connection.send(data)
        assert_received(connection.read(), data)


@pytest.mark.parametrize(("protocol", "flow_control"), [("tnetstring", 0), ("json", 1)])
def test_several_at_a_time(streaming: Callable[..., Any], protocol: str, flow_control: int) -> None:
    """On fewer threads than uploads; quick requests go on meanwhile."""
    mongrel2, _ = streaming(protocol=protocol, settings={"download.flow_control": flow_control})
    bodies = [content(size) for size in (2 * MIB, 3 * MIB, MIB, 700 * KIB, 4 * MIB, 80 * KIB)]

    def one(number: int) -> set[int]:
        data, target = bodies[number], "/digest/10000/0.001" if number % 2 else "/digest/65536/0"
        pids = set()
        with Connection(mongrel2.address, 25.0) as connection:
            for chunked in (False, True):
                told = assert_received(send(connection, data, target, chunked=chunked), data, chunked=chunked)
                pids.add(told["pid"])
                if not chunked:
                    assert connection.request("/lines", body=b"a").status == 200
        return pids

    with ThreadPoolExecutor(len(bodies)) as pool:
        pids = set().union(*pool.map(one, range(len(bodies))))
    assert len(pids) == 2


@FRAMINGS
def test_the_progress_can_be_seen(streaming: Callable[..., Any], chunked: bool) -> None:
    mongrel2, server = streaming()
    data = content(3 * MIB)
    expected = None if chunked else len(data)

    def seen() -> dict[str, Any] | None:
        found: dict[str, Any] | None = json.loads(get(mongrel2.address, "/progress/abc").body)
        assert found is None or found["expected"] == expected
        return found

    assert seen() is None
    with Midway(mongrel2, server, chunked=chunked, extra="X-Progress-ID: abc\r\n") as one:
        wait_until(lambda: 500_000 < (seen() or {"received": 0})["received"] < MIB, 20, "a third")
        server.kill_child("dispatcher")
        one.more(0.3)
        wait_until(lambda: (seen() or {"received": 0})["received"] > MIB, 20, "two thirds")
        assert_received(one.finish(), one.data, chunked=chunked)
    wait_until(lambda: seen() is None, 20, "end of the request")


def test_what_waits_for_a_thread_does_not_stop_the_uploads_that_have_one(
    streaming: Callable[..., Any], tmp_path: Path
) -> None:
    """Both lie in the ring, or come through it: when it is full, the request that waits is refused."""
    stats = tmp_path / "stats"
    mongrel2, server = streaming("--request-buffer", "1M", "--stats", str(stats), processes=1, threads=1)

    def seen() -> bool:
        dispatcher = statistics(stats, timeout=60)["m2serve"]["dispatcher"]
        return bool(dispatcher["queue"] or dispatcher["answered"]["503"])

    with Midway(mongrel2, server, chunked=False, size=10 * MIB) as one, Connection(mongrel2.address) as waiting:
        waiting.send(head("/part/0", length=0))
        wait_until(seen, 20, "it waits, or is refused already")
        assert_received(one.finish(), one.data)
        assert waiting.read().status == 503
    server.wait_log(r"answered 503 .*\(request-buffer\)")


# -- uploads that end early


def clients(mongrel2: Mongrel2) -> int:
    """How many connections of clients Mongrel2 holds."""
    assert mongrel2.process is not None
    held = psutil.Process(mongrel2.process.pid).net_connections("tcp")
    return sum(one.laddr.port == mongrel2.port and one.status != psutil.CONN_LISTEN for one in held)


def wait_closed(mongrel2: Mongrel2) -> None:
    wait_until(lambda: not clients(mongrel2), 20, "closed connections")


def attempt(mongrel2: Mongrel2, data: bytes, target: str, *, chunked: bool) -> Response:
    """Send as long as somebody takes it; the answer comes before the end."""
    with Connection(mongrel2.address) as connection:

        def feed() -> None:
            try:
                connection.send(head(target, length=None if chunked else len(data)))
                connection.send(chunks(data) if chunked else data)
            except OSError:
                pass  # cut off, as announced

        sender = threading.Thread(target=feed)
        sender.start()
        response = connection.read()
        assert connection.read_to_end() == b""
        with suppress(OSError):
            connection.socket.shutdown(socket.SHUT_RDWR)
        sender.join()
    assert response.get("connection") == "close"
    return response


@FRAMINGS
@pytest.mark.parametrize(
    ("target", "options", "status"),
    [
        ("/part/0", (), 200),
        ("/part/100000", (), 200),
        ("/fails", (), 500),
        ("/digest/65536/0", ("--limit-post", "1M"), 413),
        ("/digest/65536/0", ("--limit-post", "/digest=1M"), 413),
    ],
)
def test_an_early_answer_ends_the_upload(
    streaming: Callable[..., Any], target: str, options: tuple[str, ...], status: int, chunked: bool
) -> None:
    mongrel2, server = streaming(*options)
    server.allow("KeyError: 'fails'")
    data = content(5 * MIB)
    for _ in range(5):
        assert attempt(mongrel2, data, target, chunked=chunked).status == status
    wait_closed(mongrel2)
    small = content(100 * KIB)
    assert_received(upload(mongrel2, small, "/digest/65536/0", chunked=chunked), small, chunked=chunked)


@FRAMINGS
def test_a_client_that_falls_silent_gets_408(streaming: Callable[..., Any], chunked: bool) -> None:
    mongrel2, _ = streaming("--chunked-input-timeout" if chunked else "--socket-timeout", "1")
    with Connection(mongrel2.address) as connection:
        connection.send(head("/digest/65536/0", length=None if chunked else 10 * MIB))
        connection.send(chunks(bytes(200 * KIB))[:-5] if chunked else bytes(200 * KIB))
        response = connection.read()
        assert response.status == 408
        assert response.get("connection") == "close"
        assert connection.read_to_end() == b""
    wait_closed(mongrel2)


@FRAMINGS
def test_a_client_that_leaves_ends_the_reading(streaming: Callable[..., Any], chunked: bool) -> None:
    mongrel2, server = streaming()
    with Connection(mongrel2.address) as connection:
        connection.send(head("/stubborn/?7", length=None if chunked else 10 * MIB))
        connection.send(chunks(bytes(300 * KIB))[:-5] if chunked else bytes(300 * KIB))
        server.wait_log("reading 7")
    server.wait_log("cannot read: BodyGone")
    wait_closed(mongrel2)


# -- processes that end in the middle


class Midway:
    """An upload that is in the middle: the application has read something, and the client has not sent all."""

    def __init__(
        self, mongrel2: Mongrel2, server: Server, *, chunked: bool, size: int = 3 * MIB, extra: str = ""
    ) -> None:
        self.data = content(size)
        self.chunked = chunked
        self.connection = Connection(mongrel2.address, 20.0)
        self._framed = chunks(self.data) if chunked else self.data
        self._sent = 0
        self.connection.send(head("/digest/5000/0?midway", length=None if chunked else size, extra=extra))
        mark = server.mark()
        self.more(0.3)
        server.wait_log("reading midway", after=mark)

    def __enter__(self) -> Midway:
        return self

    def __exit__(self, *_: object) -> None:
        self.connection.close()

    def more(self, share: float) -> None:
        until = min(len(self._framed), self._sent + int(share * len(self._framed)))
        self.connection.send(self._framed[self._sent : until])
        self._sent = until

    def finish(self) -> Response:
        self.more(1.0)
        return self.connection.read()


@FRAMINGS
def test_a_killed_worker_costs_its_upload_only(streaming: Callable[..., Any], chunked: bool) -> None:
    mongrel2, server = streaming(processes=1)
    with Midway(mongrel2, server, chunked=chunked) as one:
        server.kill_child("worker 1")
        response = one.connection.read()
        assert response.status == 502
        assert one.connection.read_to_end() == b""
    wait_closed(mongrel2)
    data = content(MIB)
    assert_received(upload(mongrel2, data, "/digest/65536/0", chunked=chunked), data, chunked=chunked)


@FRAMINGS
@pytest.mark.parametrize("times", [1, 3])
def test_a_killed_dispatcher_costs_nothing(streaming: Callable[..., Any], chunked: bool, times: int) -> None:
    mongrel2, server = streaming()
    with ExitStack() as stack:
        uploads = [stack.enter_context(Midway(mongrel2, server, chunked=chunked)) for _ in range(3)]
        for _ in range(times):
            mark = server.mark()
            server.kill_child("dispatcher")
            for one in uploads:
                one.more(0.1)
            server.wait_log("dispatcher STARTING -> READY", after=mark)
        for one in uploads:
            assert_received(one.finish(), one.data, chunked=chunked)


def test_a_reload_lets_the_running_upload_finish(streaming: Callable[..., Any]) -> None:
    mongrel2, server = streaming()
    with Midway(mongrel2, server, chunked=False) as one:
        old, mark = set(server.pids("worker").values()), server.mark()
        server.signal(signal.SIGHUP)
        server.wait_ready(2, after=mark)
        one.more(0.3)
        data = content(100 * KIB)
        # the dispatcher hears of the drain a moment later than the log
        wait_until(
            lambda: assert_received(upload(mongrel2, data, "/digest/65536/0"), data)["pid"] not in old,
            20,
            "new workers",
        )
        assert assert_received(one.finish(), one.data)["pid"] in old
    server.wait_gone(old)


def test_a_stop_lets_the_running_upload_finish(streaming: Callable[..., Any]) -> None:
    mongrel2, server = streaming()
    with Midway(mongrel2, server, chunked=False) as one:
        server.signal(signal.SIGTERM)
        # one that comes now could not be finished: its pieces would have nowhere to come to
        wait_until(lambda: refused(mongrel2), 20, "503 for a new upload")
        assert_received(one.finish(), one.data)
    assert server.wait() == 0


def refused(mongrel2: Mongrel2) -> bool:
    return attempt(mongrel2, content(100 * KIB), "/part/0", chunked=False).status == 503


def test_without_a_dispatcher_they_are_refused(streaming: Callable[..., Any]) -> None:
    mongrel2, _ = streaming("--zeromq-direct", processes=1, threads=2)
    assert mongrel2.process is not None
    port, front = int(mongrel2.send_spec.rpartition(":")[2]), psutil.Process(mongrel2.process.pid)
    # each thread has a connection to Mongrel2 of its own, which counts here
    wait_until(
        lambda: sum(c.laddr.port == port and c.status == "ESTABLISHED" for c in front.net_connections("tcp")) == 2,
        5,
        "connections of both threads",
    )
    for chunked in (False, True):
        assert attempt(mongrel2, content(MIB), "/digest/65536/0", chunked=chunked).status == 413
    wait_closed(mongrel2)


def test_a_killed_mongrel2_ends_the_reading(streaming: Callable[..., Any]) -> None:
    mongrel2, server = streaming()
    with Connection(mongrel2.address) as connection:
        connection.send(head("/stubborn/?7", length=10 * MIB) + bytes(300 * KIB))
        server.wait_log("reading 7")
        mongrel2.kill()
        server.wait_log("cannot read: BodyGone")
    mongrel2.restart()
    data = content(100 * KIB)
    assert_received(upload(mongrel2, data, "/digest/65536/0"), data)
