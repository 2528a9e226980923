"""The applications every peer serves; they cost next to nothing, so that the servers are what is measured."""

from __future__ import annotations

import hashlib
import os
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any

BODY = b"Hello from the benchmark.\n"
HEADERS = [("Content-Type", "text/plain"), ("Content-Length", str(len(BODY)))]
NAP = 0.25
"""Seconds a request for ``/slow`` sleeps, as if it waited for a database."""


def hello(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """Constant bytes."""
    start_response("200 OK", list(HEADERS))
    return [BODY]


def mixed(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """The same bytes; the client asks for ``/slow`` once in a hundred requests, and that one sleeps."""
    if environ["PATH_INFO"] == "/slow":
        time.sleep(NAP)
    start_response("200 OK", list(HEADERS))
    return [BODY]


_PIECE = bytes(range(256)) * 64


def download(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """``/download/SIZE``: so many bytes from a generator, pieces of 16 KiB; everything else as :func:`hello`."""
    path = environ["PATH_INFO"]
    if not path.startswith("/download/"):
        return hello(environ, start_response)
    size = int(path[10:])
    start_response("200 OK", [("Content-Type", "application/octet-stream"), ("Content-Length", str(size))])
    return (_PIECE[: size - at] for at in range(0, size, len(_PIECE)))


def bodies(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """``/length/SIZE``, ``/chunked/SIZE``: a generator; ``/file``: ``$BENCH_FILE``; a POST: SHA-256 of its body."""
    how, _, size = environ["PATH_INFO"][1:].partition("/")
    headers = [("Content-Type", "application/octet-stream")]
    if environ["REQUEST_METHOD"] == "POST":
        digest = hashlib.sha256()
        while data := environ["wsgi.input"].read(1 << 18):
            digest.update(data)
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [digest.hexdigest().encode()]
    if how == "length":
        start_response("200 OK", [*headers, ("Content-Length", size)])
    elif how == "chunked":
        start_response("200 OK", headers)
    elif how == "file":
        file = open(os.environ["BENCH_FILE"], "rb")
        start_response("200 OK", [*headers, ("Content-Length", str(os.fstat(file.fileno()).st_size))])
        wrapped: Iterable[bytes] = environ["wsgi.file_wrapper"](file)
        return wrapped
    else:
        return hello(environ, start_response)
    return (_PIECE[: int(size) - at] for at in range(0, int(size), len(_PIECE)))


def work(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """``/work`` takes 0.1 s, everything else nothing."""
    if environ["PATH_INFO"] == "/work":
        time.sleep(0.1)
    return hello(environ, start_response)
