"""A WSGI application that reads, or does not read, bodies of any size."""

from __future__ import annotations

import hashlib
import json
import os
import sys
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    Environ = dict[str, Any]
    Start = Callable[..., object]


def blocks(environ: Environ, size: int) -> Iterator[bytes]:
    return iter(lambda: environ["wsgi.input"].read(size), b"")


def digest(environ: Environ, rest: str) -> dict[str, Any]:
    """``/digest/<block>/<seconds>``: read all, in blocks, with a pause after each one; the log says when it begins."""
    size, pause = rest.split("/")
    total, hashed = 0, hashlib.sha256()
    for block in blocks(environ, int(size)):
        if not total:
            print(f"reading {environ.get('QUERY_STRING')}", file=sys.stderr, flush=True)
        total += len(block)
        hashed.update(block)
        time.sleep(float(pause))
    return {
        "size": total,
        "sha256": hashed.hexdigest(),
        "length": environ.get("CONTENT_LENGTH"),
        "terminated": environ.get("wsgi.input_terminated"),
        "coding": environ.get("HTTP_TRANSFER_ENCODING"),
        "pid": os.getpid(),
    }


def lines(environ: Environ, rest: str) -> dict[str, Any]:
    return {"lines": sum(1 for _ in environ["wsgi.input"])}


def part(environ: Environ, rest: str) -> dict[str, Any]:
    """``/part/<bytes>``: read that much, then answer."""
    return {"read": len(environ["wsgi.input"].read(int(rest)))}


def stubborn(environ: Environ, rest: str) -> dict[str, Any]:
    """Read until that fails, say into the log how, and answer all the same."""
    try:
        return digest(environ, "65536/0")
    except OSError as error:
        print(f"cannot read: {type(error).__name__} {error}", file=sys.stderr, flush=True)
        return {"error": type(error).__name__}


def progress(environ: Environ, rest: str) -> dict[str, Any] | None:
    found = environ["m2serve.uploads"](rest)
    return None if found is None else found._asdict()


_PATHS: dict[str, Callable[[Environ, str], object]] = {
    "progress": progress,
    "digest": digest,
    "lines": lines,
    "part": part,
    "stubborn": stubborn,
}


def application(environ: Environ, start_response: Start) -> Iterable[bytes]:
    name, _, rest = environ["PATH_INFO"].lstrip("/").partition("/")
    body = json.dumps(_PATHS[name](environ, rest)).encode()
    start_response("200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(body)))])
    return [body]
