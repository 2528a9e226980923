"""The body that comes while it is read."""

from __future__ import annotations

import io
import random
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from m2serve.errors import BodyError, BodyGone, ClientGone
from m2serve.uploads.stream import WINDOW_MOST, StreamBody

WINDOW = 1000
PATIENCE = 10.0


class Client:
    """Mongrel2 and its client: sends what it has credit for, in pieces, when it is granted."""

    def __init__(self, data: bytes, *, beginning: int = 0, length: bool = True, piece: int = 300, **options) -> None:
        self.data = data
        self.sent = beginning
        self.credit = 0
        self.grants: list[int] = []
        self.piece = piece
        self.whole_chunks = not length
        self.most = 0
        self.body = StreamBody(
            data[:beginning],
            length=len(data) if length else None,
            grant=self.grant,
            **{"window": WINDOW, "timeout": PATIENCE, **options},
        )

    def grant(self, credit: int) -> None:
        self.grants.append(credit)
        self.credit += credit
        while self.credit > 0 and self.sent < len(self.data):
            size = self.piece if self.whole_chunks else min(self.piece, self.credit)
            self.send(self.data[self.sent : self.sent + size])
        self.most = max(self.most, self.sent - self.body._taken)
        if self.whole_chunks and self.sent == len(self.data) and self.credit > 0:
            self.body.feed(self.sent, b"", True)

    def send(self, data: bytes) -> None:
        last = not self.whole_chunks and self.sent + len(data) == len(self.data)
        self.body.feed(self.sent % 2**32, data, last)
        self.sent += len(data)
        self.credit -= len(data)


def lines(count: int) -> bytes:
    source = random.Random(count)
    return b"".join(
        bytes(source.randrange(32, 126) for _ in range(source.randrange(200))) + b"\n" for _ in range(count)
    )


@pytest.mark.parametrize("length", [True, False], ids=["length", "chunked"])
@pytest.mark.parametrize("beginning", [0, 1, 500])
def test_everything_at_once(length: bool, beginning: int) -> None:
    client = Client(lines(300), beginning=beginning, length=length)
    assert client.body.read() == client.data
    assert client.body.complete
    assert client.body.received == len(client.data)
    assert client.body.read() == client.body.read(5) == client.body.readline() == client.body.read1() == b""


@pytest.mark.parametrize("length", [True, False], ids=["length", "chunked"])
def test_no_more_than_the_window_waits(length: bool) -> None:
    client = Client(bytes(100_000), length=length)
    while client.body.read(70):
        pass
    assert client.body.complete
    assert client.most <= WINDOW + (0 if length else client.piece)
    if length:
        assert sum(client.grants) == len(client.data)
    # few grants: each is a message to Mongrel2
    assert len(client.grants) <= len(client.data) / (WINDOW / 2) + 2


def test_an_application_that_does_not_read_gets_nothing_sent() -> None:
    client = Client(bytes(5000), beginning=100)
    assert client.grants == []
    assert client.body.read(100) == bytes(100)
    assert client.grants == []
    client.body.read(1)
    assert client.grants == [WINDOW]


@pytest.mark.parametrize("length", [True, False], ids=["length", "chunked"])
@given(data=st.data())
def test_reads_as_a_file_does(length: bool, data) -> None:
    content = lines(40)
    client = Client(
        content, beginning=data.draw(st.integers(0, 50)), length=length, piece=data.draw(st.integers(1, 400))
    )
    file = io.BufferedReader(io.BytesIO(content))  # BytesIO takes the hint of readlines() for one line less
    calls = st.tuples(
        st.sampled_from(["read", "readline", "readlines"]), st.sampled_from([None, -1, 0, 1, 7, 150, 900])
    )
    for name, size in data.draw(st.lists(calls, max_size=30)):
        assert getattr(client.body, name)(size) == getattr(file, name)(size), (name, size)
    assert list(client.body) == list(file)


def test_read1_gives_what_is_there() -> None:
    client = Client(bytes(5000), beginning=10)
    assert len(client.body.read1()) == 10
    assert len(client.body.read1(100)) == 100
    assert len(client.body.read1(100_000)) == client.piece - 100
    assert client.body.read1(0) == b""


def test_it_is_a_file_but_not_seekable() -> None:
    client = Client(b"a\nb\n", beginning=4)
    assert client.body.readable()
    assert not client.body.seekable()
    assert io.TextIOWrapper(client.body).read() == "a\nb\n"


def test_the_window_has_a_limit() -> None:
    client = Client(bytes(10 * WINDOW_MOST), window=100 * WINDOW_MOST)
    client.body.read(1)
    assert client.grants == [WINDOW_MOST]


