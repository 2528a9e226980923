"""``http:``: what another server is asked, and what becomes of its answer."""

from __future__ import annotations

import socket
import threading
from typing import TYPE_CHECKING, Any

import pytest

from m2serve.config.addresses import SocketAddress
from m2serve.errors import BodyError
from m2serve.gateways.routing.proxy import Proxy

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

OK = b"HTTP/1.1 200 Fine\r\nContent-Type: text/x\r\nContent-Length: 5\r\n\r\nhello"
ENVIRON = {
    "REQUEST_METHOD": "GET",
    "REQUEST_URI": "/a%20b?x=\xe9&y",
    "SCRIPT_NAME": "",
    "PATH_INFO": "/a b",
    "SERVER_NAME": "shop",
    "HTTP_HOST": "shop.test",
    "REMOTE_ADDR": "10.0.0.9",
    "wsgi.url_scheme": "https",
}


class Source:
    """``wsgi.input``."""

    def __init__(self, data: bytes, most: int = 1 << 20) -> None:
        self._data, self._most = data, most

    def read(self, size: int) -> bytes:
        size = min(size, self._most)
        found, self._data = self._data[:size], self._data[size:]
        return found


class Other:
    """The other server: one connection, one answer; None: it says nothing."""

    def __init__(self, answer: bytes | None, path: str = "", *, until: bytes = b"\r\n\r\n") -> None:
        self._sock = socket.socket(socket.AF_UNIX if path else socket.AF_INET)
        self._sock.bind(path or ("127.0.0.1", 0))
        self._sock.listen(1)
        self.address = SocketAddress(path=path) if path else SocketAddress(*self._sock.getsockname())
        self.asked = b""
        self._answer, self._until = answer, until
        self.over = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        sock, _ = self._sock.accept()
        with sock:
            while not self.asked.endswith(self._until) and (more := sock.recv(65536)):
                self.asked += more
            if self._answer is None:
                self.over.wait(30)
            else:
                sock.sendall(self._answer)

    def close(self) -> None:
        self.over.set()
        self._thread.join(30)
        self._sock.close()


@pytest.fixture
def other() -> Iterator[Callable[..., Other]]:
    made: list[Other] = []

    def start(*args: Any, **more: Any) -> Other:
        made.append(Other(*args, **more))
        return made[-1]

    yield start
    for one in made:
        one.close()


def ask(address: SocketAddress, body: bytes = b"", host: str = "", patience: float = 30.0, **more: Any) -> Any:
    """Status, headers and body."""
    told: list[Any] = []
    environ = {**ENVIRON, "wsgi.input": Source(body), **more}
    result: Any = Proxy(address, host, patience)(environ, lambda status, headers: told.extend((status, headers)))
    try:
        return told[0], dict(told[1]), b"".join(result)
    finally:
        getattr(result, "close", lambda: None)()


def lines(asked: bytes) -> list[str]:
    return asked.partition(b"\r\n\r\n")[0].decode("latin-1").split("\r\n")


def test_what_is_asked(other: Callable[..., Other]) -> None:
    server = other(OK)
    got = ask(
        server.address,
        HTTP_ACCEPT="a, b",
        HTTP_X_MINE="\xe9",
        HTTP_CONNECTION="keep-alive, X-Hop",
        HTTP_X_HOP="1",
        HTTP_TE="trailers",
        HTTP_X_FORWARDED_FOR="1.2.3.4",
        HTTP_X_FORWARDED_PROTO="http",
    )
    assert got == ("200 Fine", {"Content-Type": "text/x", "Content-Length": "5"}, b"hello")
    assert sorted(lines(server.asked)[1:]) == [
        "Accept: a, b",
        "Connection: close",
        "Host: shop.test",
        "X-Forwarded-For: 1.2.3.4, 10.0.0.9",
        "X-Forwarded-Proto: https",
        "X-Mine: \xe9",
    ]
    assert lines(server.asked)[0] == "GET /a%20b?x=%E9&y HTTP/1.1"


