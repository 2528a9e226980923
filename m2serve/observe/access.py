"""One line for each request, in uWSGI's words, which many programs already read.

``[pid: 28119|app: 0|req: 1/1] 127.0.0.1 () {24 vars in 246 bytes} [Fri Nov 20 13:46:09 2026] GET / => generated
41 bytes in 0 msecs (HTTP/1.1 200) 1 headers in 45 bytes (1 switches on core 0)``

Unlike uWSGI, bytes that the client chose are escaped, so that none can write a line, or a field, of its own.
"""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable

    from m2serve.message import Request

_UNSAFE = re.compile(rb"[^\x21-\x7e]|[\"\\]")

_LONGEST_FIELD = 3072
"""Keeps a line below 4096 bytes: uWSGI's limit too, and what a pipe takes from several writers in one piece."""


class Answered(Protocol):
    """What is recorded of an answer; a gateway's outcome is one."""

    @property
    def status(self) -> int: ...
    @property
    def body_bytes(self) -> int: ...
    @property
    def header_count(self) -> int: ...
    @property
    def header_bytes(self) -> int: ...
    @property
    def app(self) -> int: ...


class AccessLog:
    """Writes the request log of one worker.

    Threads: any; a line is handed to *write* in one call.

    Args:
        write: takes one line, its newline included.
        pid: of the worker.
    """

    def __init__(self, write: Callable[[bytes], object], pid: int) -> None:
        self._write = write
        self._prefix = b"[pid: %d|app: " % pid
        self._stamp = (-1, b"")

    def record(
        self,
        request: Request,
        outcome: Answered,
        *,
        core: int,
        started_wall: float,
        elapsed: float,
        served_by_worker: int,
        served_total: int,
    ) -> None:
        """Write the line of one request.

        Args:
            started_wall: seconds since the epoch, shown in local time.
            elapsed: seconds.
            served_by_worker, served_total: requests, this one included.
        """
        second = int(started_wall)
        stamp = self._stamp
        if stamp[0] != second:
            stamp = self._stamp = (second, time.ctime(second).encode("ascii"))
        headers = request.headers
        count = len(headers)
        field = _field
        self._write(
            b"%b%d|req: %d/%d] %b () {%d vars in %d bytes} [%b] %b %b => generated %d bytes in %d msecs "
            b"(%b %d) %d headers in %d bytes (1 switches on core %d)\n"
            % (
                self._prefix,
                outcome.app,
                served_by_worker,
                served_total,
                field(headers.get(b"REMOTE_ADDR")),
                count,
                _size(request),
                stamp[1],
                field(headers.get(b"METHOD")),
                field(headers.get(b"URI", request.path)),
                outcome.body_bytes,
                int(elapsed * 1000),
                field(headers.get(b"VERSION")),
                outcome.status,
                outcome.header_count,
                outcome.header_bytes,
                core,
            )
        )


def _size(request: Request) -> int:
    """Bytes of the variables, as a uwsgi packet would hold them: two lengths of two bytes each."""
    headers = request.headers
    size = 4 * len(headers) + len(b"".join(headers))
    for value in headers.values():
        size += len(value) if isinstance(value, bytes) else sum(map(len, value))
    return size


def _field(value: bytes | list[bytes] | None) -> bytes:
    """Make *value* one word without surprises."""
    if not isinstance(value, bytes) or not value:
        return b"-"
    text = value[:_LONGEST_FIELD]
    if _UNSAFE.search(text) is not None:
        text = _UNSAFE.sub(_escape, text)[:_LONGEST_FIELD]
    return text if len(value) <= _LONGEST_FIELD else text + b"..."


def _escape(match: re.Match[bytes]) -> bytes:
    return b"\\x%02X" % match.group()[0]