# -- what comes


def body(length: int | None = 20, **options) -> StreamBody:
    defaults = {"grant": lambda credit: None, "window": WINDOW, "timeout": PATIENCE}
    return StreamBody(b"01234", length=length, **{**defaults, **options})


def test_what_comes_twice_is_read_once() -> None:
    one = body()
    one.feed(5, b"56789", False)
    one.feed(5, b"56789", False)
    one.feed(0, b"0123", False)
    one.feed(8, b"89abc", False)
    one.feed(13, b"defghij", True)
    one.feed(13, b"defghij", True)
    assert one.read() == b"0123456789abcdefghij"


def test_a_missing_piece_is_an_error_and_not_a_gap() -> None:
    one = body()
    one.feed(7, b"789", False)
    assert one.read(5) == b"01234"
    with pytest.raises(BodyError, match="2 bytes of the body are missing at byte 5") as caught:
        one.read(1)
    assert caught.value.status == 500
    one.feed(5, b"56789", False)
    with pytest.raises(OSError, match="missing"):
        one.read(1)


def test_the_end_of_a_chunked_body_is_an_empty_piece() -> None:
    one = body(length=None)
    one.feed(5, b"56789", False)
    assert not one.complete
    one.feed(10, b"", True)
    assert one.complete
    assert one.read() == b"0123456789"


def test_a_body_that_came_whole() -> None:
    assert body(length=5).complete
    one = body(length=None, whole=True)
    assert one.complete
    assert one.read() == b"01234"


def test_offsets_wrap_at_the_size_of_an_int() -> None:
    one = body(length=None)
    one._front, one.received = b"", 2**32 - 3
    one.feed(2**32 - 3, b"abc", False)
    one.feed(0, b"def", False)
    one.feed(2**32 - 3, b"abc", False)
    one.feed(3, b"ghi", True)
    assert one.read() == b"abcdefghi"
    assert one.received == 2**32 + 6


# -- what does not come


def test_a_client_that_falls_silent() -> None:
    one = body(timeout=0.01)
    assert one.read(5) == b"01234"
    for _ in range(2):
        with pytest.raises(BodyError, match=r"0\.01 s \(socket-timeout\)") as caught:
            one.read(1)
        assert caught.value.status == 408


def test_a_client_that_leaves() -> None:
    one = body()
    reader = threading.Timer(0.01, one.lose)
    reader.start()
    with pytest.raises(BodyGone, match="the client has left") as caught:
        one.read()
    assert isinstance(caught.value, OSError)
    assert isinstance(caught.value, ClientGone)
    reader.join()


def test_a_client_that_leaves_after_its_last_byte() -> None:
    one = body()
    one.feed(5, bytes(15), True)
    one.lose()
    assert len(one.read()) == 20


def test_a_mongrel2_that_takes_no_credit() -> None:
    def gone(credit: int) -> None:
        raise ClientGone("no connection")

    one = body(grant=gone)
    for _ in range(2):
        with pytest.raises(BodyGone):
            one.read()


def test_a_chunked_body_over_the_limit() -> None:
    one = body(length=None, limit=9)
    one.feed(5, b"5678", False)
    one.feed(9, b"9", False)
    with pytest.raises(BodyError, match=r"more than 9 bytes \(limit-post\)") as caught:
        one.read()
    assert caught.value.status == 413
    assert not one.complete


def test_nothing_is_read_or_taken_after_the_request() -> None:
    one = body()
    one.end()
    one.feed(5, bytes(15), True)
    assert not one.complete
    with pytest.raises(OSError, match="the request is over"):
        one.read()


def test_a_closed_one_is_not_read() -> None:
    one = body()
    one.close()
    with pytest.raises(ValueError, match="closed"):
        one.read()


def test_reader_and_feeder_in_two_threads() -> None:
    content = random.Random(1).randbytes(300_000)
    wanted = threading.Semaphore(0)
    credits: list[int] = []

    def grant(credit: int) -> None:
        credits.append(credit)
        wanted.release()

    one = StreamBody(b"", length=len(content), grant=grant, window=5000, timeout=PATIENCE)

    def feed() -> None:
        sent = 0
        while sent < len(content):
            assert wanted.acquire(timeout=PATIENCE)
            until = sent + credits.pop(0)
            while sent < until:
                size = min(777, until - sent)
                one.feed(sent, content[sent : sent + size], sent + size == len(content))
                sent += size

    feeder = threading.Thread(target=feed)
    feeder.start()
    assert b"".join(iter(lambda: one.read(4096), b"")) == content
    feeder.join()
