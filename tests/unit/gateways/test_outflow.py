"""Answers that do not leave at once: what the credit allows, what waits where, and how it ends."""

from __future__ import annotations

import gc
import hashlib
import os
import tempfile
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest
from serving import HeldBack, gateway
from support.channel import FakeChannel, FakeClock, make_request
from support.validator import read_answer

from m2serve.gateways.wsgi import Pending

if TYPE_CHECKING:
    from pathlib import Path

    from m2serve.gateways.base import Outcome

CREDIT = 102400
DATA = bytes(range(251)) * 20_000


class Slow:
    """A client that reads when it is told to, and everything on the way to it."""

    def __init__(self, app: Any, *, credit: int | None = CREDIT, detachable: bool = True, **more: Any) -> None:
        self.channel = FakeChannel(credit=credit, detachable=detachable)
        self.clock = FakeClock()
        self.courier = HeldBack()
        self.outcomes: list[Outcome] = []
        limits = {name: more.pop(name) for name in ("buffer", "spool", "patience") if name in more}
        self.gateway = gateway(app, self.clock, self.courier, **limits)
        self.request = make_request(**more)

    def serve(self) -> bool:
        """Run the application; whether its thread is free although the answer is not over."""
        result = self.gateway.handle(self.request, self.channel, "id-1")
        if isinstance(result, Pending):
            result.then(self.outcomes.append)
            return True
        self.outcomes.append(result)
        return False

    def read(self, count: int = CREDIT) -> None:
        """The client reads what is there, and the courier comes round."""
        if self.channel.limited:
            self.channel.grant(min(count, CREDIT - self.channel.credit))
        self.clock.now += 1
        self.courier.round()

    def read_all(self) -> bytes:
        rounds = 0
        while not self.outcomes:
            self.read()
            rounds += 1
            assert rounds < 10_000
        return read_answer(self.channel.sent, closed=self.channel.closed).body


def listed(headers: Any = ()) -> Any:
    def app(environ: dict[str, Any], start_response: Any) -> Any:
        start_response("200 OK", list(headers))
        return [DATA[:1000], DATA[1000:]]

    return app


def generated(headers: Any = (), size: int = 10_007) -> Any:
    def app(environ: dict[str, Any], start_response: Any) -> Any:
        start_response("200 OK", list(headers))
        return (DATA[at : at + size] for at in range(0, len(DATA), size))

    return app


class Filed:
    """Serves a real file; remembers it."""

    def __init__(self, path: Path, headers: Any = (), content: bytes = DATA) -> None:
        path.write_bytes(content)
        self.path = path
        self.headers = list(headers)
        self.file: Any = None

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Any:
        self.file = self.path.open("rb")
        start_response("200 OK", self.headers)
        return environ["wsgi.file_wrapper"](self.file)


LENGTH = [("Content-Length", str(len(DATA)))]


@pytest.mark.parametrize("credit", [CREDIT, None])
@pytest.mark.parametrize("headers", [LENGTH, []], ids=["length", "chunked"])
@pytest.mark.parametrize("make", [listed, generated])
def test_every_byte_arrives_and_no_message_is_more_than_allowed(make: Any, headers: Any, credit: int | None) -> None:
    slow = Slow(make(headers), credit=credit)
    # the channel objects to a message that is too large
    assert slow.serve() == (credit is not None)
    assert slow.read_all() == DATA
    (outcome,) = slow.outcomes
    assert (outcome.status, outcome.body_bytes, outcome.error, outcome.closed) == (200, len(DATA), None, False)
    if credit is None:
        assert len(slow.channel.messages) <= 16
    else:
        assert max(map(len, slow.channel.messages)) <= 64 * 1024
        assert len(slow.channel.messages) < len(DATA) / 16_000 + 5


