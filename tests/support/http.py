"""A strict HTTP client on plain sockets: what a server sends wrong is an error here, not repaired."""

from __future__ import annotations

import re
import socket
import time
import weakref
from dataclasses import dataclass, field

_STATUS_LINE = re.compile(rb"(HTTP/1\.[01]) ([1-9][0-9]{2}) ([^\r\n]*)")
_HEADER = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([^\r\n\x00]*)")

Address = tuple[str, int] | str
"""A port, or the path of a Unix socket, ``@NAME`` for one without a file."""

_connections: weakref.WeakSet[Connection] = weakref.WeakSet()


class BadResponse(Exception):
    """Bytes that are no HTTP response."""


class Closed(Exception):
    """The server closed the connection before the response was complete; *partial* is what had come."""

    def __init__(self, partial: bytes) -> None:
        super().__init__(f"closed after {len(partial)} bytes: {partial[:80]!r}")
        self.partial = partial


@dataclass
class Response:
    """One answer, with all its headers in their order."""

    version: str
    status: int
    reason: str
    headers: list[tuple[str, str]]
    body: bytes = b""
    framing: str = "none"
    """How the body ended: length, chunked, close, none."""
    seconds: float = field(default=0.0, compare=False)

    def all(self, name: str) -> list[str]:
        return [value for key, value in self.headers if key.lower() == name.lower()]

    def get(self, name: str) -> str | None:
        values = self.all(name)
        assert len(values) <= 1, f"{name} is there {len(values)} times: {self.headers}"
        return values[0] if values else None

    @property
    def text(self) -> str:
        return self.body.decode()


