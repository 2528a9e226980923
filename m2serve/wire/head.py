"""Heads of HTTP answers, as applications give them: what they contain is checked before it becomes bytes.

A CR, LF or NUL in a header lets whoever chose its text write a second answer (response splitting); a hop-by-hop
header belongs to the server, which alone knows how the answer is framed.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from m2serve.errors import LocalProtocolError
from m2serve.wire.memo import Memo, Sightings

if TYPE_CHECKING:
    from collections.abc import Sequence

_TOKEN = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_STATUS = re.compile(r"[1-9][0-9]{2} [^\x00-\x08\x0a-\x1f\x7f]*")

_PLAIN, _LENGTH, _DATE, _SERVER, _HOP = range(5)
_KINDS = {
    "content-length": _LENGTH,
    "date": _DATE,
    "server": _SERVER,
    "connection": _HOP,
    "keep-alive": _HOP,
    "proxy-authenticate": _HOP,
    "proxy-authorization": _HOP,
    "proxy-connection": _HOP,
    "te": _HOP,
    "trailer": _HOP,
    "trailers": _HOP,
    "transfer-encoding": _HOP,
    "upgrade": _HOP,
}
_CACHED = 1024
_STARTS = 512
_LARGEST_START = 2048
_MOST_LINES = 32


class Block(NamedTuple):
    """The checked headers of an answer."""

    lines: bytes
    """Each with its CR LF; Content-Length is not among them."""
    lines_count: int
    """How many *lines*."""
    length: int | None
    """Content-Length, if there was one."""
    dated: bool
    signed: bool
    """Whether Date and Server are among the lines."""


class Start:
    """A checked status with its checked headers.

    Attributes:
        code, line: number and line of the status.
        recent: the Date line, the size of the body and the whole head of an answer that began so; one tuple, so
            that threads read what belongs together.
    """

    __slots__ = ("block", "code", "line", "recent")

    def __init__(self, code: int, line: bytes, block: Block) -> None:
        self.code = code
        self.line = line
        self.block = block
        self.recent: tuple[bytes, int, bytes] = (b"", -1, b"")


class HeadWriter:
    """Checks statuses and headers; remembers which it has seen, so that checking is paid once.

    Threads: any; what is shared are caches, whose single operations are atomic.

    Args: more: headers that every answer gets besides; of ``Connection`` close counts, keep-alive changes nothing.
    """

    def __init__(self, more: Sequence[tuple[str, str]] = ()) -> None:
        self.closes = any((name.lower(), value.lower()) == ("connection", "close") for name, value in more)
        """Every answer closes its connection."""
        self._kinds: dict[str, int] = {}
        kept = [(name, value) for name, value in more if name.lower() != "connection"]
        self._more = self.headers(kept) if kept else None
        self._statuses: dict[str, tuple[int, bytes]] = {}
        self._starts: Memo[tuple[object, ...], Start] = Memo(_STARTS)
        self._seen = Sightings()

    def start(self, status: str, headers: list[tuple[str, str]]) -> Start:
        """Check both, unless they have been checked before.

        Raises: LocalProtocolError: as :meth:`status` and :meth:`headers`.
        """
        if type(status) is not str or type(headers) is not list:
            return self._check(status, headers)
        try:
            # exactly str: others may equal what they are not, and would pass the second time
            for name, value in headers:
                if type(name) is not str or type(value) is not str:
                    return self._check(status, headers)
            key = (status, *headers)
            known = self._starts.get(key)
        except (TypeError, ValueError):
            return self._check(status, headers)  # which says what is wrong
        if known is not None:
            return known
        start = self._check(status, headers)
        if len(headers) <= _MOST_LINES and len(start.block.lines) <= _LARGEST_START and self._seen.again(key):
            self._starts.put(key, start)
        return start

    def _check(self, status: object, headers: object) -> Start:
        code, line = self.status(status)
        block, more = self.headers(headers), self._more
        if more is not None:
            block = Block(
                block.lines + more.lines,
                block.lines_count + more.lines_count,
                block.length,
                block.dated or more.dated,
                block.signed or more.signed,
            )
        return Start(code, line, block)

    def status(self, text: object) -> tuple[int, bytes]:
        """Code and status line for ``"200 OK"``.

        Raises: LocalProtocolError: not a string of three digits, a blank and a reason.
        """
        if not isinstance(text, str):
            raise LocalProtocolError(f"the status must be a str, not {type(text).__name__}")
        known = self._statuses.get(text)
        if known is not None:
            return known
        if not _STATUS.fullmatch(text):
            raise LocalProtocolError(f"the status must be three digits, a blank and a reason, not {text[:80]!r}")
        try:
            line = f"HTTP/1.1 {text}\r\n".encode("latin-1")
        except UnicodeEncodeError:
            raise LocalProtocolError(f"the status is not Latin-1: {text[:80]!a}") from None
        if len(self._statuses) >= _CACHED:
            self._statuses.clear()
        self._statuses[text] = entry = int(text[:3]), line
        return entry

    def headers(self, headers: object) -> Block:
        """Check and join a list of (name, value).

        Raises: LocalProtocolError: what it holds must not, or cannot, be sent; the message names it.
        """
        if not isinstance(headers, list):
            raise LocalProtocolError(f"the headers must be a list, not {type(headers).__name__}")
        kinds = self._kinds
        lines = []
        values = []
        length: int | None = None
        dated = signed = False
        for item in headers:
            if not isinstance(item, tuple) or len(item) != 2:
                raise LocalProtocolError(f"a header must be a tuple (name, value), not {item!a:.80}")
            name, value = item
            if not isinstance(name, str) or not isinstance(value, str):
                raise LocalProtocolError(f"name and value of a header must be str: {item!a:.80}")
            kind = kinds.get(name)
            if kind is None:
                kind = self._learn(name)
            if kind:
                if kind == _HOP:
                    raise LocalProtocolError(f"the hop-by-hop header {name} is the server's to send")
                if kind == _LENGTH:
                    if length is not None:
                        raise LocalProtocolError("Content-Length is given twice")
                    length = _content_length(value)
                    continue
                dated = dated or kind == _DATE
                signed = signed or kind == _SERVER
            values.append(value)
            lines.append(f"{name}: {value}\r\n")
        # isprintable() is the cheap proof; a tab or a letter beyond ASCII needs the exact one
        if not "".join(values).isprintable():
            _check_values(headers)
        try:
            text = "".join(lines).encode("latin-1")
        except UnicodeEncodeError:
            _check_values(headers)
            raise
        return Block(text, len(lines), length, dated, signed)

    def _learn(self, name: str) -> int:
        if not _TOKEN.fullmatch(name):
            raise LocalProtocolError(f"not a header name: {name[:80]!a}")
        kind = _KINDS.get(name.lower(), _PLAIN)
        if len(self._kinds) >= _CACHED:
            self._kinds.clear()
        self._kinds[name] = kind
        return kind


def _content_length(value: str) -> int:
    if value.isascii() and value.isdigit() and len(value) <= 19:
        return int(value)
    raise LocalProtocolError(f"Content-Length is not a number: {value[:80]!a}")


def _check_values(headers: list[tuple[str, str]]) -> None:
    for name, value in headers:
        if _CONTROL.search(value):
            raise LocalProtocolError(f"control character in header {name}: {value[:80]!a}")
        if not value.isascii():
            try:
                value.encode("latin-1")
            except UnicodeEncodeError:
                raise LocalProtocolError(f"header {name} is not Latin-1: {value[:80]!a}") from None
