"""Messages between Mongrel2 and a handler: requests and notices one way, answers the other way.

A request is ``SENDER SP CONN_ID SP PATH SP HEADERS BODY``; HEADERS is a tagged dictionary, or a netstring
with JSON in it, as the handler's entry in Mongrel2's configuration says; the tag byte tells which, so nobody
has to tell us. An answer is ``SENDER SP SIZE:CONN_ID, SP BODY``, where an empty BODY closes the client's
connection.

Two rules of this file. Whatever the bytes are, reading them gives a result or RemoteProtocolError. And
nothing leaves that Mongrel2 would take for something else: a broken answer stops its reader for everybody, an
empty one closes the connection.

Source: Mongrel2 1.12.2, seen on the wire; 1.13.0, src/request.c, src/handler.c.
"""

from __future__ import annotations

import json
import re
import time
from enum import Enum
from http import HTTPStatus

from m2serve.errors import LocalProtocolError, RemoteProtocolError
from m2serve.message import Headers, Request
from m2serve.wire import tnet
from m2serve.wire.httpdate import http_date
from m2serve.wire.memo import Memo, Sightings

MAX_HEADERS = 4 * 1024 * 1024
"""Largest header dictionary believed, in bytes; Mongrel2's own buffer for them is 4096 unless configured."""

NOTICE_PATH = b"@*"

# What a Reader keeps: a message without a body, of this size and so many headers at most.
_REPEATS = 512
_LARGEST_REPEAT = 4096
_MOST_HEADERS = 64
_SENDERS = 64

_new = tuple.__new__

# Mongrel2 takes these characters in a sender only; with any other each of our answers would be invalid. Paths
# have neither blanks nor control characters: the request grammar is strict.
_HEAD = re.compile(rb"([A-Za-z0-9-]{1,255}) ([0-9]{1,20}) ([^\x00-\x20\x7f]+) ")
_NOTICE_HEAD = re.compile(rb"[A-Za-z0-9-]{1,255} [0-9]{1,20} @\* ")

_COMMA = 0x2C
_BRACE = 0x7D

_DISCONNECT_BODY = b'{"type":"disconnect"}'
_CREDITS_BODY = b'{"type":"credits"}'
_DISCONNECT_TAILS = frozenset(
    (
        b'17:{"METHOD":"JSON"},21:{"type":"disconnect"},',
        b'16:6:METHOD,4:JSON,}21:{"type":"disconnect"},',
    )
)


class Kind(Enum):
    """What a message is."""

    HTTP = "http"
    WEBSOCKET_HANDSHAKE = "websocket-handshake"
    WEBSOCKET_FRAME = "websocket-frame"
    JSON_SOCKET = "json-socket"
    XML_SOCKET = "xml-socket"
    UPLOAD_PART = "upload-part"
    """A piece of a streamed upload after its first message."""
    DISCONNECT = "disconnect"
    CREDITS = "credits"
    INVALID = "invalid"
    """Nothing that Mongrel2 sends."""


# --- from Mongrel2 ----------------------------------------------------------------


def address(raw: bytes) -> tuple[bytes, bytes, bytes]:
    """Read sender, connection id and path from the head of a message; the rest is not looked at.

    Raises: RemoteProtocolError: the head is broken, so no answer can be addressed.
    """
    match = _HEAD.match(raw)
    if match is None:
        raise RemoteProtocolError("message does not begin with sender, connection id and path")
    sender, conn_id, path = match.groups()
    return sender, conn_id, path


_CLIENT = re.compile(rb"([A-Za-z0-9-]{1,255}) ([0-9]{1,18}) ")


def client(raw: bytes) -> tuple[bytes, bytes] | None:
    """Sender and connection id, if they can be read: enough to answer even a message that is broken behind them."""
    match = _CLIENT.match(raw)
    return None if match is None else (match[1], match[2])


def parse(raw: bytes) -> Request:
    """Take a message apart.

    Raises: RemoteProtocolError: it is not what Mongrel2 writes, to the last byte.
    """
    match = _HEAD.match(raw)
    if match is None:
        raise RemoteProtocolError("message does not begin with sender, connection id and path")
    start = match.end()
    begin, end = tnet.span(raw, start, MAX_HEADERS)
    tag = raw[end]
    if tag == _BRACE:
        headers = _tagged_headers(raw[start : end + 1])
    elif tag == _COMMA:
        headers = _json_headers(raw[begin:end])
    else:
        raise RemoteProtocolError(f"headers have the tag {chr(tag)!a}, expected '}}' or ','")
    sender, conn_id, path = match.groups()
    if len(raw) - end == 4 and raw.endswith(b"0:,"):
        return _new(Request, (sender, conn_id, path, headers, b"", b"", None, None))
    begin, end = tnet.span(raw, end + 1)
    if raw[end] != _COMMA:
        raise RemoteProtocolError(f"body has the tag {chr(raw[end])!a}, expected ','")
    if end + 1 != len(raw):
        raise RemoteProtocolError(f"{len(raw) - end - 1} bytes after the body")
    return _new(Request, (sender, conn_id, path, headers, raw[begin:end], b"", None, None))


