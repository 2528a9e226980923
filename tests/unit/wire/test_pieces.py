"""Messages of streamed uploads, as Mongrel2 was seen to write them."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from m2serve.errors import RemoteProtocolError
from m2serve.wire import mongrel2, pieces, tnet


def message(headers: dict[str, str], body: bytes = b"", protocol: str = "tnetstring") -> bytes:
    if protocol == "json":
        text = json.dumps(headers, separators=(",", ":")).encode()
        packed = b"%d:%b," % (len(text), text)
    else:
        packed = tnet.dump({key.encode(): value.encode() for key, value in headers.items()})
    return b"app-1 7 /up " + packed + tnet.dump(body)


def parts(raw: bytes) -> tuple[int, bool, bytes]:
    piece = pieces.read_piece(raw)
    assert piece is not None
    assert piece.start + piece.size + 1 == len(raw)
    return piece.offset, piece.last, raw[piece.start : piece.start + piece.size]


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (b"app-1 7 /up 24:13:UPLOAD_STREAM,4:4017,}3:abc,", (4017, False, b"abc")),
        (b'app-1 7 /up 24:{"UPLOAD_STREAM":"4017"},3:abc,', (4017, False, b"abc")),
        (b'app-1 7 /up 50:{"UPLOAD_STREAM":"45497","UPLOAD_STREAM_DONE":"1"},4:last,', (45497, True, b"last")),
        (b"app-1 7 /up 51:13:UPLOAD_STREAM,5:45497,18:UPLOAD_STREAM_DONE,1:1,}0:,", (45497, True, b"")),
        (b"app-1 7 /up 51:18:UPLOAD_STREAM_DONE,1:1,13:UPLOAD_STREAM,5:45497,}0:,", (45497, True, b"")),
        (b'app-1 7 /up 50:{"UPLOAD_STREAM_DONE":"1","UPLOAD_STREAM":"45497"},1:,,', (45497, True, b",")),
    ],
)
def test_pieces_as_seen(raw: bytes, expected: tuple[int, bool, bytes]) -> None:
    assert parts(raw) == expected


@given(
    st.integers(min_value=-(2**31), max_value=2**31 - 1),
    st.booleans(),
    st.binary(max_size=300),
    st.sampled_from(["tnetstring", "json"]),
)
def test_any_piece(offset: int, last: bool, body: bytes, protocol: str) -> None:
    headers = {"UPLOAD_STREAM": str(offset), **({"UPLOAD_STREAM_DONE": "1"} if last else {})}
    assert parts(message(headers, body, protocol)) == (offset & 0xFFFFFFFF, last, body)


@pytest.mark.parametrize("protocol", ["tnetstring", "json"])
def test_an_unusual_piece_is_parsed(protocol: str) -> None:
    assert parts(message({"UPLOAD_STREAM": "5", "SOMETHING": "new"}, b"abc", protocol)) == (5, False, b"abc")


@pytest.mark.parametrize("protocol", ["tnetstring", "json"])
def test_a_request_is_no_piece(protocol: str) -> None:
    request = {"METHOD": "POST", "VERSION": "HTTP/1.1", "PATH": "/up", "UPLOAD_STREAM": "0"}
    assert pieces.read_piece(message(request, b"beginning", protocol)) is None
    forged = {"METHOD": "POST", "VERSION": "HTTP/1.1", "PATH": "/up", "upload_stream": "0"}
    assert pieces.read_piece(message(forged, b'{"UPLOAD_STREAM":"4017"},3:abc,', protocol)) is None


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"app-1 7 /up 24:13:UPLOAD_STREAM,4:4017,}3:ab,",
        b"app-1 7 /up 24:13:UPLOAD_STREAM,4:4017,}3:abc,!",
        b"app-1 7 /up 23:13:UPLOAD_STREAM,4:4017,}3:abc,",
        b"app-1 7 /up 24:13:UPLOAD_STREAM,4:x017,}3:abc,",
        b'app-1 7 /up 27:{"UPLOAD_STREAM":["4","5"]},3:abc,',
    ],
)
def test_broken_ones(raw: bytes) -> None:
    with pytest.raises(RemoteProtocolError):
        pieces.read_piece(raw)


@given(st.binary(max_size=80))
def test_any_bytes_are_a_piece_or_not(data: bytes) -> None:
    for raw in (data, b"app-1 7 /up " + data, b"app-1 7 /up 24:13:UPLOAD_STREAM,4:4017,}" + data):
        try:
            pieces.read_piece(raw)
        except RemoteProtocolError:
            pass


@pytest.mark.parametrize(
    ("headers", "begins"),
    [
        ({"METHOD": "POST", "VERSION": "HTTP/1.1", "PATH": "/", "UPLOAD_STREAM": "0"}, True),
        ({"METHOD": "POST", "VERSION": "HTTP/1.1", "PATH": "/", "UPLOAD_STREAM": "7"}, False),
        ({"METHOD": "POST", "VERSION": "HTTP/1.1", "PATH": "/", "upload_stream": "0"}, False),
        ({"METHOD": "WEBSOCKET_HANDSHAKE", "VERSION": "HTTP/1.1", "PATH": "/", "UPLOAD_STREAM": "0"}, False),
        ({"UPLOAD_STREAM": "0"}, False),
    ],
)
def test_the_first_message(headers: dict[str, str], begins: bool) -> None:
    request = mongrel2.parse(message(headers))
    assert pieces.begins_stream(request) is begins
    assert not pieces.is_whole(request)
    assert pieces.is_whole(mongrel2.parse(message({**headers, "UPLOAD_STREAM_DONE": "1"})))
