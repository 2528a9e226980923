"""What a request demands of its answer."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from m2serve.message import Request

_new = tuple.__new__


class Terms(NamedTuple):
    """See above."""

    http11: bool
    head_only: bool
    keep: bool
    """The client wants to keep the connection."""
    plain: bool
    """HTTP/1.1, not HEAD, and the connection is kept: what nearly every request wants."""
    framed: bool = False
    """A web server reads the answer, in a protocol that says where it ends: it takes no chunks, and no words about the
    connection, which is closed here only if the answer breaks off."""


def terms_of(request: Request) -> Terms:
    """Read them from an admitted request."""
    headers = request.headers
    http11 = headers[b"VERSION"] != b"HTTP/1.0"
    connection = headers.get(b"connection")
    keep = http11
    if connection is not None:
        tokens = _tokens(connection)
        keep = b"close" not in tokens and (http11 or b"keep-alive" in tokens)
    head_only = headers[b"METHOD"] == b"HEAD"
    if request.variables is not None:
        return Terms(http11=True, head_only=head_only, keep=True, plain=not head_only, framed=True)
    return _new(Terms, (http11, head_only, keep, http11 and keep and not head_only, False))


def _tokens(value: bytes | list[bytes]) -> list[bytes]:
    """The members of a Connection header, in lower case."""
    text = b",".join(value) if isinstance(value, list) else value
    return [token.strip(b" \t") for token in text.lower().split(b",")]
