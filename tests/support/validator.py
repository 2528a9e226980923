"""Strict judges of both sides of a gateway: the environ it makes, the bytes it sends.

``validated`` wraps an application and raises on an environ that PEP 3333 does not allow; ``read_answer`` parses
what was sent and raises on anything that is not exactly framed HTTP/1.1.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
STATUS_LINE = re.compile(rb"HTTP/1\.1 ([1-9][0-9]{2}) ([\t\x20-\x7e\x80-\xff]*)")
HEADER_LINE = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+): ([\t\x20-\x7e\x80-\xff]*)")
CHUNK_SIZE = re.compile(rb"[1-9a-f][0-9a-f]*")
DATE = re.compile(r"(Mon|Tue|Wed|Thu|Fri|Sat|Sun), \d\d [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d GMT")
ONCE = {"content-length", "transfer-encoding", "connection", "date", "server"}

REQUIRED = {
    "REQUEST_METHOD", "SCRIPT_NAME", "PATH_INFO", "QUERY_STRING", "SERVER_NAME", "SERVER_PORT", "SERVER_PROTOCOL",
    "REMOTE_ADDR", "REQUEST_URI", "RAW_URI", "wsgi.version", "wsgi.url_scheme", "wsgi.input", "wsgi.errors",
    "wsgi.multithread", "wsgi.multiprocess", "wsgi.run_once", "wsgi.input_terminated", "wsgi.file_wrapper",
    "m2serve.request_id", "m2serve.client", "m2serve.endpoint",
}  # fmt: skip
OF_MONGREL2 = {"mongrel2.sender", "mongrel2.conn_id"}
"""What came by a door of ours has nothing of Mongrel2's."""


class Fault(AssertionError):
    """What the judges found."""


def need(condition: object, message: str) -> None:
    if not condition:
        raise Fault(message)


# --- the environ ----------------------------------------------------------------------


def check_environ(environ: object) -> None:
    """Raise on what an application must not be given."""
    if type(environ) is not dict:
        raise Fault("the environ must be a dict, no subclass")
    behind = any(key.startswith("mongrel2.") for key in environ)
    missing = (REQUIRED | OF_MONGREL2 if behind else REQUIRED) - environ.keys()
    need(not missing, f"missing: {sorted(missing)}")
    for key, value in environ.items():
        need(type(key) is str, f"key {key!r}")
        if "." not in key:
            need(type(value) is str, f"{key} is {type(value).__name__}")
            need(all(ord(char) < 256 for char in value), f"{key} is not bytes in disguise")
            need(key == key.upper(), f"{key} is not upper case")
        if key.startswith("HTTP_"):
            need("-" not in key and TOKEN.fullmatch(key), f"{key!r} is no variable for a header")
    for key in ("HTTP_CONTENT_TYPE", "HTTP_CONTENT_LENGTH"):
        need(key not in environ, f"{key} has a variable of its own")
    _check_path(environ)
    need(environ["wsgi.version"] == (1, 0), "wsgi.version")
    need(environ["wsgi.url_scheme"] in ("http", "https"), "wsgi.url_scheme")
    for key in ("multithread", "multiprocess", "run_once", "input_terminated"):
        need(type(environ[f"wsgi.{key}"]) is bool, f"wsgi.{key} is no bool")
    need(callable(environ["wsgi.file_wrapper"]), "wsgi.file_wrapper")
    for method in ("write", "writelines", "flush"):
        need(callable(getattr(environ["wsgi.errors"], method, None)), f"wsgi.errors has no {method}")
    need(environ["SERVER_NAME"], "SERVER_NAME is empty")
    need(environ["SERVER_PORT"].isdigit() and 0 < int(environ["SERVER_PORT"]) < 65536, "SERVER_PORT")
    need(re.fullmatch(r"HTTP/1\.[01]", environ["SERVER_PROTOCOL"]), "SERVER_PROTOCOL")
    need(TOKEN.fullmatch(environ["REQUEST_METHOD"]), "REQUEST_METHOD")


def _check_path(environ: dict[str, Any]) -> None:
    script, path = environ["SCRIPT_NAME"], environ["PATH_INFO"]
    need(not script or (script.startswith("/") and not script.endswith("/")), f"SCRIPT_NAME {script!r}")
    need(not path or path.startswith("/"), f"PATH_INFO {path!r}")
    need(script or path, "neither SCRIPT_NAME nor PATH_INFO")


