"""Which messages may reach a WSGI application."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from m2serve.wire.mongrel2 import Kind, classify

if TYPE_CHECKING:
    from m2serve.message import Request

_UPLOAD_START = b"x-mongrel2-upload-start"
_UPLOAD_DONE = b"x-mongrel2-upload-done"
_UPLOAD_STREAM = b"UPLOAD_STREAM"


class Refusal(NamedTuple):
    """An answer in the application's place."""

    status: int
    """0: say nothing."""
    reason: str
    close: bool = True


# A notice is about a connection that has ended or is being written to, and a late piece of an upload belongs to
# one that was refused: a message in reply would at best cause another notice.
_NO_REPLY = {
    Kind.UPLOAD_PART: Refusal(0, "a piece of an upload that was refused", close=False),
    Kind.DISCONNECT: Refusal(0, "a disconnect notice is no request", close=False),
    Kind.CREDITS: Refusal(0, "a credit notice is no request", close=False),
}
_NOT_HTTP = {
    **_NO_REPLY,
    Kind.WEBSOCKET_HANDSHAKE: Refusal(501, "WebSocket is not served here"),
    Kind.WEBSOCKET_FRAME: Refusal(0, "WebSocket is not served here"),
    Kind.JSON_SOCKET: Refusal(0, "JSON sockets are not served here"),
    Kind.XML_SOCKET: Refusal(0, "XML sockets are not served here"),
    Kind.INVALID: Refusal(400, "not a message of Mongrel2"),
}
_UPLOAD = Refusal(413, "the body is too large: large ones are not served with zeromq-direct")
_STREAM = Refusal(413, "the body is too large: it comes as a stream, and this node knows of none")
_TOO_LARGE = Refusal(413, "the body is larger than limit-post")
_NO_PATH = Refusal(400, "a request without PATH")
_TWO_LENGTHS = Refusal(400, "both content-length and transfer-encoding")
_CODING = Refusal(400, "a transfer-encoding that Mongrel2 did not decode")
_LENGTH = Refusal(400, "content-length is not one number")
_OTHER_LENGTH = Refusal(400, "content-length is not the length of the body")


def speaks_of_upload(request: Request) -> bool:
    """Whether it has a header that names an upload's file: Mongrel2's own word, or a client's invention."""
    return _UPLOAD_START in request.headers or _UPLOAD_DONE in request.headers


def without_upload(request: Request) -> Request:
    """The request without those headers; it is remembered nowhere, so that each one is noticed."""
    headers = {k: v for k, v in request.headers.items() if k not in (_UPLOAD_START, _UPLOAD_DONE)}
    return request._replace(headers=headers, key=b"")


def admit(request: Request, *, outside: bool = False, limit: int | None = None) -> Refusal | None:
    """Refuse what is not an HTTP request with its whole body; None: the application may have it.

    Args:
        outside: the body does not lie in the message, which somebody has proven.
        limit: bytes that a body inside the message may have.
    """
    kind = classify(request)
    if kind is not Kind.HTTP:
        return _NOT_HTTP[kind]
    headers = request.headers
    if b"PATH" not in headers:
        return _NO_PATH
    if outside:
        return None
    if _UPLOAD_STREAM in headers:
        return _STREAM
    if limit is not None and len(request.body) > limit:
        return _TOO_LARGE
    if request.variables is not None:
        return None  # the codec has read as much as the front end said
    length = headers.get(b"content-length")
    if length is not None:
        return _check_length(length, request)
    if b"transfer-encoding" in headers:
        return _CODING
    return _OTHER_LENGTH if request.body else None


def _check_length(length: bytes | list[bytes], request: Request) -> Refusal | None:
    """Compare what the client declared with what came: where they differ, so do two readers of the request."""
    if b"transfer-encoding" in request.headers:
        return _TWO_LENGTHS
    if isinstance(length, list):
        return _LENGTH
    digits = length.strip(b" \t")
    # int() would take signs, blanks and underscores, and is slow for thousands of digits
    if not digits.isdigit() or len(digits) > 19:
        return _LENGTH
    return None if int(digits) == len(request.body) else _OTHER_LENGTH


def refuse_upload(request: Request) -> Refusal | None:
    """Where nobody can prove an upload: refuse what may be one, at its start as at its end.

    That is, Mongrel2 can have taken the upload path: no body here, but one declared.
    """
    if _UPLOAD_START not in request.headers or request.body:
        return None
    length = request.headers.get(b"content-length")
    if length is None:
        coding = request.headers.get(b"transfer-encoding")
        chunked = (coding[0] if isinstance(coding, list) else coding) == b"chunked"
        return _UPLOAD if chunked else None
    # of several lengths the first counts for Mongrel2, and nothing that does not begin like a number counts
    first = length[0] if isinstance(length, list) else length
    large = first.lstrip(b" \t+")[:1].isdigit() and first.strip(b" \t") != b"0"
    return _UPLOAD if large else None