class Reader:
    """:func:`parse` for a worker: polling browsers, health checks and clients that keep their connection repeat
    themselves to the byte, and then only sender and connection are read.

    A message is remembered when it comes for the second time, so a client that never repeats itself costs a hash.
    Threads: any.
    """

    def __init__(self) -> None:
        self._known: Memo[bytes, tuple[bytes, Headers, bytes]] = Memo(_REPEATS)
        self._senders: Memo[bytes, bytes] = Memo(_SENDERS)
        self._seen = Sightings()
        self._recall = self._known.get
        self._proper = self._senders.get

    def parse(self, raw: bytes) -> Request:
        """Take a message apart.

        Raises: RemoteProtocolError: it is not what Mongrel2 writes, to the last byte.
        """
        # The end is that of an empty body, or looks like it. Behind the connection id the grammar depends on nothing
        # before it, so what was once parsed in full is right again.
        if not raw.endswith(b"0:,") or len(raw) > _LARGEST_REPEAT:
            return parse(raw)
        pieces = raw.split(b" ", 2)
        if len(pieces) != 3:
            return parse(raw)
        sender, conn_id, rest = pieces
        known = self._recall(rest)
        if known is not None and conn_id.isdigit() and len(conn_id) <= 20 and self._proper(sender) is not None:
            return _new(Request, (sender, conn_id, known[0], known[1], b"", known[2], None, None))
        request = parse(raw)
        if not request.body and self._seen.again(rest) and len(request.headers) <= _MOST_HEADERS:
            self._known.put(rest, (request.path, request.headers, rest))
            self._senders.put(sender, sender)
        return request


def _tagged_headers(raw: bytes) -> Headers:
    headers = tnet.loads(raw)
    if type(headers) is not dict:
        raise RemoteProtocolError("headers are not a dictionary")
    try:
        # a join is the cheapest proof that all keys and values are bytes, which is nearly always so
        b"".join([*headers, *headers.values()])
    except TypeError:
        for key, value in headers.items():
            if type(key) is not bytes:
                raise RemoteProtocolError("a header has a name that is not bytes") from None
            if type(value) is not bytes:
                _check_list(key, value)
    return headers


def _check_list(key: bytes, value: object) -> None:
    """Refuse a value that is not a list of bytes; Mongrel2's own keys never have several values."""
    if type(value) is not list or not value or key.isupper():
        raise RemoteProtocolError(f"header {key!r} has a value of type {type(value).__name__}")
    for item in value:
        if type(item) is not bytes:
            raise RemoteProtocolError(f"header {key!r} has a value of type {type(item).__name__} in its list")


def _json_headers(raw: bytes) -> Headers:
    """Read the JSON that Mongrel2 writes, which is not quite JSON.

    It escapes quote and backslash only: control characters and bytes from 0x80 stand raw in the strings.
    Taken as Latin-1, one character a byte, it always parses, and encodes back to the client's bytes.
    """
    try:
        decoded = json.loads(raw.decode("latin-1"), strict=False)
    except (ValueError, RecursionError) as error:
        raise RemoteProtocolError(f"headers are not JSON: {error}") from None
    if type(decoded) is not dict:
        raise RemoteProtocolError("headers are not a dictionary")
    headers: Headers = {}
    try:
        for key, value in decoded.items():
            name = key.encode("latin-1")
            if type(value) is str:
                headers[name] = value.encode("latin-1")
            elif type(value) is list and all(type(item) is str for item in value):
                several = [item.encode("latin-1") for item in value]
                _check_list(name, several)
                headers[name] = several
            else:
                raise RemoteProtocolError(f"header {name!r} has a value of type {type(value).__name__}")
    except UnicodeEncodeError:
        raise RemoteProtocolError("headers have characters that are no bytes") from None
    return headers