class Connection:
    """One connection to a server; responses are read in the order of the requests."""

    serves_more = True
    """Another request may follow an answer."""

    def __init__(self, address: Address, timeout: float = 30.0) -> None:
        self.timeout = timeout
        self.socket = connected(address, timeout)
        self.was_reset = False
        """The server has not closed it, but broken it off."""
        self._buffer = b""
        self._deadline = 0.0
        _connections.add(self)

    def __enter__(self) -> Connection:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self.socket.close()

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def ask(
        self,
        target: str = "/",
        *,
        method: str = "GET",
        headers: tuple[tuple[str, str], ...] = (),
        body: bytes = b"",
        version: str = "HTTP/1.1",
    ) -> None:
        """Send one request."""
        self.send(self.encode(target, method, headers, body, version))

    def encode(
        self, target: str, method: str, headers: tuple[tuple[str, str], ...], body: bytes, version: str
    ) -> bytes:
        """A request in the protocol of this connection."""
        return request_bytes(target, method=method, headers=headers, body=body, version=version)

    def request(
        self,
        target: str = "/",
        *,
        method: str = "GET",
        headers: tuple[tuple[str, str], ...] = (),
        body: bytes = b"",
        version: str = "HTTP/1.1",
    ) -> Response:
        """Send one request and read its answer."""
        started = time.monotonic()
        self.ask(target, method=method, headers=headers, body=body, version=version)
        response = self.read(method)
        response.seconds = time.monotonic() - started
        return response

    def read(self, method: str = "GET") -> Response:
        """Read the next response.

        Raises: Closed, BadResponse, TimeoutError.
        """
        self._deadline = time.monotonic() + self.timeout
        response = self._head()
        self._body(response, method)
        return response

    def read_to_end(self, timeout: float | None = None) -> bytes:
        """Everything until the server closes; TimeoutError if it does not."""
        self._deadline = time.monotonic() + (self.timeout if timeout is None else timeout)
        while self._more():
            pass
        rest, self._buffer = self._buffer, b""
        return rest

    # --- inside -----------------------------------------------------------------------

    def _more(self) -> bool:
        data = self._receive()
        self._buffer += data
        return bool(data)

    def _receive(self) -> bytes:
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError(f"no answer within {self.timeout} s; so far {self._buffer[:80]!r}")
        self.socket.settimeout(left)
        try:
            return self.socket.recv(65536)
        except ConnectionError:
            self.was_reset = True
            return b""

    def _until(self, mark: bytes) -> bytes:
        while mark not in self._buffer:
            if not self._more():
                raise Closed(self._buffer)
        found, _, self._buffer = self._buffer.partition(mark)
        return found

    def _exactly(self, size: int) -> bytes:
        if len(self._buffer) < size:
            # joined once: 30 MB that grow by 64 KiB would be copied again and again
            parts, missing = [self._buffer], size - len(self._buffer)
            while missing > 0:
                parts.append(self._receive())
                if not parts[-1]:
                    raise Closed(b"".join(parts))
                missing -= len(parts[-1])
            self._buffer = b"".join(parts)
        found, self._buffer = self._buffer[:size], self._buffer[size:]
        return found

    def _head(self) -> Response:
        first, *lines = self._until(b"\r\n\r\n").split(b"\r\n")
        match = _STATUS_LINE.fullmatch(self._status_line(first))
        if match is None:
            raise BadResponse(f"status line {first[:100]!r}")
        headers = []
        for line in lines:
            header = _HEADER.fullmatch(line)
            if header is None:
                raise BadResponse(f"header line {line[:100]!r}")
            headers.append((header[1].decode("latin-1"), header[2].decode("latin-1").strip()))
        return Response(match[1].decode(), int(match[2]), match[3].decode("latin-1"), headers)

    def _status_line(self, first: bytes) -> bytes:
        """That of HTTP, of a first line in this protocol."""
        return first

    def _body(self, response: Response, method: str) -> None:
        length, coding = response.get("content-length"), response.get("transfer-encoding")
        if length is not None and coding is not None:
            raise BadResponse(f"both framings: {response.headers}")
        if response.status < 200 or response.status in (204, 304) or method == "HEAD":
            return
        if coding is not None:
            if coding != "chunked":
                raise BadResponse(f"transfer-encoding {coding!r}")
            response.framing, response.body = "chunked", self._chunks()
        elif length is not None:
            if not length.isdecimal():
                raise BadResponse(f"content-length {length!r}")
            response.framing, response.body = "length", self._exactly(int(length))
        else:
            response.framing, response.body = "close", self.read_to_end()

    def _chunks(self) -> bytes:
        body = bytearray()
        try:
            while True:
                line = self._until(b"\r\n")
                if not re.fullmatch(rb"[0-9A-Fa-f]+", line):
                    raise BadResponse(f"chunk size {line[:40]!r}")
                size = int(line, 16)
                body += self._exactly(size)
                if self._exactly(2) != b"\r\n":
                    raise BadResponse("no line end behind a chunk")
                if size == 0:
                    return bytes(body)
        except Closed as closed:
            raise Closed(bytes(body) + closed.partial) from None


def connected(address: Address, timeout: float = 30.0) -> socket.socket:
    """A socket that is connected there."""
    if isinstance(address, tuple):
        sock = socket.create_connection(address, timeout=timeout)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return sock
    sock = socket.socket(socket.AF_UNIX)
    sock.settimeout(timeout)
    try:
        sock.connect("\0" + address[1:] if address.startswith("@") else address)
    except OSError:
        sock.close()
        raise
    return sock


def close_all() -> None:
    """What a failed test left open."""
    for connection in list(_connections):
        connection.close()


def request_bytes(
    target: str = "/",
    *,
    method: str = "GET",
    headers: tuple[tuple[str, str], ...] = (),
    body: bytes = b"",
    version: str = "HTTP/1.1",
) -> bytes:
    """A request as it goes over the wire."""
    names = {name.lower() for name, _ in headers}
    lines = [f"{method} {target} {version}"]
    if "host" not in names:
        lines.append("Host: localhost")
    lines += [f"{name}: {value}" for name, value in headers]
    if body and not names & {"content-length", "transfer-encoding"}:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body


def get(
    address: Address,
    target: str = "/",
    *,
    method: str = "GET",
    headers: tuple[tuple[str, str], ...] = (),
    body: bytes = b"",
    timeout: float = 30.0,
) -> Response:
    """One request on a connection of its own."""
    with Connection(address, timeout) as connection:
        return connection.request(target, method=method, headers=headers, body=body)
