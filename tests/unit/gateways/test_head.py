"""Heads of answers, as applications give them."""

from __future__ import annotations

from typing import Any

import pytest

from m2serve.errors import LocalProtocolError
from m2serve.wire.head import HeadWriter
from m2serve.wire.httpdate import http_date

BAD_STATUSES = [
    "200", "", "20 OK", "2000 OK", "OK", "abc OK", " 200 OK", "200\tOK", "200 OK\r\nX: y", "200 O\x00K", "099 X",
    "200 \u0100", b"200 OK", 200, None, "\u0662\u0660\u0660 OK",
]  # fmt: skip


@pytest.mark.parametrize("status", BAD_STATUSES)
def test_bad_statuses(status: object) -> None:
    with pytest.raises(LocalProtocolError):
        HeadWriter().status(status)


def test_good_statuses() -> None:
    writer = HeadWriter()
    for _ in range(2):  # the second time from memory
        assert writer.status("200 OK") == (200, b"HTTP/1.1 200 OK\r\n")
    assert writer.status("200 ") == (200, b"HTTP/1.1 200 \r\n")
    assert writer.status("299 caf\xe9") == (299, b"HTTP/1.1 299 caf\xe9\r\n")


BAD_HEADERS: list[Any] = [
    None, (), (("a", "b"),), {"a": "b"}, [["a", "b"]], ["ab"], [("a",)], [("a", "b", "c")], [(b"a", "b")],
    [("a", b"b")], [("a", 1)], [("a", None)], [(["a"], "b")], [("", "b")], [("a b", "c")], [("a:", "b")],
    [("a\n", "b")], [("a", "b\r\nSet-Cookie: x")], [("a", "b\n")], [("a", "\rb")], [("a", "b\x00")], [("a", "b\x7f")],
    [("a", "\u0100")], [("\xe9", "b")], [("a", "中")],
    [("Connection", "close")], [("connection", "x")], [("Keep-Alive", "1")], [("Transfer-Encoding", "chunked")],
    [("Upgrade", "h2")], [("TE", "x")], [("Trailer", "x")], [("Proxy-Connection", "x")], [("Proxy-Authenticate", "x")],
    [("Content-Length", "")], [("Content-Length", "-1")], [("Content-Length", "+1")], [("Content-Length", "1 ")],
    [("Content-Length", "1, 1")], [("Content-Length", "\xb2")], [("Content-Length", "9" * 30)],
    [("Content-Length", "1"), ("content-length", "1")],
]  # fmt: skip


@pytest.mark.parametrize("headers", BAD_HEADERS, ids=ascii)
def test_bad_headers(headers: object) -> None:
    writer = HeadWriter()
    for _ in range(2):
        with pytest.raises(LocalProtocolError):
            writer.headers(headers)


def test_good_headers() -> None:
    block = HeadWriter().headers(
        [("X-A", "caf\xe9\tx"), ("content-LENGTH", "12"), ("date", "d"), ("SERVER", "s"), ("X-A", "")]
    )
    assert block.lines == b"X-A: caf\xe9\tx\r\ndate: d\r\nSERVER: s\r\nX-A: \r\n"
    assert block[1:] == (4, 12, True, True)
    assert HeadWriter().headers([]) == (b"", 0, None, False, False)


def test_memory_stays_small() -> None:
    writer = HeadWriter()
    for number in range(3000):
        writer.status(f"200 {number}")
        writer.headers([(f"X-{number}", "")])
    assert len(writer._statuses) <= 1024
    assert len(writer._kinds) <= 1024


def test_http_date() -> None:
    assert http_date(784111777.9) == b"Sun, 06 Nov 1994 08:49:37 GMT"
