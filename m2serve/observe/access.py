"""One line for each request, in uWSGI's words, which many programs already read.

``[pid: 28119|app: 0|req: 1/1] 127.0.0.1 () {24 vars in 246 bytes} [Fri Nov 20 13:46:09 2026] GET / => generated
41 bytes in 0 msecs (HTTP/1.1 200) 1 headers in 45 bytes (1 switches on core 0)``

Unlike uWSGI, bytes that the client chose are escaped, so that none can write a line, or a field, of its own.
"""

from __future__ import annotations

import mmap
import re
import time
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable

    from m2serve.observe.facts import Facts
    from m2serve.observe.template import Template

_PAGE: Final = mmap.PAGESIZE
_IO: Final = (2, 3)
"""Troubles of the gateways' outcomes: the request could not be read, the answer not be sent."""

_UNSAFE = re.compile(rb"[^\x21-\x7e]|[\"\\]")

_LONGEST_FIELD = 3072
"""Keeps a line below 4096 bytes: uWSGI's limit too, and what a pipe takes from several writers in one piece."""


class RequestLog(Protocol):
    """Writes a line for each request, or for some."""

    def record(self, facts: Facts) -> None:
        """A request is over."""


class AccessLog:
    """Writes the request log of one worker.

    Threads: any; a line is handed to *write* in one call.

    Args:
        write: takes one line, its newline included.
        pid: of the worker.
        micros: times are microseconds.
        memory: gives resident memory and address space in bytes, to begin each line with.
    """

    def __init__(
        self,
        write: Callable[[bytes], object],
        pid: int,
        *,
        micros: bool = False,
        memory: Callable[[], tuple[int, int]] | None = None,
    ) -> None:
        self._write = write if memory is None else _with_memory(write, memory)
        self._prefix = b"[pid: %d|app: " % pid
        self._stamp = (-1, b"")
        self._scale, self._unit = (1e6, b"micros") if micros else (1e3, b"msecs")

    def record(self, facts: Facts) -> None:
        """Write the line of one request; its time is local."""
        request, outcome, core, started, elapsed, _, served_by_worker, served_total = facts
        second = int(started)
        stamp = self._stamp
        if stamp[0] != second:
            stamp = self._stamp = (second, time.ctime(second).encode("ascii"))
        headers = request.headers
        count = len(headers)
        field = _field
        self._write(
            b"%b%d|req: %d/%d] %b () {%d vars in %d bytes} [%b] %b %b => generated %d bytes in %d %b "
            b"(%b %d) %d headers in %d bytes (1 switches on core %d)\n"
            % (
                self._prefix,
                outcome.app,
                served_by_worker,
                served_total,
                field(headers.get(b"REMOTE_ADDR")),
                count,
                facts.packet_size,
                stamp[1],
                field(headers.get(b"METHOD")),
                field(headers.get(b"URI", request.path)),
                outcome.body_bytes,
                int(elapsed * self._scale),
                self._unit,
                field(headers.get(b"VERSION")),
                outcome.status,
                outcome.header_count,
                outcome.header_bytes,
                core,
            )
        )


class TemplateLog:
    """Writes lines in a form of the user's own."""

    def __init__(
        self, write: Callable[[bytes], object], template: Template, memory: Callable[[], tuple[int, int]]
    ) -> None:
        self._write = write
        self._template = template
        self._memory = memory

    def record(self, facts: Facts) -> None:
        """Write the line of one request."""
        if self._template.needs_memory:
            facts = facts._replace(memory=self._memory())
        self._write(self._template.line(facts))


class Choice(NamedTuple):
    """Which requests have a line although requests in general have none."""

    errors_4xx: bool = False
    errors_5xx: bool = False
    slower_than: float = 0.0
    """Seconds; 0: however slow."""
    larger_than: int = 0
    """Bytes of the body; 0: however large."""
    empty: bool = False
    io_errors: bool = False
    files: bool = False
    """Whose body was a file's."""

    def takes(self, facts: Facts) -> bool:
        """Whether this one has."""
        outcome, elapsed = facts.outcome, facts.elapsed
        return bool(
            (self.errors_4xx and 400 <= outcome.status < 500)
            or (self.errors_5xx and outcome.status >= 500)
            or 0 < self.slower_than <= elapsed
            or 0 < self.larger_than <= outcome.body_bytes
            or (self.empty and not outcome.body_bytes)
            or (self.io_errors and outcome.trouble in _IO)
            or (self.files and outcome.filed and outcome.body_bytes > 0)
        )


class ChosenLog:
    """Hands only some requests on."""

    def __init__(self, choice: Choice, log: RequestLog) -> None:
        self._choice = choice
        self._log = log

    def record(self, facts: Facts) -> None:
        """Write the line of one request, if it is chosen."""
        if self._choice.takes(facts):
            self._log.record(facts)


def memory_of_this_process() -> tuple[int, int]:
    """Resident memory and address space in bytes; 0 where that is not told."""
    try:
        with open("/proc/self/statm", "rb") as file:
            size, resident = file.read().split()[:2]
    except OSError:
        return 0, 0
    return int(resident) * _PAGE, int(size) * _PAGE


def _with_memory(write: Callable[[bytes], object], memory: Callable[[], tuple[int, int]]) -> Callable[[bytes], object]:
    def written(line: bytes) -> None:
        rss, vsz = memory()
        said = b"{address space usage: %d bytes/%dMB} {rss usage: %d bytes/%dMB} "
        write(said % (vsz, vsz >> 20, rss, rss >> 20) + line)

    return written


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
