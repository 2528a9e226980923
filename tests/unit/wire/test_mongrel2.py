"""Messages between Mongrel2 and a handler."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from support.validator import read_answer

from m2serve.errors import LocalProtocolError, RemoteProtocolError
from m2serve.message import Request
from m2serve.wire import mongrel2, tnet
from m2serve.wire.mongrel2 import Kind

# as seen from Mongrel2 1.12.2, the two protocols
JSON = (
    b'app-1 7 /a%20b 228:{"PATH":"/a%20b","x-dup":["1","2"],"x-forwarded-for":"127.0.0.1","host":"localhost:8080",'
    b'"METHOD":"GET","VERSION":"HTTP/1.1","URI":"/a%20b?x=%c3%a9","QUERY":"x=%c3%a9","PATTERN":"/",'
    b'"URL_SCHEME":"http","REMOTE_ADDR":"127.0.0.1"},0:,'
)
TNET = (
    b"app-1 7 /a%20b 233:11:REMOTE_ADDR,9:127.0.0.1,6:METHOD,3:GET,10:URL_SCHEME,4:http,7:PATTERN,1:/,5:QUERY,"
    b"8:x=%c3%a9,3:URI,15:/a%20b?x=%c3%a9,7:VERSION,8:HTTP/1.1,4:PATH,6:/a%20b,4:host,14:localhost:8080,"
    b"15:x-forwarded-for,9:127.0.0.1,5:x-dup,8:1:1,1:2,]}0:,"
)
DISCONNECT_JSON = b'app-1 7 @* 17:{"METHOD":"JSON"},21:{"type":"disconnect"},'
DISCONNECT_TNET = b'app-1 7 @* 16:6:METHOD,4:JSON,}21:{"type":"disconnect"},'
CREDITS_JSON = b'app-1 7 @* 43:{"METHOD":"JSON","DOWNLOAD_CREDITS":"1041"},18:{"type":"credits"},'
CREDITS_TNET = b'app-1 7 @* 43:16:DOWNLOAD_CREDITS,4:1041,6:METHOD,4:JSON,}18:{"type":"credits"},'


def tagged(headers: dict[bytes, Any], body: bytes = b"", path: bytes = b"/x") -> bytes:
    return b"app-1 7 %b %b%b" % (path, tnet.dump(headers), tnet.dump(body))


def jsoned(headers: bytes, body: bytes = b"", path: bytes = b"/x") -> bytes:
    return b"app-1 7 %b %d:%b,%b" % (path, len(headers), headers, tnet.dump(body))


@pytest.mark.parametrize("raw", [JSON, TNET], ids=["json", "tnetstring"])
def test_both_protocols_give_the_same_request(raw: bytes) -> None:
    assert mongrel2.parse(raw) == Request(
        b"app-1",
        b"7",
        b"/a%20b",
        {
            b"PATH": b"/a%20b",
            b"x-dup": [b"1", b"2"],
            b"x-forwarded-for": b"127.0.0.1",
            b"host": b"localhost:8080",
            b"METHOD": b"GET",
            b"VERSION": b"HTTP/1.1",
            b"URI": b"/a%20b?x=%c3%a9",
            b"QUERY": b"x=%c3%a9",
            b"PATTERN": b"/",
            b"URL_SCHEME": b"http",
            b"REMOTE_ADDR": b"127.0.0.1",
        },
        b"",
    )


def test_json_as_mongrel2_writes_it() -> None:
    """Only quote and backslash are escaped: a tab and a byte beyond ASCII stand raw."""
    request = mongrel2.parse(jsoned(b'{"a":"tab\there","b":"caf\xe9","c":"q\\"b\\\\","d":["\x01","\xff"]}'))
    assert request.headers == {b"a": b"tab\there", b"b": b"caf\xe9", b"c": b'q"b\\', b"d": [b"\x01", b"\xff"]}


def test_body_is_left_alone() -> None:
    body = bytes(range(256)) * 10
    assert mongrel2.parse(tagged({b"METHOD": b"POST"}, body)).body == body
    assert mongrel2.parse(jsoned(b'{"METHOD":"POST"}', body)).body == body


HEADS = [
    b"", b"app-1", b"app-1 7", b"app-1 7 /x", b" 7 /x 0:}0:,", b"app_1 7 /x 0:}0:,", b"app.1 7 /x 0:}0:,",
    b"app-1 x /x 0:}0:,", b"app-1 -7 /x 0:}0:,", b"app-1  /x 0:}0:,", b"app-1 7  0:}0:,", b"app-1 7 /\n 0:}0:,",
    b"app-1 7 /\x00 0:}0:,", b"app-1\n7 /x 0:}0:,", b"\xe9 7 /x 0:}0:,", b"app-1 \xb2 /x 0:}0:,",
    b"app-1 " + b"7" * 21 + b" /x 0:}0:,", b"a" * 256 + b" 7 /x 0:}0:,",
]  # fmt: skip


@pytest.mark.parametrize("raw", HEADS)
def test_broken_heads(raw: bytes) -> None:
    with pytest.raises(RemoteProtocolError):
        mongrel2.address(raw)
    with pytest.raises(RemoteProtocolError):
        mongrel2.parse(raw)


def test_address_needs_only_the_head() -> None:
    assert mongrel2.address(b"app-1 7 /x?y garbage") == (b"app-1", b"7", b"/x?y")
    assert mongrel2.address(DISCONNECT_TNET) == (b"app-1", b"7", b"@*")
    assert mongrel2.address(b"A-z9 0 @chat ") == (b"A-z9", b"0", b"@chat")


@pytest.mark.parametrize(
    "rest",
    [
        b"", b"0:}", b"0:,0:,", b"0:}0:", b"0:}1:,", b"0:}0:,x", b"0:}0:}", b"0:}0:]", b"0:}00:,", b"00:}0:,",
        b"0:]0:,", b"0:~0:,", b"0:#0:,", b"4:true!0:,", b"1:1#0:,", b"0:?0:,", b"3:abc}0:,", b"8:1:a,1:b,]0:,",
        b"8:1:a,1:1#}0:,", b"7:1:a,0:~}0:,", b"7:1:a,0:}}0:,", b"7:1:a,0:]}0:,", b"11:1:a,4:true!}0:,",
        b"11:1:a,4:0:]}0:,", b"12:1:a,5:1:b,#]}0:,", b"8:1:1#1:a,}0:,", b"99999999999:}0:,", b"4194305:}0:,",
        b"-1:}0:,", b" 0:}0:,", b"+0:}0:,", b"0:}0:,0:,", b"19:6:METHOD,8:3:GET,]}0:,",
        b"15:1:a,9:3:x:y,1#]}0:,", b"16:6:METHOD,4:1:G,]}0:,",
    ],
)  # fmt: skip
def test_broken_tagged_messages(rest: bytes) -> None:
    with pytest.raises(RemoteProtocolError):
        mongrel2.parse(b"app-1 7 /x " + rest)


@pytest.mark.parametrize(
    "headers",
    [
        b"", b"null", b"[]", b'"x"', b"1", b"{", b'{"a":1}', b'{"a":null}', b'{"a":true}', b'{"a":1.5}', b'{"a":{}}',
        b'{"a":[]}', b'{"a":[1]}', b'{"a":[["b"]]}', b'{"a":[null]}', b'{"a":"\\u0100"}', b'{"\\u0100":"a"}',
        b'{"a":["\\u2028"]}', b'{"METHOD":["GET"]}', b'{"a":"b"}x', b"NaN", b'{"a":' + b"[" * 5000 + b"]" * 5000 + b"}",
        b'{"a":' + b"9" * 5000 + b"}",
    ],
)  # fmt: skip
def test_broken_json_messages(headers: bytes) -> None:
    with pytest.raises(RemoteProtocolError):
        mongrel2.parse(jsoned(headers))


TEXT = st.text(st.characters(max_codepoint=255), max_size=12)
HEADERS = st.dictionaries(
    TEXT.map(str.lower).filter(lambda name: all(ord(char) < 256 for char in name) and not name.isupper()),
    TEXT | st.lists(TEXT, min_size=1, max_size=5),
    max_size=6,
)


@given(HEADERS, st.binary(max_size=80))
def test_any_headers_come_through_both_protocols(headers: dict[str, Any], body: bytes) -> None:
    raw: dict[bytes, Any] = {
        name.encode("latin-1"): [item.encode("latin-1") for item in value]
        if isinstance(value, list)
        else value.encode("latin-1")
        for name, value in headers.items()
    }
    expected = Request(b"app-1", b"7", b"/x", raw, body)
    assert mongrel2.parse(tagged(raw, body)) == expected
    assert mongrel2.parse(jsoned(json.dumps(headers, ensure_ascii=False).encode("latin-1"), body)) == expected


def survives(raw: bytes) -> None:
    try:
        request = mongrel2.parse(raw)
    except RemoteProtocolError:
        pass
    else:
        assert type(request) is Request
        assert isinstance(mongrel2.classify(request), Kind)
        assert mongrel2.address(raw) == (request.sender, request.conn_id, request.path)
    assert mongrel2.notice(raw) in (None, Kind.DISCONNECT, Kind.CREDITS)
    try:
        mongrel2.address(raw)
    except RemoteProtocolError:
        pass


@given(st.binary(max_size=200))
@example(b"")
def test_any_bytes_give_a_request_or_the_error(raw: bytes) -> None:
    survives(raw)
    survives(b"app-1 7 /x " + raw)
    survives(b"app-1 7 @* " + raw)


@given(st.sampled_from([JSON, TNET, DISCONNECT_JSON, DISCONNECT_TNET, CREDITS_JSON, CREDITS_TNET]), st.data())
def test_damaged_messages_give_a_request_or_the_error(raw: bytes, data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(raw) - 1))
    upto = data.draw(st.integers(at, min(at + 4, len(raw))))
    survives(raw[:at] + data.draw(st.binary(max_size=4)) + raw[upto:])
    survives(raw[:at])


ANY: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.binary(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.binary(max_size=9), inner, max_size=3),
    max_leaves=8,
)


@given(ANY, ANY)
def test_well_formed_values_of_odd_types(headers: Any, body: Any) -> None:
    survives(b"app-1 7 /x " + tnet.dump(headers) + tnet.dump(body))


# --- kinds ----------------------------------------------------------------------------

BASE = {b"PATH": b"/x", b"VERSION": b"HTTP/1.1", b"URI": b"/x", b"PATTERN": b"/"}
SOCKET = {b"PATH": b"@chat", b"PATTERN": b"@chat", b"REMOTE_ADDR": b"1.2.3.4"}
GONE = b'{"type":"disconnect"}'
PAID = b'{"type":"credits"}'

KINDS = [
    ("get", b"/x", {**BASE, b"METHOD": b"GET"}, b"", Kind.HTTP),
    ("handshake", b"/x", {**BASE, b"METHOD": b"WEBSOCKET_HANDSHAKE"}, b"accept", Kind.WEBSOCKET_HANDSHAKE),
    ("frame", b"/x", {**BASE, b"METHOD": b"WEBSOCKET", b"FLAGS": b"0x81"}, b"hi", Kind.WEBSOCKET_FRAME),
    ("json socket", b"@chat", {**SOCKET, b"METHOD": b"JSON"}, b"{}", Kind.JSON_SOCKET),
    ("xml socket", b"<chat", {**SOCKET, b"METHOD": b"XML"}, b"<chat/>", Kind.XML_SOCKET),
    ("disconnect", b"@*", {b"METHOD": b"JSON"}, GONE, Kind.DISCONNECT),
    ("credits", b"@*", {b"METHOD": b"JSON", b"DOWNLOAD_CREDITS": b"5"}, PAID, Kind.CREDITS),
    ("upload part", b"/x", {b"UPLOAD_STREAM": b"20480"}, b"data", Kind.UPLOAD_PART),
    ("first upload part", b"/x", {**BASE, b"METHOD": b"POST", b"UPLOAD_STREAM": b"0"}, b"", Kind.HTTP),
    # forged, or simply odd
    ("JSON /x HTTP/1.1", b"/x", {**BASE, b"METHOD": b"JSON"}, GONE, Kind.HTTP),
    ("XML /x HTTP/1.1", b"/x", {**BASE, b"METHOD": b"XML"}, GONE, Kind.HTTP),
    ("WEBSOCKET /x HTTP/1.1", b"/x", {**BASE, b"METHOD": b"WEBSOCKET", b"flags": b"0x81"}, b"", Kind.HTTP),
    ("socket says disconnect", b"@chat", {**SOCKET, b"METHOD": b"JSON"}, GONE, Kind.JSON_SOCKET),
    ("route @* says disconnect", b"@*", {**SOCKET, b"PATH": b"@*", b"METHOD": b"JSON"}, GONE, Kind.JSON_SOCKET),
    ("route @* says credits", b"@*", {**SOCKET, b"PATH": b"@*", b"METHOD": b"JSON"}, PAID, Kind.JSON_SOCKET),
    ("version and notice", b"@*", {b"METHOD": b"JSON", b"VERSION": b"HTTP/1.1"}, GONE, Kind.HTTP),
    ("one header too many", b"@*", {b"METHOD": b"JSON", b"x": b"y"}, GONE, Kind.INVALID),
    ("another body", b"@*", {b"METHOD": b"JSON"}, b'{"type": "disconnect"}', Kind.INVALID),
    ("another method", b"@*", {b"METHOD": b"XML"}, GONE, Kind.INVALID),
    ("another path", b"@x", {b"METHOD": b"JSON"}, GONE, Kind.INVALID),
    ("credits without amount", b"@*", {b"METHOD": b"JSON"}, PAID, Kind.INVALID),
    ("credits of nonsense", b"@*", {b"METHOD": b"JSON", b"DOWNLOAD_CREDITS": b"-5"}, PAID, Kind.INVALID),
    ("no version", b"/x", {b"PATH": b"/x", b"METHOD": b"GET"}, b"", Kind.INVALID),
    ("socket with a web path", b"/x", {b"PATH": b"/x", b"METHOD": b"JSON"}, b"", Kind.INVALID),
    ("no method", b"/x", BASE, b"", Kind.INVALID),
    ("nothing", b"/x", {}, b"", Kind.INVALID),
]


@pytest.mark.parametrize(("path", "headers", "body", "kind"), [case[1:] for case in KINDS], ids=[c[0] for c in KINDS])
def test_kinds(path: bytes, headers: dict[bytes, Any], body: bytes, kind: Kind) -> None:
    raw = tagged(headers, body, path)
    assert mongrel2.classify(mongrel2.parse(raw)) is kind
    assert mongrel2.notice(raw) is (kind if kind in (Kind.DISCONNECT, Kind.CREDITS) else None)


@pytest.mark.parametrize(
    "raw", [DISCONNECT_JSON, DISCONNECT_TNET, b'app-1 7 @* 19:{ "METHOD":"JSON" },21:' + GONE + b","]
)
def test_disconnect_notices(raw: bytes) -> None:
    assert mongrel2.notice(raw) is Kind.DISCONNECT
    assert mongrel2.classify(mongrel2.parse(raw)) is Kind.DISCONNECT


@pytest.mark.parametrize("raw", [CREDITS_JSON, CREDITS_TNET])
def test_credit_notices(raw: bytes) -> None:
    assert mongrel2.notice(raw) is Kind.CREDITS
    assert mongrel2.granted_credits(mongrel2.parse(raw)) == 1041


@pytest.mark.parametrize(
    "raw", [JSON, TNET, b"", b"app-1 7 @* garbage", DISCONNECT_TNET + b"x", b"x " + DISCONNECT_TNET]
)
def test_no_notices(raw: bytes) -> None:
    assert mongrel2.notice(raw) is None


# --- answers --------------------------------------------------------------------------


def test_answer_is_one_message() -> None:
    assert b"".join(mongrel2.answer(b"app-1", b"7", b"HTTP", b"/1.1")) == b"app-1 1:7, HTTP/1.1"
    assert mongrel2.head(b"app-1", b"123") == b"app-1 3:123, "
    assert mongrel2.close(b"app-1", b"7") == b"app-1 1:7, "


@pytest.mark.parametrize("parts", [(), (b"",), (b"", b"")])
def test_an_answer_never_closes_by_accident(parts: tuple[bytes, ...]) -> None:
    with pytest.raises(LocalProtocolError):
        mongrel2.answer(b"app-1", b"7", *parts)


@pytest.mark.parametrize("status", [400, 413, 500, 501, 502, 503, 504])
def test_error_answers_are_complete(status: int) -> None:
    answer = read_answer(mongrel2.error_answer(status, now=784111777.0), closed=True)
    assert answer.status == status
    assert answer.get("connection") == "close"
    assert answer.get("date") == "Sun, 06 Nov 1994 08:49:37 GMT"
    assert not answer.truncated
    assert answer.body.startswith(b"%d " % status)


def test_error_answer_details() -> None:
    answer = read_answer(mongrel2.error_answer(503, "Busy", "id-1", retry_after=5), closed=True)
    assert answer.get("retry-after") == "5"
    assert answer.body == b"503 Busy\nrequest id: id-1\n"
    head = read_answer(mongrel2.error_answer(500, head_only=True), method="HEAD", closed=True)
    assert head.body == b""
