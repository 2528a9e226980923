"""Bodies in chunks (RFC 9112, section 7.1), read as strictly as they are specified.

Whoever reads chunks a little differently from the proxy in front sees other requests than it: so sizes are digits and
nothing else, line ends are CR LF, and what stands between chunks is exactly that.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from m2serve.errors import RemoteProtocolError

if TYPE_CHECKING:
    from m2serve.wire.door import Limits

_SIZE = re.compile(rb"([0-9A-Fa-f]{1,16})(?:[\t ]*;[\t\x20-\x7e\x80-\xff]*)?")
_FIELD = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+:[\t\x20-\x7e\x80-\xff]*")
_LONGEST_LINE = 512
"""Bytes of a size with its extension, which nobody uses, and for which 16 digits are plenty."""


class Chunks:
    """Takes the chunks of one body apart. Holds back less than a line of what was given.

    Attributes: ended: the empty chunk has come, and the trailers behind it, which are dropped.
    """

    __slots__ = ("_closing", "_fields", "_kept", "_left", "_limits", "_trailed", "_trailing", "ended")

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._kept = b""
        self._left = 0
        """Bytes that the chunk still has."""
        self._closing = False
        """Its CR LF is due."""
        self._trailing = False
        self._trailed = self._fields = 0
        """Bytes and lines of trailers."""
        self.ended = False

    def decode(self, data: bytes) -> tuple[bytes, bytes]:
        """Take more.

        Returns: what of the body was in it, and what stands behind the body's end.
        Raises: RemoteProtocolError: these are no chunks, one is too large (413), or a trailer too long (431).
        """
        if self._kept:
            data = self._kept + data
            self._kept = b""
        pieces = []
        at = 0
        while not self.ended:
            if self._left:
                piece = data[at : at + self._left]
                at += len(piece)
                self._left -= len(piece)
                pieces.append(piece)
                if self._left:
                    break
                self._closing = True
            if self._closing:
                end = data[at : at + 2]
                if end != b"\r\n":
                    if end not in (b"", b"\r"):
                        raise RemoteProtocolError("a chunk is longer than its size")
                    break
                at += 2
                self._closing = False
            line_end = data.find(b"\r\n", at)
            if line_end < 0:
                self._look_ahead(data, at)
                break
            line = data[at:line_end]
            at = line_end + 2
            if self._trailing:
                self._trailer(line)
            else:
                self._begin(line)
        if self.ended:
            return b"".join(pieces), data[at:]
        self._kept = data[at:]
        return b"".join(pieces), b""

    def _begin(self, line: bytes) -> None:
        match = _SIZE.fullmatch(line)
        if match is None or len(line) > _LONGEST_LINE:
            raise RemoteProtocolError(f"not the size of a chunk: {line[:40]!r}")
        self._left = int(match[1], 16)
        if 0 < self._limits.chunk < self._left:
            text = f"a chunk of {self._left} bytes, at most {self._limits.chunk} (chunked-input-limit)"
            raise RemoteProtocolError(text, status=413)
        self._trailing = not self._left

    def _trailer(self, line: bytes) -> None:
        if not line:
            self.ended = True
            return
        self._trailed += len(line) + 2
        self._fields += 1
        if self._trailed > self._limits.head or self._fields > self._limits.fields:
            raise RemoteProtocolError("the trailers are too long", status=431)
        if not _FIELD.fullmatch(line):
            raise RemoteProtocolError(f"not a trailer: {line[:40]!r}")

    def _look_ahead(self, data: bytes, at: int) -> None:
        """Refuse the beginning of a line that can only become worse."""
        if self._trailing:
            if self._trailed + len(data) - at > self._limits.head:
                raise RemoteProtocolError("the trailers are too long", status=431)
        elif len(data) - at > _LONGEST_LINE + 1 or data.find(b"\n", at) >= 0:
            raise RemoteProtocolError(f"not the size of a chunk: {data[at : at + 40]!r}")
