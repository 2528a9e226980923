"""What is remembered, and how little of it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from m2serve.errors import LocalProtocolError, RemoteProtocolError
from m2serve.wire import mongrel2
from m2serve.wire.head import HeadWriter
from m2serve.wire.memo import Memo, Sightings

GET = b"app-1 7 /a 30:6:METHOD,3:GET,7:VERSION,2:11,}0:,"
JSON = b'app-1 7 /a 31:{"METHOD":"GET","VERSION":"11"},0:,'


def fill(size: int, number: int) -> bytes:
    """A GET whose header block is never the same, of about *size* bytes."""
    value = b"%d" % number + b"x" * size
    block = b"6:METHOD,3:GET,1:a,%d:%b," % (len(value), value)
    return b"app-1 7 /a %d:%b}0:," % (len(block), block)


def test_memo_is_bounded_and_drops_the_oldest() -> None:
    memo: Memo[int, int] = Memo(3)
    for number in range(5):
        memo.put(number, number)
        memo.put(number, -1)
    assert len(memo) == 3
    assert [memo.get(number) for number in range(5)] == [None, None, 2, 3, 4]


def test_sightings() -> None:
    seen = Sightings()
    here, there = 0x01005, 0x03005  # hashes of small numbers are the numbers
    assert not seen.again(here)
    assert seen.again(here)
    assert not seen.again(there)  # takes the other's place
    assert not seen.again(here)
    assert not seen.again(0)


@pytest.mark.parametrize("raw", [GET, JSON])
def test_a_remembered_message_reads_the_same(raw: bytes) -> None:
    reader = mongrel2.Reader()
    plain = mongrel2.parse(raw)
    keys = []
    for _ in range(4):
        request = reader.parse(raw)
        assert request[:5] == plain[:5]
        keys.append(request.key)
    assert keys[:2] == [b"", b""]
    assert keys[2] and keys[3] is keys[2]
    other = reader.parse(raw.replace(b"app-1 7 ", b"app-1 123 "))
    assert other.conn_id == b"123" and other.headers is reader.parse(raw).headers


@pytest.mark.parametrize(
    "head",
    [
        b"app-1 x ",
        b"app-1 123456789012345678901 ",
        b"app_1 7 ",
        b" 7 ",
        b"app-1  ",
        b"app-1 ",
        b"",
        b"a" * 256 + b" 7 ",
    ],
)
def test_a_remembered_rest_excuses_no_broken_head(head: bytes) -> None:
    reader = mongrel2.Reader()
    for _ in range(3):
        reader.parse(GET)
    with pytest.raises(RemoteProtocolError):
        reader.parse(head + GET[len(b"app-1 7 ") :])


def test_reader_keeps_little() -> None:
    reader = mongrel2.Reader()
    for number in range(2000):
        reader.parse(fill(10, number))
    assert len(reader._known) < 60  # what came once: one in 128 and no more
    for number in range(2000):
        reader.parse(fill(10, number))
        reader.parse(fill(10, number))
    assert 0 < len(reader._known) <= 512
    known = len(reader._known)
    for _ in range(3):
        assert reader.parse(fill(5000, 1)).key == b""  # too large
        assert reader.parse(GET[:-3] + b"4:}0:,,").key == b""  # a body, and one that looks like none
    assert len(reader._known) == known


@given(st.lists(st.tuples(st.sampled_from([GET, JSON, GET[:-3] + b"1:x,"]), st.binary(max_size=6), st.integers(0, 50))))
def test_reader_agrees_with_parse(edits: list[tuple[bytes, bytes, int]]) -> None:
    reader = mongrel2.Reader()
    for raw in (GET, GET, JSON, JSON):
        reader.parse(raw)
    for raw, piece, at in edits:
        message = raw[:at] + piece + raw[at + len(piece) :]
        try:
            expected = mongrel2.parse(message)
        except RemoteProtocolError as error:
            with pytest.raises(RemoteProtocolError) as caught:
                reader.parse(message)
            assert (str(caught.value), caught.value.status) == (str(error), error.status)
        else:
            assert reader.parse(message)[:5] == expected[:5]


def test_start_is_checked_once_and_answers_the_same() -> None:
    writer = HeadWriter()
    headers = [("Content-Type", "text/plain"), ("Content-Length", "5"), ("X-A", "caf\xe9")]
    starts = [writer.start("200 OK", list(headers)) for _ in range(4)]
    assert starts[3] is starts[2]
    assert len({(start.code, start.line, start.block) for start in starts}) == 1
    assert starts[0].block == HeadWriter().headers(headers)


class Text(str):
    __slots__ = ()


class Proxy:
    """Equal to a string, and none."""

    def __eq__(self, other: object) -> bool:
        return other == "text/plain"

    def __hash__(self) -> int:
        return hash("text/plain")


@pytest.mark.parametrize(
    "headers",
    [
        [("Content-Type", Proxy())],
        [["Content-Type", "text/plain"]],
        (("Content-Type", "text/plain"),),
        [("Content-Type", "text/plain"), "ab"],
        [("Content-Type", "text/plain\r\nX: y")],
        [("Connection", "close")],
        [("Content-Type",)],
        [None],
    ],
)
def test_what_is_refused_stays_refused(headers: object) -> None:
    writer = HeadWriter()
    for _ in range(3):
        writer.start("200 OK", [("Content-Type", "text/plain")])
    for _ in range(3):
        with pytest.raises(LocalProtocolError):
            writer.start("200 OK", headers)  # type: ignore[arg-type]
    assert writer.start("200 OK", [("Content-Type", Text("text/plain"))]).code == 200


def test_starts_are_bounded() -> None:
    writer = HeadWriter()
    for number in range(2000):
        for _ in range(2):
            writer.start("200 OK", [("ETag", str(number))])
    assert 0 < len(writer._starts) <= 512
    for _ in range(3):
        large = writer.start("200 OK", [("X-Large", "x" * 5000)])
    assert writer.start("200 OK", [("X-Large", "x" * 5000)]) is not large
