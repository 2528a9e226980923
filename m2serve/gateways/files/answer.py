"""One file as the answer to one request."""

from __future__ import annotations

import io
import os
from typing import TYPE_CHECKING, NamedTuple

from m2serve.gateways.files.conditions import NOTHING, Part, Validators, Verdict, part, verdict
from m2serve.gateways.filewrapper import FileWrapper
from m2serve.wire.httpdate import http_date

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from m2serve.gateways.base import Environ, Write
    from m2serve.gateways.files.beneath import Opened

_SMALL = 32 * 1024
"""Bytes that are read at once and leave in one message; a larger file is read at its client's pace."""
_LAST_DATE = 253402300799
"""HTTP's dates have years of four digits."""


class Manner(NamedTuple):
    """How a file is presented."""

    media_type: str
    packed: bool
    """It is NAME.gz, in place of NAME."""
    varies: bool
    """Whoever does not accept gzip may get another one."""
    expires: float | None
    """Seconds since the epoch."""
    ranges: bool
    """A part of it may be asked for."""
    now: float
    """Seconds since the epoch."""


class StaticFile:
    """A WSGI application for one call, which answers with an open file and closes it."""

    def __init__(self, file: Opened, manner: Manner) -> None:
        self._fd = file.fd
        self._size = file.known.st_size
        self._manner = manner
        variant = "-gz" if manner.packed else ""
        self._known = Validators.of(file.known.st_mtime_ns, self._size, manner.now, variant)

    def __call__(self, environ: Environ, start: Callable[..., Write]) -> Iterable[bytes]:
        try:
            return self._answer(environ, start)
        finally:
            if self._fd >= 0:
                os.close(self._fd)

    def _answer(self, environ: Environ, start: Callable[..., Write]) -> Iterable[bytes]:
        judged = verdict(environ, self._known)
        headers = self._validators()
        if judged is Verdict.NOT_MODIFIED:
            start("304 Not Modified", headers)
            return []
        if judged is Verdict.FAILED:
            start("412 Precondition Failed", [*headers, ("Content-Length", "0")])
            return []
        wanted = part(environ, self._known, self._size) if self._manner.ranges else None
        if wanted is NOTHING:
            start("416 Range Not Satisfiable", [("Content-Range", f"bytes */{self._size}"), ("Content-Length", "0")])
            return []
        headers += [("Content-Type", self._manner.media_type)]
        if self._manner.packed:
            headers.append(("Content-Encoding", "gzip"))
        if self._manner.ranges:
            headers.append(("Accept-Ranges", "bytes"))
        status = "200 OK"
        if wanted is None:
            wanted = Part(0, self._size)
        else:
            status = "206 Partial Content"
            last = wanted.first + wanted.size - 1
            headers.append(("Content-Range", f"bytes {wanted.first}-{last}/{self._size}"))
        start(status, [*headers, ("Content-Length", str(wanted.size))])
        return [] if environ["REQUEST_METHOD"] == "HEAD" else self._body(wanted)

    def _validators(self) -> list[tuple[str, str]]:
        """What a 304 has as well."""
        headers = [("Last-Modified", _date(self._known.modified)), ("ETag", self._known.tag)]
        if self._manner.expires is not None:
            headers.append(("Expires", _date(self._manner.expires)))
        if self._manner.varies:
            headers.append(("Vary", "Accept-Encoding"))
        return headers

    def _body(self, wanted: Part) -> Iterable[bytes]:
        if wanted.size <= _SMALL:
            # of a file that has become shorter meanwhile it is less, and the gateway closes the connection
            return [os.pread(self._fd, wanted.size, wanted.first)]
        os.lseek(self._fd, wanted.first, os.SEEK_SET)
        # the gateway calls its close(), and reads on from a copy of the descriptor
        file = io.FileIO(self._fd, "rb")
        self._fd = -1
        return FileWrapper(file)


def _date(when: float) -> str:
    return http_date(min(max(when, 0), _LAST_DATE)).decode("ascii")
