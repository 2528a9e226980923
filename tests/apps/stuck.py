"""Requests that do not come to an end by themselves, and such as do beside them."""

from __future__ import annotations

import ctypes
import os
import sys
import time
from typing import TYPE_CHECKING, Any

from probe import application as probe

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    Environ = dict[str, Any]
    Start = Callable[..., Callable[[bytes], object]]

_WITH_LOCK = ctypes.PyDLL(None)
"""Functions of C that are called without giving up the interpreter lock."""


def begun(environ: Environ) -> None:
    print(f"begun {environ['PATH_INFO']}", file=sys.stderr, flush=True)


def wait_here(seconds: float) -> None:
    """The log has to name this function."""
    time.sleep(seconds)


def wait(environ: Environ, start: Start, rest: str) -> Iterable[bytes]:
    """``/wait/<seconds>``: then an answer."""
    begun(environ)
    wait_here(float(rest))
    print("came back", file=sys.stderr, flush=True)
    start("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "5")])
    return [b"late\n"]


def beside(environ: Environ, start: Start, rest: str) -> Iterable[bytes]:
    """``/beside/<seconds>``: who has served it."""
    begun(environ)
    time.sleep(float(rest))
    start("200 OK", [("Content-Type", "text/plain")])
    return [b"%d" % os.getpid()]


def lock(environ: Environ, start: Start, rest: str) -> Iterable[bytes]:
    """``/lock/<seconds>``: no other thread of the worker runs meanwhile."""
    _WITH_LOCK.sleep(int(rest))
    start("200 OK", [("Content-Type", "text/plain")])
    return [b"late\n"]


def half(environ: Environ, start: Start, rest: str) -> Iterator[bytes]:
    """``/half/<seconds>``: gets stuck amid its answer."""
    start("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "10")])
    yield b"first"
    wait_here(float(rest))
    yield b"other"


_PATHS = {"wait": wait, "beside": beside, "lock": lock, "half": half}


def application(environ: Environ, start_response: Start) -> Iterable[bytes]:
    name, _, rest = environ["PATH_INFO"].lstrip("/").partition("/")
    return _PATHS.get(name, _probe)(environ, start_response, rest)


def _probe(environ: Environ, start: Start, rest: str) -> Iterable[bytes]:
    return probe(environ, start)
