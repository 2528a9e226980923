"""FastCGI."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.codecs import PEER, Connection, factory, fastcgi_pairs, fastcgi_record, fastcgi_request, read, refusal

from m2serve.errors import RemoteProtocolError
from m2serve.wire import fastcgi
from m2serve.wire.fastcgi import (
    ABORT,
    BEGIN,
    END,
    GET_VALUES,
    GET_VALUES_RESULT,
    PARAMS,
    STDIN,
    STDOUT,
    UNKNOWN_TYPE,
)

GET = {"REQUEST_METHOD": "GET", "REQUEST_URI": "/a?b", "SCRIPT_NAME": "/a", "DOCUMENT_URI": "/a", "CONTENT_LENGTH": ""}
POST = {**GET, "REQUEST_METHOD": "POST", "CONTENT_LENGTH": "11"}
BEGIN_BODY = b"\0\1\0\0\0\0\0\0"


def records(data: bytes) -> list[tuple[int, int, bytes]]:
    """Type, id, content of each record."""
    found = []
    while data:
        assert data[0] == 1
        size = int.from_bytes(data[4:6], "big")
        assert len(data) >= 8 + size + data[6]
        found.append((data[1], int.from_bytes(data[2:4], "big"), data[8 : 8 + size]))
        data = data[8 + size + data[6] :]
    return found


def test_a_request() -> None:
    got = read("fastcgi", fastcgi_request(GET)).requests[0]
    assert (got.keep, got.length, got.body) == (False, 0, b"")
    assert got.request.variables is not None
    assert [got.request.variables[name] for name in ("SCRIPT_NAME", "PATH_INFO")] == ["", "/a"]


@pytest.mark.parametrize("cut", [1, 7, 127, 65535])
def test_a_body_in_records_of_any_size(cut: int) -> None:
    long = {**POST, "HTTP_COOKIE": "x" * 300, "N" * 200: "y"}
    seen = read("fastcgi", fastcgi_request(long, b"hello world", cut=cut))
    assert seen.requests[0].body == b"hello world"
    variables = seen.requests[0].request.variables
    assert variables is not None and (variables["HTTP_COOKIE"], variables["N" * 200]) == ("x" * 300, "y")


def test_a_body_without_a_length_ends_with_its_records() -> None:
    got = read("fastcgi", fastcgi_request(GET, b"hello world", cut=3)).requests[0]
    assert (got.length, got.body, got.request.key) == (None, b"hello world", b"")


def test_a_connection_that_is_kept() -> None:
    data = b"".join(fastcgi_request(one, body, keep=True) for one, body in ((POST, b"hello world"), (GET, b"")) * 2)
    seen = read("fastcgi", data)
    assert [(got.keep, got.body) for got in seen.requests] == [(True, b"hello world"), (True, b"")] * 2
    assert seen.refused is None and seen.replies == b""


def test_parameters_that_come_again_are_remembered() -> None:
    make = factory("fastcgi")
    requests = [read(make, fastcgi_request(GET, request=n)).requests[0].request for n in (1, 2, 3)]
    assert requests[0].key == b"" and requests[1].key
    assert requests[1].key is requests[2].key


def test_no_second_request_at_the_same_time() -> None:
    first, second = fastcgi_request(POST, b"hello world"), fastcgi_request(GET, request=9, keep=True)
    for at in (16, len(first) - 30):  # between records: behind BEGIN, and before the body's last ones
        connection = Connection(factory("fastcgi")(PEER))
        for record in (first[:16], second, first[16:]) if at == 16 else (first[:16], first[16:]):
            connection.feed(record)
        assert [got.body for got in connection.requests] == [b"hello world"]
        if at == 16:
            assert records(connection.replies) == [(END, 9, b"\0\0\0\0\1\0\0\0")]


def test_a_second_request_within_a_body() -> None:
    connection = Connection(factory("fastcgi")(PEER))
    connection.feed(fastcgi_record(BEGIN, BEGIN_BODY) + fastcgi_record(PARAMS, fastcgi_pairs(POST)))
    connection.feed(fastcgi_record(PARAMS) + fastcgi_record(STDIN, b"hello"))
    connection.feed(fastcgi_request(GET, request=2) + fastcgi_record(GET_VALUES) + fastcgi_record(STDIN, b" world"))
    assert [got.body for got in connection.requests] == [b"hello world"]
    assert records(connection.replies) == [(END, 2, b"\0\0\0\0\1\0\0\0"), (GET_VALUES_RESULT, 0, b"")]


@pytest.mark.parametrize(("keep", "refused"), [(0, 0), (1, None)])
def test_other_roles(keep: int, refused: int | None) -> None:
    seen = read("fastcgi", fastcgi_record(BEGIN, bytes((0, 2, keep, 0, 0, 0, 0, 0)), 5))
    assert records(seen.replies) == [(END, 5, b"\0\0\0\0\3\0\0\0")]
    assert seen.refused == refused


@pytest.mark.parametrize("where", range(1, 5))
def test_abort(where: int) -> None:
    parts = [
        fastcgi_record(BEGIN, BEGIN_BODY),
        fastcgi_record(PARAMS, fastcgi_pairs(POST)),
        fastcgi_record(PARAMS),
        fastcgi_record(STDIN, b"hello"),
    ]
    seen = read("fastcgi", [*parts[:where], fastcgi_record(ABORT)])
    assert (seen.refused, seen.requests) == (0, [])
    assert records(seen.replies) == [(END, 1, bytes(8))]


def test_values() -> None:
    asked = fastcgi_pairs({"FCGI_MPXS_CONNS": "", "FCGI_MAX_CONNS": "", "FCGI_OTHER": ""})
    seen = read("fastcgi", fastcgi_record(GET_VALUES, asked, 0))
    assert [(kind, number) for kind, number, _ in records(seen.replies)] == [(GET_VALUES_RESULT, 0)]
    told = dict(fastcgi.pairs(records(seen.replies)[0][2]))
    assert told[b"FCGI_MPXS_CONNS"] == b"0" and told.keys() == {b"FCGI_MPXS_CONNS", b"FCGI_MAX_CONNS"}
    assert seen.idle


@pytest.mark.parametrize("kind", [0, 12, 255])
def test_unknown_records(kind: int) -> None:
    seen = read("fastcgi", fastcgi_record(kind, b"xx", 0) + fastcgi_request(GET))
    assert records(seen.replies) == [(UNKNOWN_TYPE, 0, bytes((kind, 0, 0, 0, 0, 0, 0, 0)))]
    assert len(seen.requests) == 1


def test_records_of_others_are_skipped() -> None:
    data = fastcgi_record(STDIN, b"x", 4) + fastcgi_record(ABORT, b"", 4) + fastcgi_record(PARAMS, b"x", 0)
    assert len(read("fastcgi", data + fastcgi_request(GET)).requests) == 1


def test_a_peer_that_only_asks() -> None:
    assert refusal("fastcgi", fastcgi_record(99) * 2000)[0] == 0


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"GET / HTTP/1.1\r\n", 0),
        (b"\x16\x03\x01", 0),
        (b"\0", 0),
        (fastcgi_record(BEGIN, b"\0\1\0"), 0),
        (fastcgi_record(BEGIN, BEGIN_BODY, 0), 0),
        (fastcgi_record(BEGIN, BEGIN_BODY) * 2, 0),
        (fastcgi_record(BEGIN, BEGIN_BODY) + fastcgi_record(STDIN, b"x"), 400),
        (fastcgi_record(BEGIN, BEGIN_BODY) + fastcgi_record(PARAMS), 400),
        (fastcgi_record(BEGIN, BEGIN_BODY) + fastcgi_record(PARAMS, b"\x05") + fastcgi_record(PARAMS), 400),
        (
            fastcgi_record(BEGIN, BEGIN_BODY) + fastcgi_record(PARAMS, b"\xff\xff\xff\xff\1") + fastcgi_record(PARAMS),
            400,
        ),
        (fastcgi_record(BEGIN, BEGIN_BODY) + fastcgi_record(PARAMS, b"x" * 3000) * 2, 431),
        (fastcgi_request(POST, b"hello"), 400),
        (fastcgi_record(GET_VALUES, b"\x05", 0), 400),
    ],
)
def test_refused(data: bytes, status: int) -> None:
    assert refusal("fastcgi", data, head=4096)[0] == status


def test_an_answer() -> None:
    codec = factory("fastcgi")(PEER)
    codec.feed(fastcgi_request(GET, request=258))
    assert codec.head() is not None
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nConnection: close\r\n\r\n"
    sent = b"".join(
        [*codec.answer((head, b"hello")), *codec.answer((b"HTTP/1.1 ",)), *codec.answer((b"",)), codec.end()]
    )
    assert records(sent) == [
        (STDOUT, 258, b"Status: 200 OK\r\nContent-Type: text/plain\r\n\r\nhello"),
        (STDOUT, 258, b"HTTP/1.1 "),
        (STDOUT, 258, b""),
        (END, 258, bytes(8)),
    ]


@pytest.mark.parametrize("size", [65528, 65529, 65536, 200000])
def test_a_large_piece_is_several_records(size: int) -> None:
    codec = factory("fastcgi")(PEER)
    codec.answer((b"HTTP/1.1 200 OK\r\n\r\n",))
    body = bytes(range(256)) * (size // 256 + 1)
    found = records(b"".join(codec.answer((body[:10], body[10:size]))))
    assert b"".join(content for _, _, content in found) == body[:size]
    assert all(kind == STDOUT and len(content) <= 65528 for kind, _, content in found)


def test_a_refusal_before_any_request_can_be_told() -> None:
    codec = factory("fastcgi")(PEER)
    codec.feed(fastcgi_record(GET_VALUES, b"\x05", 0))
    with pytest.raises(RemoteProtocolError):
        codec.head()
    sent = b"".join([*codec.answer((b"HTTP/1.1 400 Bad Request\r\n\r\n",)), codec.end()])
    assert [number for _, number, _ in records(sent)] == [1, 1, 1]


@given(st.lists(st.tuples(st.binary(max_size=300), st.binary(max_size=300)), max_size=20))
def test_pairs_read_back(pairs: list[tuple[bytes, bytes]]) -> None:
    text = {name.decode("latin-1"): value.decode("latin-1") for name, value in pairs}
    assert fastcgi.pairs(fastcgi_pairs(text)) == list(dict(pairs).items())


@given(st.binary(max_size=60))
def test_any_block(block: bytes) -> None:
    try:
        found = fastcgi.pairs(block)
    except RemoteProtocolError:
        return
    assert sum(len(name) + len(value) + 2 for name, value in found) <= len(block)


RECORDS = st.lists(
    st.one_of(
        st.builds(fastcgi_record, st.integers(0, 13), st.binary(max_size=20), st.integers(0, 2), st.integers(0, 9)),
        st.sampled_from(
            [
                fastcgi_record(BEGIN, BEGIN_BODY),
                fastcgi_record(PARAMS, fastcgi_pairs(POST)),
                fastcgi_record(PARAMS),
                fastcgi_record(STDIN, b"hello "),
                fastcgi_record(STDIN),
                fastcgi_request(POST, b"hello world", keep=True, cut=40),
                fastcgi_request(GET, b"", keep=True),
                b"\1",
            ]
        ),
    ),
    max_size=10,
).map(b"".join)


@given(RECORDS, st.lists(st.integers(0, 2000), max_size=12))
def test_any_records_in_any_pieces(data: bytes, cuts: list[int]) -> None:
    edges = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    pieces = [data[a:b] for a, b in itertools.pairwise(edges)]
    whole, cut = read("fastcgi", data, head=200), read("fastcgi", pieces, head=200)
    strip = [got._replace(request=got.request._replace(key=b"")) for got in whole.requests]
    assert [got._replace(request=got.request._replace(key=b"")) for got in cut.requests] == strip
    assert cut[1:] == whole[1:]
