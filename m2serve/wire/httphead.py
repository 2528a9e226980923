"""Heads of HTTP/1 requests: a request line and headers become what a handler message of Mongrel2 would hold.

Two readers of a connection that take one head differently can be made to see different requests (request smuggling).
So there is no second opinion here on anything: what RFC 9112 does not allow is refused, whatever others make of it.
The grammar is looked at as a whole first; httptools, which is more lenient, then takes the headers apart.

Measured, Python 3.11, nine headers as a browser sends them: httptools 0.9 needs 1.9 us, h11 0.16 needs 21 us. Python's
own regular expressions are as fast as httptools, but llhttp, which is in it, is read by more people than we are: what
it finds wrong is refused even where our grammar has let it pass. The request line is ours: llhttp knows a list of
methods, and no bytes beyond ASCII in targets, which nginx and other front ends let through.

Source: RFC 9110; RFC 9112, sections 2 to 6.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple, NoReturn

import httptools

from m2serve.errors import RemoteProtocolError

if TYPE_CHECKING:
    from m2serve.message import Headers
    from m2serve.trusted import Trusted
    from m2serve.wire.door import Limits, Peer

_LINE = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+) ([\x21\x22\x24-\x7e\x80-\xff]+) HTTP/1\.([01])\r\n")
_OTHER_VERSION = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+ [\x21\x22\x24-\x7e\x80-\xff]+ HTTP/[0-9]\.[0-9]\r\n")
_FIELDS = re.compile(rb"(?:[!#$%&'*+.^_`|~0-9A-Za-z-]+:[\t\x20-\x7e\x80-\xff]*\r\n)*\r\n")
_FIELD = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+:[\t\x20-\x7e\x80-\xff]*")
_CONTROL = re.compile(rb"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]|(?<!\r)\n|\r(?=[^\n])")
_ABSOLUTE = re.compile(rb"(?i:https?)://([^/?]*)(/[^?]*)?(?:\?(.*))?", re.DOTALL)
_HOST = re.compile(rb"(?:[A-Za-z0-9._~-]{1,255}|\[[0-9A-Fa-f:.]{2,45}\])(?::([0-9]{0,5}))?")
_CODINGS = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+(?:[ \t]*,[ \t]*[!#$%&'*+.^_`|~0-9A-Za-z-]+)*")
_LONGEST_METHOD = 32
_WILDCARDS = ("", "0.0.0.0", "::")


class Parsed(NamedTuple):
    """A head, and what it says about the connection."""

    path: bytes
    headers: Headers
    length: int | None
    """Bytes of the body; None: it comes in chunks."""
    keep: bool
    expects: bool
    forwarded: bool
    """The client is somebody else than the peer, who says so."""


class _Collector:
    """What httptools calls for each header."""

    __slots__ = ("headers",)

    def __init__(self, headers: Headers) -> None:
        self.headers = headers

    def on_header(self, name: bytes, value: bytes) -> None:
        name = name.lower()
        value = value.strip(b" \t")
        headers = self.headers
        former = headers.get(name)
        if former is None:
            headers[name] = value
        elif type(former) is list:
            former.append(value)
        else:
            headers[name] = [former, value]  # type: ignore[list-item]  # no list: then it is bytes


def parse(raw: bytes, peer: Peer, limits: Limits, trusted: Trusted) -> Parsed:
    """Read one head, its empty line included.

    Raises: RemoteProtocolError: what is wrong, with the status of the answer.
    """
    match = _LINE.match(raw)
    if match is None:
        _refuse_line(raw)
    fields = match.end()
    if not _FIELDS.fullmatch(raw, fields):
        _refuse_fields(raw, fields)
    if raw.count(b"\r\n", fields) - 1 > limits.fields:
        raise RemoteProtocolError(f"more than {limits.fields} headers", status=431)
    method, target, minor = match.groups()
    if len(method) > _LONGEST_METHOD:
        raise RemoteProtocolError(f"a method of {len(method)} bytes", status=501)
    headers: Headers = {
        b"METHOD": method,
        b"URI": target,
        b"VERSION": b"HTTP/1.1" if minor == b"1" else b"HTTP/1.0",
        b"REMOTE_ADDR": peer.address,
        b"URL_SCHEME": b"https" if peer.tls else b"http",
    }
    _collect(raw, fields, headers)
    path = _target(method, target, headers)
    _host(headers, peer)
    length = _length(headers)
    expects = False
    if b"expect" in headers and minor == b"1":
        expects = _expects(headers[b"expect"]) and length != 0
    forwarded = False
    if (b"x-forwarded-for" in headers or b"x-forwarded-proto" in headers) and trusted.trusts(peer.address):
        forwarded = _forwarded(headers, trusted)
    return Parsed(path, headers, length, keeps(headers), expects, forwarded)


def find_control(data: bytes, start: int, end: int) -> bool:
    """Whether there is a byte that no head has: a control, half a line end. A CR at the end may become a whole one."""
    return _CONTROL.search(data, start, end) is not None


def keeps(headers: Headers) -> bool:
    """Whether the client wants to keep the connection."""
    http11 = headers[b"VERSION"] != b"HTTP/1.0"
    connection = headers.get(b"connection")
    if connection is None:
        return http11
    tokens = [token.strip(b" \t") for token in _joined(connection).lower().split(b",")]
    return b"close" not in tokens and (http11 or b"keep-alive" in tokens)


def _collect(raw: bytes, fields: int, headers: Headers) -> None:
    own = len(headers)
    parser = httptools.HttpRequestParser(_Collector(headers))
    try:
        parser.feed_data(b"GET / HTTP/1.1\r\n" + raw[fields:])
    except httptools.HttpParserUpgrade:
        pass  # we stay with HTTP/1.1, as RFC 9110, section 7.8 allows
    except httptools.HttpParserError as error:
        # its word on the framing, which says no more than 400: ours first
        for key in list(headers)[own:]:
            del headers[key]
        collector = _Collector(headers)
        for line in raw[fields:-4].split(b"\r\n"):
            name, _, value = line.partition(b":")
            collector.on_header(name, value)
        _length(headers)
        raise RemoteProtocolError(f"llhttp: {error}") from None


def _target(method: bytes, target: bytes, headers: Headers) -> bytes:
    """Set PATH, QUERY, and Host where the target names it; gives the path."""
    if method == b"CONNECT":
        raise RemoteProtocolError("CONNECT: this is no proxy", status=501)
    if target.startswith(b"/"):
        path, question, query = target.partition(b"?")
        if question:
            headers[b"QUERY"] = query
    elif target == b"*" and method == b"OPTIONS":
        path = target
    else:
        match = _ABSOLUTE.fullmatch(target)
        if match is None:
            raise RemoteProtocolError(f"not the target of a request: {target[:40]!r}")
        if b"host" not in headers and headers[b"VERSION"] == b"HTTP/1.1":
            raise RemoteProtocolError("HTTP/1.1 without Host")
        if not isinstance(headers.get(b"host", b""), bytes):
            raise RemoteProtocolError("several Hosts")
        headers[b"host"] = match[1]  # RFC 9112, section 3.2.2: whatever the header says
        path = match[2] or (b"*" if method == b"OPTIONS" and match[3] is None else b"/")
        if match[3] is not None:
            headers[b"QUERY"] = match[3]
    headers[b"PATH"] = path
    return path


def _host(headers: Headers, peer: Peer) -> None:
    host = headers.get(b"host")
    if host is None:
        if headers[b"VERSION"] == b"HTTP/1.1":
            raise RemoteProtocolError("HTTP/1.1 without Host")
        name, port = peer.local
        if port:
            headers[b"SERVER_PORT"] = b"%d" % port
        if name not in _WILDCARDS:
            headers[b"SERVER_NAME"] = (f"[{name}]" if ":" in name else name).encode("latin-1")
        return
    if type(host) is not bytes:
        raise RemoteProtocolError("several Hosts")
    match = _HOST.fullmatch(host)
    if match is None or (match[1] and not 0 < int(match[1]) <= 65535):
        raise RemoteProtocolError(f"not a Host: {host[:60]!r}")


def _length(headers: Headers) -> int | None:
    """Bytes of the body; None: it comes in chunks."""
    coding = headers.get(b"transfer-encoding")
    length = headers.get(b"content-length")
    if coding is not None:
        if length is not None:
            raise RemoteProtocolError("both Content-Length and Transfer-Encoding")
        if headers[b"VERSION"] == b"HTTP/1.0":
            raise RemoteProtocolError("Transfer-Encoding in HTTP/1.0")
        _coding(_joined(coding).lower())
        return None
    if length is None:
        return 0
    # int() would take signs, blanks and underscores, and is slow for thousands of digits
    if type(length) is not bytes or not length.isdigit() or len(length) > 19:
        raise RemoteProtocolError(f"Content-Length is not one number: {_joined(length)[:60]!r}")
    return int(length)


def _coding(value: bytes) -> None:
    if value == b"chunked":
        return
    if not _CODINGS.fullmatch(value):
        raise RemoteProtocolError(f"not a Transfer-Encoding: {value[:60]!r}")
    codings = [coding.strip(b" \t") for coding in value.split(b",")]
    if b"chunked" in codings[:-1]:
        raise RemoteProtocolError(f"chunked is not the last Transfer-Encoding: {value[:60]!r}")
    raise RemoteProtocolError(f"a Transfer-Encoding that is not served: {value[:60]!r}", status=501)


def _expects(value: bytes | list[bytes]) -> bool:
    if _joined(value).lower() != b"100-continue":
        raise RemoteProtocolError(f"an expectation that is not met: {_joined(value)[:60]!r}", status=417)
    return True


def _forwarded(headers: Headers, trusted: Trusted) -> bool:
    """Believe what a trusted peer says of its client; whether it named one."""
    proto = headers.get(b"x-forwarded-proto")
    if isinstance(proto, bytes) and (scheme := proto.lower()) in (b"http", b"https"):
        headers[b"URL_SCHEME"] = scheme
    addresses = headers.get(b"x-forwarded-for")
    client = trusted.client(_joined(addresses)) if addresses is not None else None
    if client is not None:
        headers[b"REMOTE_ADDR"] = client
    return client is not None


def _joined(value: bytes | list[bytes]) -> bytes:
    return value if isinstance(value, bytes) else b", ".join(value)


def _refuse_line(raw: bytes) -> NoReturn:
    """Say what is wrong with a head whose request line is none of ours. Controls first, which are also refused where
    they stand before the end of the head has come: however a head is cut, the same is said of it.
    """
    if find_control(raw, 0, len(raw)):
        raise RemoteProtocolError("a control character in a head, or a line that does not end with CR LF")
    line = raw.partition(b"\r\n")[0]
    if _OTHER_VERSION.match(raw):
        raise RemoteProtocolError(f"neither HTTP/1.1 nor HTTP/1.0: {line[-60:]!r}", status=505)
    raise RemoteProtocolError(f"not a request line: {line[:60]!r}")


def _refuse_fields(raw: bytes, fields: int) -> NoReturn:
    if find_control(raw, 0, len(raw)):
        raise RemoteProtocolError("a control character in a head, or a line that does not end with CR LF")
    for line in raw[fields:-4].split(b"\r\n"):
        if line.startswith((b" ", b"\t")):
            raise RemoteProtocolError(f"a folded header: {line[:60]!r}")
        if not _FIELD.fullmatch(line):
            raise RemoteProtocolError(f"not a header: {line[:60]!r}")
    raise RemoteProtocolError("not the headers of a request")
