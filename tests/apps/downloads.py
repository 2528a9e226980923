"""Bodies of any size whose every byte can be checked, in each of the ways in which an application may give one."""

from __future__ import annotations

import os
import random
import sys
import time
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    Environ = dict[str, Any]
    Start = Callable[..., Callable[[bytes], object]]

_BLOCK = random.Random(7).randbytes(1 << 20)
_PIECE = 10_007


def content(size: int) -> Iterator[bytes]:
    """The body of that size, in pieces; no two MiB of it are the same."""
    for number in range((size + len(_BLOCK) - 1) >> 20):
        piece = number.to_bytes(8, "big") + _BLOCK[8:]
        yield piece[: size - (number << 20)]


def small_pieces(size: int) -> Iterator[bytes]:
    for block in content(size):
        for at in range(0, len(block), _PIECE):
            yield block[at : at + _PIECE]


class Events:
    """An endless stream that says into the log when it is closed, and whether its client was there."""

    def __init__(self, environ: Environ, name: str) -> None:
        self._connected = environ["m2serve.connected"]
        self._name = name

    def __iter__(self) -> Iterator[bytes]:
        while True:
            yield b"data: tick\n\n"
            time.sleep(0.1)

    def close(self) -> None:
        print(f"closed {self._name} connected={self._connected()}", file=sys.stderr, flush=True)


def patient(environ: Environ) -> Iterator[bytes]:
    """Says nothing until its client has left."""
    yield b"begun"
    while environ["m2serve.connected"]():
        time.sleep(0.02)
    print("noticed", file=sys.stderr, flush=True)


def application(environ: Environ, start: Start) -> Iterable[bytes]:
    """``/list/SIZE``, ``/generate/SIZE``, ``/file/SIZE?file=PATH``; ``length=1``: with Content-Length.

    Besides: ``/events/NAME``, ``/patient``, ``/quick``.
    """
    how, _, rest = environ["PATH_INFO"].strip("/").partition("/")
    query = parse_qs(environ["QUERY_STRING"])
    headers = [("Content-Type", "application/octet-stream")]
    if "length" in query:
        headers.append(("Content-Length", rest))
    start("200 OK", headers)
    if how == "list":
        return list(content(int(rest)))
    if how == "generate":
        return small_pieces(int(rest))
    if how == "file":
        return environ["wsgi.file_wrapper"](open(query["file"][0], "rb"))  # type: ignore[no-any-return]
    if how == "events":
        return Events(environ, rest)
    if how == "patient":
        return patient(environ)
    return [b"quick %d" % os.getpid()]
