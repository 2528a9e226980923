"""Whatever the client asks and the application answers, the environ and the bytes sent are correct."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hypothesis import given
from hypothesis import strategies as st
from serving import HeldBack, gateway, serve
from support.channel import FakeChannel, FakeClock, make_request
from support.validator import read_answer, validated

if TYPE_CHECKING:
    from collections.abc import Iterable

PIECES = st.lists(st.binary(max_size=5) | st.just(b"x" * 70_000), max_size=14)
STATUSES = st.sampled_from(["200 OK", "204 No Content", "304 Not Modified", "404 Not Found", "500 Oops"])


@given(
    PIECES,
    st.sampled_from([list, tuple, iter]),
    STATUSES,
    st.none() | st.integers(0, 30),
    st.sampled_from(["GET", "HEAD", "POST"]),
    st.sampled_from(["HTTP/1.0", "HTTP/1.1"]),
    st.sampled_from([{}, {"connection": "close"}, {"connection": "keep-alive"}]),
    st.integers(0, 3),
)
def test_every_answer_is_framed(
    pieces: list[bytes],
    make: Any,
    status: str,
    length: int | None,
    method: str,
    version: str,
    headers: Any,
    written: int,
) -> None:
    def app(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        extra = [] if length is None else [("Content-Length", str(length))]
        write = start_response(status, [("X-A", "b"), *extra])
        for piece in pieces[:written]:
            write(piece)
        return make(pieces[written:])  # type: ignore[no-any-return]

    served = serve(app, method, headers=headers, version=version)
    whole = b"".join(pieces)
    if method == "HEAD" or status[:3] in ("204", "304"):
        assert served.answer.body == b""
    else:
        assert served.answer.body == (whole if length is None else whole[:length])
        assert served.answer.truncated == (length is not None and len(whole) < length)
        assert (served.outcome.error is None) == (length is None or len(whole) == length)
    assert served.outcome.body_bytes == len(served.answer.body)
    assert served.outcome.closed == served.channel.closed


TEXT = st.text(st.characters(max_codepoint=255), max_size=10)
NAMES = st.sampled_from(
    ["host", "connection", "content-length", "content-type", "transfer-encoding", "cookie", "te", "expect",
     "x-mongrel2-upload-start", "x-mongrel2-upload-done", "x_y"]
) | TEXT.map(str.lower).filter(lambda name: not name.isupper() and name.isascii())  # fmt: skip
OWN = st.dictionaries(
    st.sampled_from(["QUERY", "PATTERN", "URL_SCHEME", "REMOTE_ADDR", "UPLOAD_STREAM", "DOWNLOAD_CREDITS", "FLAGS"]),
    st.none() | st.sampled_from(["", "/", "/a/", "/a(", "http", "https", "1"]),
    max_size=3,
)


@given(
    st.sampled_from(["GET", "HEAD", "WEBSOCKET", "WEBSOCKET_HANDSHAKE", "JSON"]),
    st.text(st.sampled_from("a/%2f.;=?~("), max_size=12).map("/".__add__),
    st.dictionaries(NAMES, TEXT | st.lists(TEXT, min_size=1, max_size=3), max_size=5),
    st.binary(max_size=8),
    OWN,
)
def test_every_request_gets_an_answer_or_an_end(method: str, uri: str, headers: Any, body: bytes, own: Any) -> None:
    seen = []

    def app(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        seen.append(environ["wsgi.input"].read())
        start_response("200 OK", [])
        return [b"x"]

    if own.get("URL_SCHEME", "http") not in (None, "http", "https"):
        own["URL_SCHEME"] = "http"  # Mongrel2 writes nothing else
    channel = FakeChannel()
    request = make_request(method, uri, headers, body, own=own)
    outcome = gateway(validated(app), FakeClock(), HeldBack()).handle(request, channel, "id-1")
    if channel.messages:
        answer = read_answer(channel.sent, method=method, closed=channel.closed)
        assert answer.status == outcome.status
        assert answer.status in ((200,) if seen else (400, 413, 501))
        assert seen in ([], [body])
    else:
        assert not seen
        assert (outcome.status, channel.closed) == (0, True)
