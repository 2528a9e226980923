"""Answers as CGI has them: a Status among the headers, in place of HTTP's first line."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

_LINE = b"HTTP/1.1 "
_CLOSE = b"\r\nConnection: close\r\n\r\n"


def as_cgi(parts: Sequence[bytes]) -> list[bytes]:
    """The first piece of an answer, with its status line in CGI's form. What HTTP says about the connection ends here:
    it is the front end's business how it treats its own.
    """
    first = parts[0]
    if first.startswith(_LINE):
        head, end, rest = first.partition(b"\r\n\r\n")
        head += end
        if head.endswith(_CLOSE):
            head = head[: -len(_CLOSE)] + b"\r\n\r\n"
        first = b"Status: %b%b" % (head[len(_LINE) :], rest)
    return [first, *parts[1:]]
