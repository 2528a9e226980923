"""Clients of the doors that are for web servers: they send what nginx makes of a request with its stock files, and read
the answer as strictly as the HTTP client does.

Each is a :class:`~support.http.Connection`, so that whatever a test does with that it can do at any door.
"""

from __future__ import annotations

import struct
from urllib.parse import unquote_to_bytes

from support.codecs import fastcgi_request, scgi_packet, uwsgi_packet
from support.http import BadResponse, Closed, Connection, Response

_RECORD = struct.Struct(">BBHHBx")
_END, _STDOUT, _STDERR = 3, 6, 7

CLIENT = ("192.0.2.7", "40123")
"""Address and port of the browser that the web server speaks for."""


def variables(target: str, method: str, headers: tuple[tuple[str, str], ...], body: bytes) -> dict[str, str]:
    """What all of nginx' stock files have in common, and the client's headers; text stands for Latin-1 bytes."""
    path, _, query = target.partition("?")
    found = {
        "QUERY_STRING": query,
        "REQUEST_METHOD": method,
        "CONTENT_TYPE": "",
        "CONTENT_LENGTH": str(len(body)) if body else "",
        "REQUEST_URI": target,
        "DOCUMENT_ROOT": "/usr/share/nginx/html",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "REQUEST_SCHEME": "http",
        "REMOTE_ADDR": CLIENT[0],
        "REMOTE_PORT": CLIENT[1],
        "SERVER_PORT": "80",
        "SERVER_NAME": "localhost",
    }
    for name, value in (("Host", "localhost"), *headers):
        key = name.upper().replace("-", "_")
        if key in ("CONTENT_TYPE", "CONTENT_LENGTH"):
            found[key] = value
        elif key == "HOST" or f"HTTP_{key}" not in found:
            found[f"HTTP_{key}"] = value
        else:
            found[f"HTTP_{key}"] += ("; " if key == "COOKIE" else ", ") + value
    return {**found, "DOCUMENT_URI": unquote_to_bytes(path).decode("latin-1")}


class CgiConnection(Connection):
    """One request; the end of the connection is the end of the answer."""

    serves_more = False

    def _body(self, response: Response, method: str) -> None:
        if response.get("transfer-encoding") is not None:
            raise BadResponse(f"web servers do not decode chunks here: {response.headers}")
        super()._body(response, method)
        rest = self.read_to_end()
        if self.was_reset:
            raise Closed(response.body)
        if rest:
            raise BadResponse(f"behind the answer: {rest[:100]!r}")


class UwsgiConnection(CgiConnection):
    """``uwsgi_pass``: the answer is HTTP's."""

    def encode(
        self, target: str, method: str, headers: tuple[tuple[str, str], ...], body: bytes, version: str
    ) -> bytes:
        found = variables(target, method, headers, body)
        found["PATH_INFO"] = found.pop("DOCUMENT_URI")
        return uwsgi_packet(found) + body


class ScgiConnection(CgiConnection):
    """``scgi_pass``: nobody says SCRIPT_NAME or PATH_INFO."""

    def encode(
        self, target: str, method: str, headers: tuple[tuple[str, str], ...], body: bytes, version: str
    ) -> bytes:
        found = variables(target, method, headers, body)
        length = found.pop("CONTENT_LENGTH") or "0"
        packet = scgi_packet({**found, "SCGI": "1"}, b"x" * int(length))
        return packet[: len(packet) - int(length)] + body

    def _status_line(self, first: bytes) -> bytes:
        return _of_status(first)


class FastCgiConnection(CgiConnection):
    """``fastcgi_pass``: the whole path is SCRIPT_NAME. *keep*: another request may follow the answer."""

    keep = False

    def encode(
        self, target: str, method: str, headers: tuple[tuple[str, str], ...], body: bytes, version: str
    ) -> bytes:
        found = variables(target, method, headers, body)
        found |= {"SCRIPT_NAME": found["DOCUMENT_URI"], "GATEWAY_INTERFACE": "CGI/1.1", "SERVER_SOFTWARE": "nginx"}
        self._raw, self._ended = b"", False
        return fastcgi_request(found, body, keep=self.keep)

    def _status_line(self, first: bytes) -> bytes:
        return _of_status(first)

    def _receive(self) -> bytes:
        """What the next records of output hold; nothing when the request has ended."""
        found = b""
        while not found and not self._ended:
            data = super()._receive()
            if not data:
                break
            self._raw += data
            found = self._records()
        return found

    def _records(self) -> bytes:
        found = b""
        while len(self._raw) >= 8 and not self._ended:
            version, kind, number, size, padding = _RECORD.unpack_from(self._raw)
            if version != 1 or number != 1 or kind not in (_END, _STDOUT, _STDERR):
                raise BadResponse(f"record {self._raw[:8]!r}")
            if len(self._raw) < 8 + size + padding:
                break
            content, self._raw = self._raw[8 : 8 + size], self._raw[8 + size + padding :]
            if kind == _STDOUT:
                found += content
            elif kind == _END:
                if content[4] != 0:
                    raise BadResponse(f"protocol status {content[4]}")
                self._ended = True
        return found

    def _body(self, response: Response, method: str) -> None:
        super()._body(response, method)
        if not self._ended:
            raise Closed(response.body)


class KeptFastCgiConnection(FastCgiConnection):
    """``fastcgi_keep_conn on``."""

    keep = serves_more = True


def _of_status(first: bytes) -> bytes:
    if not first.startswith(b"Status: "):
        raise BadResponse(f"no status: {first[:100]!r}")
    return b"HTTP/1.1 " + first.removeprefix(b"Status: ")
