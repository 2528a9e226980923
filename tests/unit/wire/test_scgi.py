"""SCGI."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.codecs import PEER, factory, read, refusal, scgi_packet

GET = {"REQUEST_METHOD": "GET", "REQUEST_URI": "/a?b", "SCRIPT_NAME": "/a", "SCGI": "1"}


def test_a_request() -> None:
    got = read("scgi", scgi_packet(GET)).requests[0]
    assert (got.keep, got.length, got.body) == (False, 0, b"")
    assert got.request.variables is not None
    assert [got.request.variables[name] for name in ("SCRIPT_NAME", "PATH_INFO", "SCGI")] == ["", "/a", "1"]


def test_a_body() -> None:
    got = read("scgi", scgi_packet(GET, b"hello") + b" and more").requests[0]
    assert (got.length, got.body) == (5, b"hello")


def test_the_example_of_the_specification() -> None:
    block = "CONTENT_LENGTH\x0027\0SCGI\x001\0REQUEST_METHOD\0POST\0REQUEST_URI\0/deepthought\0"
    body = b"What is the answer to life?"
    got = read("scgi", b"70:" + block.encode() + b"," + body).requests[0]
    assert got.body == body and got.request.path == b"/deepthought"


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"GET / HTTP/1.1\r\n", 0),
        (b":", 0),
        (b"0:,", 0),
        (b"007:", 0),
        (b"-1:", 0),
        (b"1234567890", 0),
        (b"12x", 0),
        (b"\x16\x03\x01", 0),
        (b"5000:", 431),
        (b"1:x,", 400),
        (b"1:\0,", 400),
        (b"2:\0\0,", 400),
        (b"24:CONTENT_LENGTH\x000\0SCGI\x001\0;", 400),
        (b"17:CONTENT_LENGTH\x000\0,", 400),
        (b"24:SCGI\x001\0CONTENT_LENGTH\x000\0,", 400),
        (b"23:CONTENT_LENGTH\0\0SCGI\x001\0,", 400),
        (b"24:CONTENT_LENGTH\x00x\0SCGI\x001\0,", 400),
        (b"24:CONTENT_LENGTH\x000\0SCGI\x002\0,", 400),
        (b"24:CONTENT_LENGTH\x000\0SCGI\x001\0,", 400),
        (b"25:CONTENT_LENGTH\x000\0SCGI\x001\0x,", 400),
    ],
)
def test_refused(data: bytes, status: int) -> None:
    assert refusal("scgi", data, head=4096)[0] == status


def test_the_status_line_is_exchanged_once() -> None:
    codec = factory("scgi")(PEER)
    head = b"HTTP/1.1 404 Not Found\r\nContent-Length: 9\r\nConnection: close\r\n\r\n"
    parts = codec.answer((head, b"HTTP/1.1 "))
    assert list(parts) == [b"Status: 404 Not Found\r\nContent-Length: 9\r\n\r\n", b"HTTP/1.1 "]
    again = (b"HTTP/1.1 200 is body now",)
    assert codec.answer(again) is again
    assert codec.end() == b""


def test_a_refusal_is_an_answer_too() -> None:
    codec = factory("scgi")(PEER)
    message = b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\nServer: m2serve\r\n\r\nConnection: close\r\n\r\n"
    assert b"".join(codec.answer((message,))) == b"Status: 400 Bad Request\r\n" + message.partition(b"\r\n")[2]


BYTES = st.one_of(
    st.binary(max_size=40),
    st.binary(max_size=40).map(lambda block: b"%d:%b," % (len(block), block)),
    st.sampled_from([scgi_packet(GET), scgi_packet(GET, b"hello"), scgi_packet(GET, b"hello")[:-1]]),
)


@given(BYTES, st.lists(st.integers(0, 500), max_size=8))
def test_any_bytes_in_any_pieces(data: bytes, cuts: list[int]) -> None:
    edges = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    pieces = [data[a:b] for a, b in itertools.pairwise(edges)]
    assert read("scgi", pieces, head=100) == read("scgi", data, head=100)
