"""The uwsgi protocol."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.codecs import PEER, factory, read, refusal, uwsgi_packet

from m2serve.errors import RemoteProtocolError
from m2serve.wire import uwsgi

GET = {"REQUEST_METHOD": "GET", "REQUEST_URI": "/a?b", "PATH_INFO": "/a", "CONTENT_LENGTH": ""}
POST = {**GET, "REQUEST_METHOD": "POST", "CONTENT_LENGTH": "5"}


def test_a_request() -> None:
    seen = read("uwsgi", uwsgi_packet(GET))
    got = seen.requests[0]
    assert (got.keep, got.expects, got.length, got.body) == (False, False, 0, b"")
    request = got.request
    assert (request.sender, request.conn_id, request.port) == (b"door", b"7", 0)
    assert request.variables is not None and request.variables["PATH_INFO"] == "/a"
    assert request.headers[b"METHOD"] == b"GET"


@pytest.mark.parametrize("modifier", [0, 30])
def test_a_body(modifier: int) -> None:
    got = read("uwsgi", uwsgi_packet(POST, modifier) + b"hello, and more").requests[0]
    assert (got.length, got.body) == (5, b"hello")


def test_a_packet_that_comes_again_is_remembered() -> None:
    make = factory("uwsgi")
    requests = [read(make, uwsgi_packet(GET)).requests[0].request for _ in range(3)]
    assert requests[0].key == b"" and requests[1].key
    assert requests[1].key is requests[2].key and requests[1].variables is requests[2].variables
    assert [read(make, uwsgi_packet(POST) + b"hello").requests[0].request.key for _ in range(3)] == [b""] * 3


def test_ping() -> None:
    seen = read("uwsgi", b"\x64\0\0\0")
    assert (seen.refused, seen.replies, seen.idle) == (None, b"\x64\0\0\x01", True)
    assert read("uwsgi", b"\x64\0\0\x01").replies == b""
    seen = read("uwsgi", b"\x64\0\0\0" * 2 + uwsgi_packet(GET))
    assert len(seen.requests) == 1 and seen.replies == b"\x64\0\0\x01" * 2
    assert read("uwsgi", b"\x64\0\0\0" * 1000).refused == 0


@pytest.mark.parametrize("modifier", [m for m in range(256) if m not in (0, 30)])
def test_other_modifiers_are_refused(modifier: int) -> None:
    assert refusal("uwsgi", uwsgi_packet(GET, modifier))[0] == 0


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"GET / HTTP/1.1\r\n", "HTTP at a uwsgi door"),
        (b"POST / HTTP/1.1\r\n", "HTTP at a uwsgi door"),
        (b"PRI * HTTP/2.0\r\n", "HTTP at a uwsgi door"),
        (b"\x16\x03\x01\x02\x00", "TLS at a uwsgi door"),
        (uwsgi_packet(GET, 22), "modifier 22"),
    ],
)
def test_what_is_refused_is_named(data: bytes, reason: str) -> None:
    status, why = refusal("uwsgi", data)
    assert status == 0 and reason in why


def test_too_large_a_packet_is_refused_at_its_header() -> None:
    assert refusal("uwsgi", b"\0\x01\x10\0", head=4096)[0] == 431
    assert refusal("uwsgi", b"\0\x00\x10\0", head=4096)[0] is None


@pytest.mark.parametrize(
    "block",
    [
        b"",
        b"\x01",
        b"\x01\0",
        b"\x01\0A",
        b"\x01\0A\x01",
        b"\x01\0A\x01\0",
        b"\x01\0A\x02\0b",
        b"\xff\xff",
        b"\0\0\0\0",
    ],
)
def test_broken_blocks(block: bytes) -> None:
    assert refusal("uwsgi", b"\0" + len(block).to_bytes(2, "little") + b"\0" + block)[0] == 400


def test_a_chunked_body_that_nobody_has_collected() -> None:
    chunked = {**GET, "HTTP_TRANSFER_ENCODING": "chunked"}
    assert refusal("uwsgi", uwsgi_packet(chunked))[0] == 411
    assert read("uwsgi", uwsgi_packet({**chunked, "CONTENT_LENGTH": "5"}) + b"hello").requests[0].body == b"hello"


def test_answers_leave_as_they_are() -> None:
    codec = factory("uwsgi")(PEER)
    parts = (b"HTTP/1.1 200 OK\r\n\r\n",)
    assert codec.answer(parts) is parts
    assert codec.end() == b""


def test_one_request_a_connection() -> None:
    codec = factory("uwsgi")(PEER)
    assert codec.idle
    codec.feed(uwsgi_packet(GET) * 2)
    assert codec.head() is not None
    codec.next()
    assert codec.idle and codec.head() is None


@given(st.lists(st.tuples(st.binary(max_size=300), st.binary(max_size=300)), max_size=20))
def test_pairs_read_back(pairs: list[tuple[bytes, bytes]]) -> None:
    words = [word for pair in pairs for word in pair]
    assert uwsgi.pairs(b"".join(len(word).to_bytes(2, "little") + word for word in words)) == pairs


@given(st.binary(max_size=60))
def test_any_block(block: bytes) -> None:
    try:
        found = uwsgi.pairs(block)
    except RemoteProtocolError:
        return
    assert sum(len(name) + len(value) + 4 for name, value in found) == len(block)


BYTES = st.one_of(
    st.binary(max_size=40),
    st.binary(max_size=40).map(lambda block: b"\0" + len(block).to_bytes(2, "little") + b"\0" + block),
    st.sampled_from([uwsgi_packet(GET), uwsgi_packet(POST) + b"hello", uwsgi_packet(POST) + b"hel"]),
)


@given(BYTES, st.lists(st.integers(0, 500), max_size=8))
def test_any_bytes_in_any_pieces(data: bytes, cuts: list[int]) -> None:
    edges = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    pieces = [data[a:b] for a, b in itertools.pairwise(edges)]
    assert read("uwsgi", pieces, head=100) == read("uwsgi", data, head=100)