class StrictInput:
    """The body, read in every way there is; what is read must add up to CONTENT_LENGTH."""

    def __init__(self, stream: Any, length: int) -> None:
        self._stream = stream
        self._left = length

    def _counted(self, data: Any) -> bytes:
        need(type(data) is bytes, f"input gave {type(data).__name__}")
        self._left -= len(data)
        need(self._left >= 0, "input gave more than CONTENT_LENGTH")
        if not data:
            need(self._stream.read() == b"", "input went on after its end")
        return data  # type: ignore[no-any-return]

    def read(self, *size: int) -> bytes:
        before = self._left
        data = self._counted(self._stream.read(*size))
        if not size or size[0] < 0:
            need(len(data) == before, "read() gave less than there is")
        return data

    def readline(self, *size: int) -> bytes:
        data = self._counted(self._stream.readline(*size))
        need(b"\n" not in data[:-1], "readline() gave two lines")
        return data

    def readlines(self, *hint: int) -> list[bytes]:
        return [self._counted(line) for line in self._stream.readlines(*hint)]

    def __iter__(self) -> Any:
        for line in self._stream:
            yield self._counted(line)


def validated(app: Callable[..., Iterable[bytes]]) -> Callable[..., Iterable[bytes]]:
    """Middleware: judge the environ and the input, and that the write() given is one."""

    def judge(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        check_environ(environ)
        length = int(environ.get("CONTENT_LENGTH") or 0)
        environ["wsgi.input"] = StrictInput(environ["wsgi.input"], length)

        def start(*args: Any) -> Any:
            write = start_response(*args)
            need(callable(write), "start_response gave no write()")
            return write

        return app(environ, start)

    return judge


# --- the answer -----------------------------------------------------------------------


class Parsed(NamedTuple):
    status: int
    headers: list[tuple[str, str]]
    body: bytes
    truncated: bool
    """The body ended before its framing said so."""

    def get(self, name: str) -> str | None:
        values = [value for key, value in self.headers if key.lower() == name.lower()]
        return values[0] if values else None


def read_answer(sent: bytes, *, method: str = "GET", version: str = "HTTP/1.1", closed: bool = False) -> Parsed:
    """Parse one answer, from the first to the last byte sent, as the strictest client would.

    Args: closed: the connection was closed behind it.
    """
    head, end, rest = sent.partition(b"\r\n\r\n")
    need(end, "the head has no end")
    first, *lines = head.split(b"\r\n")
    match = STATUS_LINE.fullmatch(first)
    if match is None:
        raise Fault(f"status line {first!r}")
    status = int(match[1])
    headers = []
    for line in lines:
        header = HEADER_LINE.fullmatch(line)
        if header is None:
            raise Fault(f"header line {line!r}")
        headers.append((header[1].decode(), header[2].decode("latin-1")))
    names = [name.lower() for name, _ in headers]
    for name in ONCE:
        need(names.count(name) <= 1, f"{name} comes {names.count(name)} times")
    parsed = _read_body(Parsed(status, headers, rest, False), method, version, closed)
    date, connection = parsed.get("date"), parsed.get("connection")
    need(date is not None and DATE.fullmatch(date), f"Date {date!r}")
    need(parsed.get("server"), "no Server")
    need(connection in (None, "close", "keep-alive"), f"Connection {connection!r}")
    if connection == "close":
        need(closed, "announced a close and did not")
    if version == "HTTP/1.0":
        need(closed or connection == "keep-alive", "HTTP/1.0 kept open without a word")
    return parsed


def _read_body(answer: Parsed, method: str, version: str, closed: bool) -> Parsed:
    length, coding = answer.get("content-length"), answer.get("transfer-encoding")
    need(length is None or coding is None, "two framings")
    need(length is None or re.fullmatch(r"[0-9]+", length), f"Content-Length {length!r}")
    need(coding is None or (coding == "chunked" and version == "HTTP/1.1"), f"Transfer-Encoding {coding!r}")
    if answer.status < 200 or answer.status == 204:
        need(length is None and coding is None, "framing where no body may be")
    if method == "HEAD" or answer.status < 200 or answer.status in (204, 304):
        need(not answer.body, "a body where none may be")
        return answer
    if length is not None:
        missing = int(length) - len(answer.body)
        need(missing >= 0, f"{-missing} bytes beyond Content-Length")
        need(missing == 0 or closed, "cut short and kept open")
        return answer._replace(truncated=missing > 0)
    if coding is not None:
        body, complete = read_chunks(answer.body)
        need(complete or closed, "no last chunk, and kept open")
        return answer._replace(body=body, truncated=not complete)
    need(closed, "a body without length on a connection kept open")
    return answer


def read_chunks(data: bytes) -> tuple[bytes, bool]:
    """Returns: the body, and whether the last chunk was there, with nothing behind it."""
    body = []
    while data:
        size, end, rest = data.partition(b"\r\n")
        need(end, "a chunk without a size line")
        if size == b"0":
            need(rest == b"\r\n", f"behind the last chunk: {rest!r}")
            return b"".join(body), True
        need(CHUNK_SIZE.fullmatch(size), f"chunk size {size!r}")
        count = int(size, 16)
        need(rest[count : count + 2] == b"\r\n", "a chunk of another size than it says")
        body.append(rest[:count])
        data = rest[count + 2 :]
    return b"".join(body), False
