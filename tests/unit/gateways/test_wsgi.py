"""PEP 3333, and the rules of HTTP behind it."""

from __future__ import annotations

import io
import logging
import sys
from typing import TYPE_CHECKING, Any
from wsgiref.validate import validator as wsgiref_validator

import pytest
from serving import serve
from support.channel import FakeChannel

from m2serve.errors import LocalProtocolError
from m2serve.gateways.base import WRITE_ERROR

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

PLAIN = [("Content-Type", "text/plain")]


def plain(*pieces: bytes, status: str = "200 OK", headers: Any = PLAIN, make: Callable[[Any], Any] = list) -> Any:
    """An application that answers *pieces* in a container made by *make*."""

    def app(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        start_response(status, list(headers))
        return make(pieces)  # type: ignore[no-any-return]

    return app


def sized(length: int, *pieces: bytes, make: Callable[[Any], Any] = list, status: str = "200 OK") -> Any:
    return plain(*pieces, headers=[*PLAIN, ("Content-Length", str(length))], make=make, status=status)


class Closing:
    """A body that counts how often it is closed; fails before piece *fails*."""

    def __init__(self, *pieces: bytes, fails: int | None = None) -> None:
        self.pieces = pieces
        self.fails = fails
        self.given = 0
        self.closed = 0

    def __iter__(self) -> Any:
        for number, piece in enumerate(self.pieces):
            if number == self.fails:
                raise RuntimeError("half way")
            self.given += 1
            yield piece

    def close(self) -> None:
        self.closed += 1


def closing(body: Closing, status: str = "200 OK", headers: Any = PLAIN) -> Any:
    return plain(status=status, headers=headers, make=lambda _: body)


# --- one message, framing -------------------------------------------------------------


def test_hello() -> None:
    served = serve(plain(b"hello"))
    assert served.channel.messages == [
        b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\n"
        b"Server: m2serve\r\nContent-Length: 5\r\n\r\nhello"
    ]
    assert not served.channel.closed
    assert served.outcome == (200, 5, 4, 119 - 1, False, None, 0, 0, False)


def test_date_and_server_of_the_application_stay() -> None:
    headers = [("date", "Mon, 07 Nov 1994 08:49:37 GMT"), ("SERVER", "mine")]
    served = serve(plain(b"x", headers=headers))
    assert served.answer.get("date") == "Mon, 07 Nov 1994 08:49:37 GMT"
    assert served.answer.get("server") == "mine"


CLOSE = {"connection": "close"}
KEEP = {"connection": "keep-alive"}
GEN = iter
FRAMINGS = [
    # version, request headers, application, framing, closed, connection
    ("HTTP/1.1", {}, plain(b"ab"), "length", False, None),
    ("HTTP/1.1", {}, plain(b"ab", b"c"), "length", False, None),
    ("HTTP/1.1", {}, plain(b"ab", b"c", make=tuple), "length", False, None),
    ("HTTP/1.1", {}, plain(), "length", False, None),
    ("HTTP/1.1", {}, plain(b""), "length", False, None),
    ("HTTP/1.1", {}, plain(make=GEN), "length", False, None),
    ("HTTP/1.1", {}, plain(b"", b"", make=GEN), "length", False, None),
    ("HTTP/1.1", {}, plain(b"ab", make=GEN), "chunked", False, None),
    ("HTTP/1.1", {}, plain(b"", b"ab", b"", b"c", make=GEN), "chunked", False, None),
    ("HTTP/1.1", {}, sized(3, b"ab", b"c", make=GEN), "length", False, None),
    ("HTTP/1.1", CLOSE, plain(b"ab"), "length", True, "close"),
    ("HTTP/1.1", CLOSE, plain(b"ab", make=GEN), "chunked", True, "close"),
    ("HTTP/1.1", {"connection": "Foo , CLOSE"}, plain(b"ab"), "length", True, "close"),
    ("HTTP/1.1", {"connection": ["TE", "Close"]}, plain(b"ab"), "length", True, "close"),
    ("HTTP/1.1", {"connection": "closed"}, plain(b"ab"), "length", False, None),
    ("HTTP/1.1", KEEP, plain(b"ab"), "length", False, None),
    ("HTTP/1.0", {}, plain(b"ab"), "length", True, "close"),
    ("HTTP/1.0", {}, plain(b"ab", make=GEN), "none", True, "close"),
    ("HTTP/1.0", KEEP, plain(b"ab"), "length", False, "keep-alive"),
    ("HTTP/1.0", {"connection": "Keep-Alive"}, sized(2, b"ab", make=GEN), "length", False, "keep-alive"),
    ("HTTP/1.0", KEEP, plain(b"ab", make=GEN), "none", True, "close"),
    ("HTTP/1.0", {"connection": "keep-alive, close"}, plain(b"ab"), "length", True, "close"),
]


@pytest.mark.parametrize(("version", "headers", "app", "framing", "closed", "connection"), FRAMINGS)
def test_framing(
    version: str, headers: dict[str, str], app: Any, framing: str, closed: bool, connection: str | None
) -> None:
    served = serve(app, headers=headers, version=version)
    answer = served.answer
    assert answer.body in (b"ab", b"abc", b"")
    assert not answer.truncated
    assert (answer.get("content-length") is not None) == (framing == "length")
    assert (answer.get("transfer-encoding") is not None) == (framing == "chunked")
    assert served.channel.closed is served.outcome.closed is closed
    assert answer.get("connection") == connection
    assert served.outcome.body_bytes == len(answer.body)
    assert served.outcome.error is None


BODYLESS = [
    ("HEAD", plain(b"hello"), "5"),
    ("HEAD", plain(b"he", b"llo"), "5"),
    ("HEAD", plain(), None),
    ("HEAD", plain(b""), None),
    ("HEAD", sized(9, b""), "9"),
    ("HEAD", sized(9, b"hello"), "9"),
    ("HEAD", sized(2, b"hello", make=iter), "2"),
    ("HEAD", sized(9, make=iter), "9"),
    ("HEAD", plain(b"hello", make=iter), None),
    ("GET", plain(b"hello", status="204 No Content"), None),
    ("GET", sized(5, b"hello", status="204 No Content"), None),
    ("GET", plain(b"hello", b"x", status="204 No Content", make=iter), None),
    ("GET", plain(b"hello", status="304 Not Modified"), None),
    ("GET", sized(5, b"", status="304 Not Modified"), "5"),
    ("GET", sized(5, b"hello", status="304 Not Modified", make=iter), "5"),
    ("GET", sized(2, b"hello", status="304 Not Modified", make=iter), "2"),
    ("GET", sized(2, b"hello", status="304 Not Modified"), "2"),
    ("GET", sized(2, b"hello", status="204 No Content", make=iter), None),
]


@pytest.mark.parametrize(("method", "app", "length"), BODYLESS)
def test_never_a_body(method: str, app: Any, length: str | None) -> None:
    served = serve(app, method)
    assert served.answer.body == b""
    assert served.answer.get("content-length") == length
    assert served.answer.get("transfer-encoding") is None
    assert served.outcome.body_bytes == 0
    assert served.outcome.error is None
    assert not served.channel.closed
    assert len(served.channel.messages) == 1


def test_an_informational_status_ends_the_connection() -> None:
    served = serve(plain(b"x", status="103 Early Hints"))
    assert served.answer.status == 103
    assert served.channel.closed


def test_head_does_not_run_through_an_endless_body() -> None:
    def endless() -> Any:
        while True:
            yield b"x" * 1000

    served = serve(plain(make=lambda _: endless()), "HEAD")
    assert served.answer.status == 200


@pytest.mark.parametrize("make", [list, tuple, iter])
def test_body_longer_than_said(make: Any, errors: pytest.LogCaptureFixture) -> None:
    served = serve(sized(3, b"ab", b"cdef", b"gh", make=make))
    assert served.answer.body == b"abc"
    assert served.channel.closed
    assert served.outcome.body_bytes == 3
    assert "longer than Content-Length" in str(served.outcome.error)
    assert "longer than Content-Length" in errors.text
    assert "id-1" in errors.text


def test_first_piece_longer_than_said_is_announced() -> None:
    assert serve(sized(3, b"abcdef", make=iter)).answer.get("connection") == "close"
    assert serve(sized(0, b"abcdef", make=iter)).answer.body == b""
    assert serve(sized(0, b"abcdef")).answer.body == b""


@pytest.mark.parametrize("make", [list, tuple, iter])
def test_body_shorter_than_said(make: Any, errors: pytest.LogCaptureFixture) -> None:
    served = serve(sized(9, b"ab", b"c", make=make))
    assert served.answer == (*served.answer[:2], b"abc", True)
    assert served.channel.closed
    assert "6 bytes shorter than Content-Length" in errors.text
    assert serve(sized(9)).answer.truncated


# --- write() --------------------------------------------------------------------------


def test_write() -> None:
    def app(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        write = start_response("200 OK", PLAIN[:])
        write(b"a")
        write(b"")
        write(b"b")
        return [b"c", b"d"]

    served = serve(app)
    assert served.answer.body == b"abcd"
    assert served.answer.get("transfer-encoding") == "chunked"
    assert served.channel.messages[0].endswith(b"\r\n\r\n1\r\na\r\n")  # at once


def test_write_then_nothing() -> None:
    def app(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        start_response("200 OK", [("Content-Length", "2")])(b"ab")
        return []

    served = serve(app)
    assert served.answer.body == b"ab"
    assert len(served.channel.messages) == 1


def test_an_empty_write_sends_no_head() -> None:
    def app(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        start_response("200 OK", PLAIN[:])(b"")
        raise RuntimeError("still time for 500")

    assert serve(app).answer.status == 500


# --- start_response -------------------------------------------------------------------


def test_generator_that_starts_late() -> None:
    def app(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        start_response("201 Created", PLAIN[:])
        yield b"x"

    assert serve(app).answer.status == 201


def test_exc_info_replaces_the_head() -> None:
    def app(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        start_response("200 OK", [("X-A", "1")])
        try:
            raise ValueError("x")
        except ValueError:
            start_response("500 Oops", [("X-B", "1")], sys.exc_info())
        return [b"sorry"]

    served = serve(app)
    assert (served.answer.status, served.answer.get("x-a"), served.answer.get("x-b")) == (500, None, "1")
    assert served.outcome.error is None


def test_exc_info_by_name_and_without_exception() -> None:
    def app(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        start_response("200 OK", [])
        start_response("201 OK", [], exc_info=(None, None, None))
        return [b"x"]

    assert serve(app, wrap=lambda app: app).answer.status == 201


def test_exc_info_after_the_head_is_raised_again(errors: pytest.LogCaptureFixture) -> None:
    def app(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        start_response("200 OK", PLAIN[:])
        yield b"first"
        try:
            raise ValueError("mine")
        except ValueError:
            start_response("500 Oops", [], sys.exc_info())
        yield b"never"

    served = serve(app)
    assert served.answer.body == b"first"
    assert served.answer.truncated
    assert served.channel.closed
    assert served.outcome.error == "ValueError: mine"
    assert "ValueError: mine" in errors.text


def test_second_start_response() -> None:
    def app(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        start_response("200 OK", [])
        start_response("200 OK", [])
        return []

    served = serve(app)
    assert served.answer.status == 500
    assert "again without exc_info" in str(served.outcome.error)


def test_a_refused_head_can_be_replaced() -> None:
    def app(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        try:
            start_response("200 OK", [("X-A", "b\r\nc")])
        except LocalProtocolError:
            start_response("400 Bad", [])
        return [b"x"]

    assert serve(app).answer.status == 400


# --- faults of the application --------------------------------------------------------


def raising(error: BaseException) -> Any:
    def app(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        raise error

    return app


def never_starts(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
    return [b"x"]


class Unprintable(Exception):
    def __str__(self) -> str:
        raise RuntimeError("not even that")


FAULTS = [
    (raising(ValueError("boom")), "ValueError: boom"),
    (raising(SystemExit(3)), "SystemExit: 3"),
    (raising(KeyboardInterrupt()), "KeyboardInterrupt"),
    (raising(GeneratorExit()), "GeneratorExit"),
    (raising(Unprintable()), "Unprintable"),
    (never_starts, "did not call start_response"),
    (plain(make=lambda _: None), "TypeError"),
    (plain(make=lambda _: b"bytes"), "returned bytes"),
    (plain(make=lambda _: "text"), "returned str"),
    (plain(make=lambda _: ["text"]), "must yield bytes, not str"),
    (plain(make=lambda _: [b"x", None]), "must yield bytes, not NoneType"),
    (plain(make=lambda _: iter(["text"])), "must yield bytes, not str"),
    (plain(make=lambda _: [bytearray(b"x")]), "must yield bytes, not bytearray"),
    (plain(b"x", status="200"), "status"),
    (plain(b"x", status=200), "status"),  # type: ignore[arg-type]
    (plain(b"x", headers=[("X", "a\nb")]), "control character in header X"),
    (plain(b"x", headers=[("Connection", "close")]), "hop-by-hop"),
    (plain(b"x", headers=[("X", "\u0100")]), "Latin-1"),
    (plain(b"x", headers=[("X", b"a")]), "must be str"),
    (plain(b"x", headers=[["X", "a"]]), "must be a tuple"),
    (lambda environ: None, "TypeError"),
    (None, "TypeError"),
]


@pytest.mark.parametrize(("app", "message"), FAULTS)
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_failure_before_the_first_byte(app: Any, message: str, method: str, errors: pytest.LogCaptureFixture) -> None:
    served = serve(app, method, "/x?\xe9", wrap=lambda app: app)
    assert served.answer.status == served.outcome.status == 500
    assert served.channel.closed
    assert served.outcome.closed
    assert message in str(served.outcome.error)
    if method == "GET":
        assert b"id-1" in served.answer.body
    record = errors.records[-1]
    assert (record.levelno, record.exc_info is not None) == (logging.ERROR, True)
    assert "id-1" in record.getMessage()


def test_failure_after_the_first_byte(errors: pytest.LogCaptureFixture) -> None:
    body = Closing(b"one", b"two", fails=1)
    served = serve(closing(body))
    assert served.answer.body == b"one"
    assert served.answer.truncated
    assert served.channel.closed
    assert body.closed == 1
    assert served.outcome[:2] == (200, 3)
    assert "half way" in errors.text
    assert "Traceback" in errors.text


def test_a_type_error_half_way_ends_the_answer() -> None:
    served = serve(plain(make=lambda _: iter([b"x", "text"])))
    assert served.answer.truncated
    assert served.channel.closed


# --- close() --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "method", "fails", "headers", "gone_after"),
    [
        ("200 OK", "GET", None, PLAIN, None),
        ("200 OK", "GET", 0, PLAIN, None),
        ("200 OK", "GET", 1, PLAIN, None),
        ("200 OK", "GET", None, PLAIN, 1),
        ("200 OK", "HEAD", None, PLAIN, None),
        ("204 No", "GET", None, PLAIN, None),
        ("304 No", "GET", None, PLAIN, None),
        ("200 OK", "GET", None, [("Content-Length", "1")], None),
        ("200 OK", "GET", None, [("Content-Length", "99")], None),
        ("200", "GET", None, PLAIN, None),
    ],
)
def test_close_is_called_once(
    status: str, method: str, fails: int | None, headers: Any, gone_after: int | None
) -> None:
    body = Closing(b"one", b"two", fails=fails)

    def app(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        try:
            start_response(status, headers)
        except LocalProtocolError:
            pass
        return body

    serve(app, method, channel=FakeChannel(gone_after))
    assert body.closed == 1


def test_close_that_fails(errors: pytest.LogCaptureFixture) -> None:
    class Body(Closing):
        def close(self) -> None:
            raise SystemExit("late")

    served = serve(closing(Body(b"x")))
    assert served.answer.body == b"x"
    assert not served.answer.truncated
    assert "close(): SystemExit: late" in str(served.outcome.error)
    assert "late" in errors.text


def test_a_generator_is_closed() -> None:
    told = []

    def generate() -> Any:
        try:
            yield b"a"
            yield b"b"
        finally:
            told.append("closed")

    serve(plain(make=lambda _: generate()), channel=FakeChannel(gone_after=1))
    assert told == ["closed"]


# --- the client leaves ----------------------------------------------------------------


def test_a_client_gone_before_the_call() -> None:
    called = []
    served = serve(lambda *_: called.append(1), channel=FakeChannel(gone_after=0))
    assert (called, served.outcome.status) == ([], 499)


@pytest.mark.parametrize("piece", [b"x", b""])
def test_a_client_that_leaves_stops_the_iteration(piece: bytes, errors: pytest.LogCaptureFixture) -> None:
    body = Closing(b"first", *[piece] * 100)
    served = serve(closing(body), channel=FakeChannel(gone_after=1))
    assert body.given == 2
    assert body.closed == 1
    size = served.outcome.header_bytes
    assert served.outcome == (200, 5, 4, size, True, "the client has left", 0, WRITE_ERROR, False)
    assert not [record for record in errors.records if record.levelno >= logging.WARNING]


def test_a_client_that_leaves_during_the_call() -> None:
    channel = FakeChannel()

    def app(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        start_response("200 OK", PLAIN[:])
        channel.gone = True
        return [b"x"]

    assert serve(app, channel=channel).outcome.status == 499


def test_a_client_that_leaves_and_an_application_that_fails_of_it(errors: pytest.LogCaptureFixture) -> None:
    channel = FakeChannel()

    def app(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        channel.gone = True
        raise ValueError("lost")

    served = serve(app, channel=channel)
    assert served.outcome.error == "ValueError: lost"
    assert "lost" in errors.text


# --- refusals -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("headers", "own", "status"),
    [
        ({"content-length": ["1", "2"]}, {}, 400),
        ({"content-length": "30000", "x-mongrel2-upload-start": "/etc/passwd"}, {}, 413),
        ({}, {"METHOD": "WEBSOCKET_HANDSHAKE"}, 501),
    ],
)
def test_refusals_never_reach_the_application(headers: Any, own: Any, status: int) -> None:
    served = serve(raising(AssertionError("called")), headers=headers, own=own)
    assert (served.answer.status, served.channel.closed, served.outcome.app) == (status, True, -1)


def test_refusals_without_words() -> None:
    frame = serve(None, own={"METHOD": "WEBSOCKET", "FLAGS": "0x81"})
    assert (frame.channel.messages, frame.channel.closed) == ([], True)
    part = serve(None, own={"METHOD": None, "UPLOAD_STREAM": "1"})
    assert (part.channel.messages, part.channel.closed) == ([], False)
    gone = serve(None, headers={"content-length": "5"}, channel=FakeChannel(gone_after=0))
    assert gone.outcome.closed is False


# --- mounts, environ ------------------------------------------------------------------


def test_mounts_are_appended_to_the_route() -> None:
    def app(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        start_response("200 OK", [])
        return [f"{environ['SCRIPT_NAME']} {environ['PATH_INFO']}".encode()]

    served = serve(app, "GET", "/site/mount/x%20y", pattern="/site/")
    assert served.answer.body == b"/site/mount /x y"
    assert served.outcome.app == 3


def test_the_body_reaches_the_application() -> None:
    def app(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        start_response("200 OK", [])
        return list(environ["wsgi.input"])

    assert serve(app, "POST", "/", body=b"a\nb\nc").answer.body == b"a\nb\nc"


# --- file wrapper ---------------------------------------------------------------------


class File(io.BytesIO):
    def __init__(self, data: bytes) -> None:
        super().__init__(data)
        self.sizes: list[int] = []

    def read(self, size: int | None = -1, /) -> bytes:
        self.sizes.append(size or 0)
        return super().read(size)


def filed(file: Any, headers: Any = (), seek: int = 0) -> Any:
    def app(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        file.seek(seek)
        start_response("200 OK", list(headers))
        return environ["wsgi.file_wrapper"](file)  # type: ignore[no-any-return]

    return app


def test_file_from_where_it_stands() -> None:
    data = bytes(range(256)) * 4096
    file = File(data)
    served = serve(filed(file, seek=1000))
    assert served.answer.body == data[1000:]
    assert file.closed


def test_a_large_file_is_few_messages() -> None:
    """Mongrel2 cuts a client off that has more than 16 waiting."""
    data = b"x" * 30_000_000
    served = serve(filed(File(data), [("Content-Length", str(len(data)))]))
    assert len(served.answer.body) == len(data)
    assert len(served.channel.messages) <= 10


def test_a_file_is_read_no_further_than_said(errors: pytest.LogCaptureFixture) -> None:
    file = File(b"x" * 1_000_000)
    served = serve(filed(file, [("Content-Length", "100000")]))
    assert len(served.answer.body) == 100_000
    assert served.outcome.error is None
    assert not served.channel.closed
    assert sum(file.sizes) < 200_000


def test_text_file() -> None:
    assert serve(filed(io.StringIO("text"))).answer.status == 500
    assert serve(filed(File(b""))).answer.get("content-length") == "0"
    assert serve(filed(File(b"abc")), "HEAD").answer.body == b""


# --- somebody else's validator --------------------------------------------------------


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("method", ["GET", "HEAD", "POST"])
@pytest.mark.parametrize("make", [list, iter, tuple])
def test_wsgiref_finds_nothing(method: str, make: Any) -> None:
    def app(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        environ["wsgi.input"].read(3)
        environ["wsgi.input"].readline()
        start_response("200 OK", PLAIN[:])
        return make([b"a", b"b"])  # type: ignore[no-any-return]

    body = b"one\ntwo" if method == "POST" else b""
    served = serve(app, method, "/a%20b?c", body=body, wrap=wsgiref_validator)
    assert (served.answer.status, served.outcome.error) == (200, None)


def test_wsgiref_finds_nothing_in_write_and_errors() -> None:
    def app(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        environ["wsgi.errors"].write("x\n")
        environ["wsgi.errors"].flush()
        start_response("200 OK", PLAIN[:])(b"x")
        return [b"y"]

    assert serve(app, wrap=wsgiref_validator).answer.body == b"xy"