@pytest.mark.parametrize("headers", [LENGTH, []], ids=["length", "chunked"])
def test_a_file_is_read_as_its_client_reads(tmp_path: Path, headers: Any) -> None:
    app = Filed(tmp_path / "file", headers)
    slow = Slow(app)
    before = set(os.listdir("/proc/self/fd"))
    assert slow.serve()
    assert app.file.closed, "the application has done its part"
    assert len(set(os.listdir("/proc/self/fd")) - before) == 1
    assert len(slow.channel.sent) <= CREDIT
    assert slow.read_all() == DATA
    assert set(os.listdir("/proc/self/fd")) <= before
    assert slow.outcomes[0].body_bytes == len(DATA)
    assert slow.outcomes[0].filed


def test_a_file_without_credits_needs_few_messages(tmp_path: Path) -> None:
    app = Filed(tmp_path / "file", content=DATA * 6)
    for detachable in (True, False):
        slow = Slow(app, credit=None, detachable=detachable)
        slow.serve()
        assert slow.read_all() == DATA * 6
        assert len(slow.channel.messages) <= 8
        assert app.file.closed


def test_a_file_that_shrinks(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    app = Filed(tmp_path / "file", LENGTH)
    slow = Slow(app)
    assert slow.serve()
    os.truncate(app.path, 300_000)
    while not slow.outcomes:
        slow.read()
    assert slow.channel.closed
    assert "shorter than Content-Length" in str(slow.outcomes[0].error)
    assert slow.outcomes[0].body_bytes == 300_000
    assert app.file.closed
    assert "shorter" in caplog.text


def test_a_file_of_unknown_length_ends_where_it_ends(tmp_path: Path) -> None:
    app = Filed(tmp_path / "file")
    slow = Slow(app)
    assert slow.serve()
    os.truncate(app.path, 300_000)
    assert slow.read_all() == DATA[:300_000]


def test_part_of_a_file(tmp_path: Path) -> None:
    app = Filed(tmp_path / "file", [("Content-Length", "200000")])
    slow = Slow(app)
    assert slow.serve()
    assert slow.read_all() == DATA[:200_000]
    assert slow.outcomes[0].error is None


def test_an_empty_file(tmp_path: Path) -> None:
    slow = Slow(Filed(tmp_path / "file", content=b""))
    assert not slow.serve()
    assert slow.read_all() == b""


def test_head_reads_no_file(tmp_path: Path) -> None:
    app = Filed(tmp_path / "file", LENGTH)
    slow = Slow(app, method="HEAD")
    assert not slow.serve()
    assert slow.channel.sent.endswith(b"\r\n\r\n")
    assert app.file.closed


def test_small_answers_need_nothing_of_this() -> None:
    slow = Slow(lambda environ, start_response: start_response("200 OK", []) and [b"small"])
    assert not slow.serve()
    assert len(slow.channel.messages) == 1
    assert slow.courier.asked == 0


@pytest.mark.parametrize("left", [0, 7, 90, 97])
def test_a_client_that_owes_much_gets_even_a_small_answer_later(left: int) -> None:
    slow = Slow(lambda environ, start_response: start_response("200 OK", []) and [b"small"], credit=left)
    assert slow.serve() == (left < 97)
    assert slow.read_all() == b"small"


def test_an_error_page_to_a_client_that_does_not_read() -> None:
    def app(environ: Any, start_response: Any) -> Any:
        raise ValueError("on purpose")

    slow = Slow(app, credit=10)
    assert not slow.serve()
    assert (slow.channel.messages, slow.channel.closed) == ([], True)


def test_what_the_application_has_said_waits_on_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    before = set(os.listdir("/proc/self/fd"))
    slow = Slow(generated(LENGTH), buffer=100_000)
    assert slow.serve()
    assert len(set(os.listdir("/proc/self/fd")) - before) == 1
    assert list(tmp_path.iterdir()) == []
    assert hashlib.sha256(slow.read_all()).digest() == hashlib.sha256(DATA).digest()
    assert set(os.listdir("/proc/self/fd")) <= before


def test_nothing_is_left_when_the_client_leaves(tmp_path: Path) -> None:
    gc.collect()
    before = set(os.listdir("/proc/self/fd"))
    app = Filed(tmp_path / "file")
    for slow in (Slow(generated(LENGTH), buffer=100_000), Slow(app)):
        assert slow.serve()
        slow.channel.leave()
        slow.courier.round()
        (outcome,) = slow.outcomes
        assert outcome.error == "the client has left"
        assert 0 < outcome.body_bytes <= CREDIT
        assert set(os.listdir("/proc/self/fd")) <= before
        assert slow.courier.holders == []


@pytest.mark.parametrize("full", ["limit", "disk"])
def test_the_thread_waits_when_the_spool_is_full(
    full: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    if full == "disk":

        def no_room(*_: object) -> int:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(os, "pwrite", no_room)
    slow = Slow(generated(LENGTH), buffer=100_000, spool=200_000)
    results: list[bool] = []
    thread = threading.Thread(target=lambda: results.append(slow.serve()))
    thread.start()
    while thread.is_alive():
        slow.read()
        thread.join(0.001)
    assert slow.read_all() == DATA
    assert caplog.text.count("No space left on device") == (full == "disk")


def test_a_waiting_thread_learns_that_its_client_has_left() -> None:
    closed = []

    def app(environ: Any, start_response: Any) -> Any:
        start_response("200 OK", [])
        try:
            while True:
                yield b"x" * 50_000
        finally:
            closed.append(environ["m2serve.connected"]())

    slow = Slow(app, buffer=100_000, spool=0)
    thread = threading.Thread(target=slow.serve)
    thread.start()
    while not slow.courier.holders and thread.is_alive():
        thread.join(0.001)
    slow.channel.leave()
    slow.courier.round()
    thread.join(10)
    assert not thread.is_alive()
    assert closed == [False]
    assert slow.outcomes[0].error == "the client has left"


def test_close_is_called_before_the_client_has_all() -> None:
    """PEP 3333: it frees what the application used, and the application has done its part."""
    told = []

    def app(environ: Any, start_response: Any) -> Any:
        start_response("200 OK", [])
        try:
            yield from generated()(environ, lambda *_: None)
        finally:
            told.append(environ["m2serve.connected"]())

    slow = Slow(app)
    assert slow.serve()
    assert told == [True]
    assert slow.read_all() == DATA


def test_an_error_halfway_ends_it() -> None:
    def app(environ: Any, start_response: Any) -> Any:
        start_response("200 OK", [])
        yield DATA
        raise ValueError("on purpose")

    slow = Slow(app)
    assert not slow.serve()
    assert slow.channel.closed
    before = len(slow.channel.messages)
    slow.channel.grant(CREDIT)
    slow.courier.round()
    assert len(slow.channel.messages) == before


def test_a_broken_answer_of_a_client_that_must_be_told() -> None:
    slow = Slow(generated([("Content-Length", str(len(DATA) + 5))]))
    assert slow.serve()
    while not slow.outcomes:
        slow.read()
    assert slow.channel.closed
    assert "5 bytes shorter" in str(slow.outcomes[0].error)


def test_connection_close_comes_behind_the_body() -> None:
    slow = Slow(generated(), headers={"connection": "close"})
    assert slow.serve()
    assert not slow.channel.closed
    assert slow.read_all() == DATA
    assert slow.channel.closed


def test_a_large_head_is_divided() -> None:
    def app(environ: Any, start_response: Any) -> Any:
        start_response("200 OK", [("X-Large", "x" * 90_000), ("X-More", "y" * 90_000)])
        return [b"body"]

    slow = Slow(app)
    assert slow.serve()
    assert slow.read_all() == b"body"


def test_a_compressed_file_is_not_read_behind_its_back(tmp_path: Path) -> None:
    import gzip

    path = tmp_path / "file.gz"
    path.write_bytes(gzip.compress(DATA))

    def app(environ: Any, start_response: Any) -> Any:
        start_response("200 OK", [])
        return environ["wsgi.file_wrapper"](gzip.open(path))

    slow = Slow(app)
    assert slow.serve()
    assert slow.read_all() == DATA
    assert not slow.outcomes[0].filed, "what was sent is in no file"


def test_a_file_just_written(tmp_path: Path) -> None:
    def app(environ: Any, start_response: Any) -> Any:
        start_response("200 OK", [])
        file = tempfile.NamedTemporaryFile(dir=tmp_path)
        file.write(DATA)
        file.seek(10)
        return environ["wsgi.file_wrapper"](file)

    slow = Slow(app)
    assert slow.serve()
    assert slow.read_all() == DATA[10:]
    assert list(tmp_path.iterdir()) == []


def test_pieces_before_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(DATA)

    def app(environ: Any, start_response: Any) -> Any:
        push = start_response("200 OK", [])
        push(DATA)
        push(b"between")
        return environ["wsgi.file_wrapper"]((tmp_path / "file").open("rb"))

    slow = Slow(app)
    assert slow.serve()
    assert slow.read_all() == DATA + b"between" + DATA


def test_a_client_that_takes_nothing_is_asked_after_now_and_then() -> None:
    slow = Slow(generated(LENGTH))
    assert slow.serve()
    seen = []
    for _ in range(70):
        slow.clock.now += 1
        slow.courier.round()
        seen.append(slow.channel.probes)
    # after 1, 2, 4, 8, 16, 32 and 62 seconds
    assert (seen[0], seen[30], seen[31], seen[-1]) == (1, 5, 6, 7)
    assert slow.read_all() == DATA


def test_small_pieces_that_come_fast_are_joined_although_there_is_credit() -> None:
    slow = Slow(generated(size=10))
    assert slow.serve()
    assert slow.read_all() == DATA
    small = [message for message in slow.channel.messages if len(message) < 16_000]
    assert len(small) <= 12
    assert len(slow.channel.messages) < len(DATA) / 16_000 + 12


def test_small_pieces_that_come_slowly_leave_at_once() -> None:
    def app(environ: Any, start_response: Any) -> Any:
        start_response("200 OK", [])
        for number in range(30):
            slow.clock.now += 0.01
            assert len(slow.channel.messages) == number
            yield b"x"

    slow = Slow(app)
    assert not slow.serve()
    assert slow.read_all() == b"x" * 30


def test_joined_pieces_leave_while_the_application_is_silent() -> None:
    def app(environ: Any, start_response: Any) -> Any:
        start_response("200 OK", [])
        for _ in range(12):
            yield b"x"
        assert len(slow.channel.messages) == 8
        slow.clock.now += 0.002
        slow.courier.round()
        assert slow.channel.messages[-1] == b"4\r\nxxxx\r\n"

    slow = Slow(app)
    assert not slow.serve()
    assert slow.read_all() == b"x" * 12


def test_without_credits_a_long_wait_needs_no_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("m2serve.gateways.pace._FREE", 2)
    slow = Slow(generated(LENGTH), credit=None)
    assert slow.serve()
    assert sum(slow.clock.naps) < 0.5
    assert slow.read_all() == DATA


def test_a_client_that_reads_nothing_is_given_up() -> None:
    slow = Slow(generated(), patience=60)
    assert slow.serve()
    for _ in range(59):
        slow.read(0)
    assert not slow.outcomes and not slow.channel.closed
    slow.read(0)
    slow.read(0)
    (outcome,) = slow.outcomes
    assert outcome.error == "the client has read nothing for 60 s (send-timeout)"
    assert slow.channel.closed


def test_a_client_that_reads_a_little_is_not_given_up() -> None:
    slow = Slow(generated(), patience=60)
    assert slow.serve()
    for _ in range(10):
        for _ in range(50):
            slow.read(0)
        slow.read(100)
    assert not slow.outcomes and not slow.channel.closed
    assert slow.read_all()


def test_an_application_that_waits_for_a_client_is_told() -> None:
    """No room in memory or on disk: the thread itself waits, and must not for ever."""
    closed = []

    def app(environ: dict[str, Any], start_response: Any) -> Any:
        start_response("200 OK", [])
        try:
            while True:
                yield DATA[:50_000]
        finally:
            closed.append(True)

    slow = Slow(app, patience=0.1, buffer=1, spool=0)
    slow.gateway._means = slow.gateway._means._replace(clock=time.monotonic)
    assert not slow.serve()
    (outcome,) = slow.outcomes
    assert outcome.error is not None and "send-timeout" in outcome.error
    assert closed and slow.channel.closed