def classify(request: Request) -> Kind:
    """Say what a message is, believing nothing that a client can forge.

    A client may send ``JSON / HTTP/1.1`` or ``WEBSOCKET / HTTP/1.1`` with the body of a notice; but it can
    make no upper-case key, no underscore in a method, and Mongrel2 puts VERSION into all that was HTTP.
    """
    headers = request.headers
    method = headers.get(b"METHOD")
    if method is None:
        return Kind.UPLOAD_PART if b"UPLOAD_STREAM" in headers else Kind.INVALID
    if b"VERSION" in headers:
        if method == b"WEBSOCKET_HANDSHAKE":
            return Kind.WEBSOCKET_HANDSHAKE
        if method == b"WEBSOCKET" and b"FLAGS" in headers:
            return Kind.WEBSOCKET_FRAME
        return Kind.HTTP
    if b"PATH" in headers:
        first = request.path[:1]
        if (method == b"JSON" or method == b"XML") and (first == b"@" or first == b"<"):
            return Kind.JSON_SOCKET if method == b"JSON" else Kind.XML_SOCKET
        return Kind.INVALID
    if request.path == NOTICE_PATH and method == b"JSON":
        if len(headers) == 1 and request.body == _DISCONNECT_BODY:
            return Kind.DISCONNECT
        if request.body == _CREDITS_BODY and granted_credits(request) is not None:
            return Kind.CREDITS
    return Kind.INVALID


def notice(raw: bytes) -> Kind | None:
    """Say whether a message is a notice: DISCONNECT, CREDITS, or None for everything else, garbage included.

    The path alone decides nothing: where a route ``@*`` is configured, a client can produce it.
    """
    match = _NOTICE_HEAD.match(raw)
    if match is None:
        return None
    if raw[match.end() :] in _DISCONNECT_TAILS:
        return Kind.DISCONNECT
    try:
        kind = classify(parse(raw))
    except RemoteProtocolError:
        return None
    return kind if kind is Kind.DISCONNECT or kind is Kind.CREDITS else None


def granted_credits(request: Request) -> int | None:
    """How many bytes a credit notice, or a connection's first request, allows to be sent; None: no word."""
    value = request.headers.get(b"DOWNLOAD_CREDITS")
    if isinstance(value, bytes) and value.isdigit() and len(value) <= 19:
        return int(value)
    return None


# --- to Mongrel2 ------------------------------------------------------------------


def head(sender: bytes, conn_id: bytes) -> bytes:
    """The envelope of an answer to one client. Alone, it is the message that closes the connection."""
    return b"%b %d:%b, " % (sender, len(conn_id), conn_id)


def answer(sender: bytes, conn_id: bytes, *parts: bytes) -> list[bytes]:
    """Put *parts* into one message to one client.

    Returns: the pieces of the message, in order, to be written without a copy.
    Raises: LocalProtocolError: there is nothing in the parts, which would close the connection.
    """
    message = [head(sender, conn_id)]
    message.extend([part for part in parts if part])
    if len(message) == 1:
        raise LocalProtocolError("an answer without a body closes the connection; ask for that by close()")
    return message


def close(sender: bytes, conn_id: bytes) -> bytes:
    """The message that closes a client's connection, after everything sent to it before."""
    return head(sender, conn_id)


def error_answer(
    status: int,
    reason: str = "",
    request_id: str | None = None,
    *,
    retry_after: int | None = None,
    head_only: bool = False,
    now: float | None = None,
    text: str = "",
) -> bytes:
    """A complete HTTP answer that tells of a failure and announces the end of the connection.

    Args:
        reason: the phrase after the status; without it the standard one.
        request_id: shown to the client, who can quote it to whoever reads the log.
        retry_after: seconds.
        head_only: the request was HEAD.
        now: wall clock; read here if not given, since errors are rare and callers many.
        text: stands in the body besides.
    """
    reason = reason or HTTPStatus(status).phrase
    told = f"{status} {reason}\n" if request_id is None else f"{status} {reason}\nrequest id: {request_id}\n"
    body = (f"{told}\n{text}" if text else told).encode("ascii", "backslashreplace" if text else "replace")
    lines = [
        b"HTTP/1.1 %d %b" % (status, reason.encode("ascii", "replace")),
        b"Content-Type: text/plain; charset=us-ascii",
        b"Content-Length: %d" % len(body),
        b"Connection: close",
        b"Date: " + http_date(time.time() if now is None else now),
        b"Server: m2serve",
    ]
    if retry_after is not None:
        lines.append(b"Retry-After: %d" % retry_after)
    return b"\r\n".join([*lines, b"", b"" if head_only else body])
