"""Pieces of a streamed upload: the messages that Mongrel2 sends behind the request itself.

With ``upload.stream`` the request comes with ``UPLOAD_STREAM`` 0 and the beginning of its body. What follows has no
other keys than ``UPLOAD_STREAM``, the offset of the piece, and on the last one ``UPLOAD_STREAM_DONE``. A client can
make no upper-case key, so neither can be forged.

Source: mongrel2-protocol notes, section 6.1; Mongrel2 1.12.2, src/upload.c.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, NamedTuple

from m2serve.errors import RemoteProtocolError
from m2serve.wire.mongrel2 import Kind, classify, parse

if TYPE_CHECKING:
    from m2serve.message import Request

KEY: Final = b"UPLOAD_STREAM"
"""Stands in every message of a streamed upload."""
_DONE: Final = b"UPLOAD_STREAM_DONE"

ENOUGH: Final = 1_000_000_000
"""Credits that end an upload which nobody reads any more: Mongrel2 looks at a closed connection only while it reads
from it. It keeps them in a C ``int``."""

# Nearly all pieces look like one of these; what does not is parsed.
_HEAD: Final = rb"[A-Za-z0-9-]{1,255} [0-9]{1,18} [^\x00-\x20\x7f]+ ([0-9]{1,3}):"
_TNET: Final = re.compile(
    _HEAD + rb"(?:18:UPLOAD_STREAM_DONE,1:(1),)?13:UPLOAD_STREAM,[0-9]{1,2}:(-?[0-9]{1,10}),"
    rb"(?:18:UPLOAD_STREAM_DONE,1:(1),)?\}([0-9]{1,10}):"
)
_JSON: Final = re.compile(
    _HEAD + rb'\{(?:"UPLOAD_STREAM_DONE":"(1)",)?"UPLOAD_STREAM":"(-?[0-9]{1,10})"'
    rb'(?:,"UPLOAD_STREAM_DONE":"(1)")?\},([0-9]{1,10}):'
)
_OFFSET: Final = re.compile(rb"-?[0-9]{1,10}")
_HALF: Final = 1 << 31


class Piece(NamedTuple):
    """A piece as its message shows it."""

    offset: int
    """In the body, modulo 2**32: Mongrel2 counts in a C ``int``, and a chunked body may be longer than that holds."""
    last: bool
    start: int
    """Where in the message its bytes begin."""
    size: int


def read_piece(raw: bytes) -> Piece | None:
    """The piece in a message; None: it is something else.

    Raises: RemoteProtocolError: it is no message at all.
    """
    match = _TNET.match(raw) or _JSON.match(raw)
    if match is not None:
        size = int(match[5])
        of_headers = match.start(5) - 1 - (match.end(1) + 1)
        if int(match[1]) == of_headers and match.end() + size + 1 == len(raw) and raw.endswith(b","):
            return Piece(int(match[3]) & 0xFFFFFFFF, bool(match[2] or match[4]), match.end(), size)
    request = parse(raw)
    if classify(request) is not Kind.UPLOAD_PART:
        return None
    offset = _offset(request)
    size = len(request.body)
    return Piece(offset, _DONE in request.headers, len(raw) - 1 - size, size)


def ahead(offset: int, at: int) -> int:
    """How far *offset*, which is known modulo 2**32, lies behind byte *at* of the body; negative: before it."""
    return (offset - at + _HALF) % (2 * _HALF) - _HALF


def begins_stream(request: Request) -> bool:
    """Whether more of this request's body may follow in pieces.

    Raises: RemoteProtocolError: its UPLOAD_STREAM is no number.
    """
    return KEY in request.headers and classify(request) is Kind.HTTP and _offset(request) == 0


def is_whole(request: Request) -> bool:
    """Whether the first message of a streamed upload has all of the body."""
    return _DONE in request.headers


def _offset(request: Request) -> int:
    value = request.headers[KEY]
    if isinstance(value, bytes) and _OFFSET.fullmatch(value):
        return int(value) & 0xFFFFFFFF
    raise RemoteProtocolError(f"UPLOAD_STREAM is {value!r}, expected an offset")