@pytest.mark.parametrize(
    ("uri", "path", "line"),
    [("*", "", "/?q"), ("http://x/y", "/caf\xe9 \x01", "/caf%E9%20%01?q"), ("/a b\x01", "/", "/a%20b%01")],
)
def test_other_lines(other: Callable[..., Other], uri: str, path: str, line: str) -> None:
    server = other(OK)
    ask(server.address, host="inner:81", REQUEST_URI=uri, PATH_INFO=path, QUERY_STRING="q")
    assert lines(server.asked)[:2] == [f"GET {line} HTTP/1.1", "Host: inner:81"]


def test_its_client_stands_there_once(other: Callable[..., Other]) -> None:
    server = other(OK)
    ask(server.address, HTTP_X_FORWARDED_FOR="1.2.3.4, 10.0.0.9")
    assert "X-Forwarded-For: 1.2.3.4, 10.0.0.9" in lines(server.asked)


def test_bodies(other: Callable[..., Other], tmp_path: Path) -> None:
    body = b"x" * 300_000 + b"end"
    server = other(OK, str(tmp_path / "sock"), until=b"end")
    assert ask(server.address, body, REQUEST_METHOD="POST", CONTENT_LENGTH=str(len(body)), CONTENT_TYPE="text/y")[2]
    assert server.asked.endswith(b"\r\n\r\n" + body)
    assert {"Content-Type: text/y", f"Content-Length: {len(body)}"} <= set(lines(server.asked))
    server = other(OK, until=b"0\r\n\r\n")
    assert ask(server.address, b"of unknown length", REQUEST_METHOD="POST")[2]
    assert "Transfer-Encoding: chunked" in lines(server.asked)
    assert server.asked.endswith(b"\r\n\r\n11\r\nof unknown length\r\n0\r\n\r\n")


def test_answers_of_all_lengths(other: Callable[..., Other]) -> None:
    chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nX-A: 1\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"
    assert ask(other(chunked).address) == ("200 OK", {"X-A": "1"}, b"abcde")
    assert ask(other(b"HTTP/1.0 200\r\nX-A: 1\r\n\r\nto the end").address) == ("200", {"X-A": "1"}, b"to the end")
    head = b"HTTP/1.1 304 Not Modified\r\nConnection: x-hop, close\r\nX-Hop: 1\r\nETag: a\r\n\r\n"
    assert ask(other(head).address) == ("304 Not Modified", {"ETag": "a"}, b"")
    got = ask(other(b"HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n").address, REQUEST_METHOD="HEAD")
    assert got == ("200 OK", {"Content-Length": "7"}, b"")


def test_nobody_is_there(tmp_path: Path) -> None:
    status, headers, body = ask(SocketAddress(path=str(tmp_path / "nothing")))
    assert (status, body, headers["Content-Length"]) == ("502 Bad Gateway", b"Bad Gateway\n", "12")
    assert ask(SocketAddress(path=str(tmp_path / "nothing")), REQUEST_METHOD="HEAD")[2] == b""


@pytest.mark.parametrize("answer", [b"", b"nonsense\r\n\r\n", b"HTTP/1.1 101 Switching Protocols\r\n\r\n"])
def test_what_is_no_answer(other: Callable[..., Other], answer: bytes) -> None:
    assert ask(other(answer).address)[0] == "502 Bad Gateway"


def test_one_that_says_nothing(other: Callable[..., Other]) -> None:
    assert ask(other(None).address, patience=0.05)[0] == "504 Gateway Timeout"


def test_one_that_breaks_off(other: Callable[..., Other]) -> None:
    """What is short of its length is seen by whoever sends it on."""
    got = ask(other(b"HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\nabc").address)
    assert got == ("200 OK", {"Content-Length": "7"}, b"abc")


def test_a_client_that_sends_no_more(other: Callable[..., Other]) -> None:
    class Broken(Source):
        def read(self, size: int) -> bytes:
            raise BodyError("nothing came", status=408)

    source = Broken(b"")
    with pytest.raises(BodyError):
        ask(other(OK).address, **{"wsgi.input": source, "CONTENT_LENGTH": "5", "REQUEST_METHOD": "POST"})
