"""What a message says of an upload to a file, and whether Mongrel2 can have said it.

A client's own headers of the same names arrive in every request that does not take the upload path, so a name in a
header proves nothing. Mongrel2 takes that path only for bodies over its limit and for chunked ones, and then always
writes *start* itself; what it wrote fits the template that it was configured with.

Source: mongrel2-protocol notes, section 5.4.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from m2serve.message import Request

START: Final = b"x-mongrel2-upload-start"
DONE: Final = b"x-mongrel2-upload-done"

_LARGEST: Final = 2147483647
"""Mongrel2 takes larger lengths for 0."""
_NUMBER = re.compile(rb"[ \t\n\v\f\r]*(\+|-)?([0-9]+)")  # as strtol() reads it: what follows is ignored
_SUFFIX: Final = "XXXXXX"
_PROGRESS = re.compile(rb"(?:^|&)x-progress-id=([^&]*)", re.IGNORECASE)
LONGEST_ID: Final = 120


class Claim(NamedTuple):
    """A message that may be Mongrel2's own word of an upload."""

    is_done: bool
    """The file is complete; else it was just made."""
    name: bytes
    """Of the file, as Mongrel2 sees it."""
    expected: int | None
    """Bytes of the body; None: it comes in chunks."""


def claim(request: Request, limit: int) -> Claim | None:
    """What the message says of an upload; None: Mongrel2 has certainly not taken the upload path.

    Args: limit: ``limits.content_length``.
    """
    headers = request.headers
    start = headers.get(START)
    if type(start) is not bytes or request.body:
        return None
    if b"VERSION" not in headers or headers.get(b"METHOD", b"WEBSOCKET_HANDSHAKE") == b"WEBSOCKET_HANDSHAKE":
        return None
    declared = headers.get(b"content-length")
    expected: int | None = None
    if declared is None:
        if _first(headers.get(b"transfer-encoding", b"")) != b"chunked":
            return None
    else:
        expected = _length(_first(declared))
        if not limit < expected <= _LARGEST:
            return None
    return Claim(headers.get(DONE) == start, start, expected)


def template(temp_store: str) -> re.Pattern[bytes]:
    """What a name made from ``upload.temp_store`` looks like."""
    stem = temp_store.removesuffix(_SUFFIX).encode("utf-8", "surrogateescape")
    return re.compile(re.escape(stem) + rb"[A-Za-z0-9]{6}")


def progress_id(request: Request) -> bytes:
    """Under which the client wants to ask for the progress of this upload; empty: it does not."""
    value = request.headers.get(b"x-progress-id")
    if value is None:
        found = _PROGRESS.search(_first(request.headers.get(b"QUERY", b"")))
        value = found[1] if found else b""
    one = _first(value).strip(b" \t")
    return one if len(one) <= LONGEST_ID else b""


def _first(value: bytes | list[bytes]) -> bytes:
    return value[0] if isinstance(value, list) else value


def _length(text: bytes) -> int:
    match = _NUMBER.match(text)
    if match is None or match[1] == b"-":
        return 0
    return int(match[2]) if len(match[2]) <= 19 else _LARGEST + 1
