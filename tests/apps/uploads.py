"""A WSGI application that looks at the bodies of its requests."""

from __future__ import annotations

import hashlib
import json
import os
from typing import TYPE_CHECKING, Any

from gate import pass_gate

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    Environ = dict[str, Any]


def digest(environ: Environ, rest: str) -> object:
    """What the body is, read in pieces and then once more from its beginning."""
    body = environ["wsgi.input"]
    found, size = hashlib.sha256(), 0
    while piece := body.read(1 << 16):
        found.update(piece)
        size += len(piece)
    body.seek(0)
    return {
        "sha256": found.hexdigest(),
        "size": size,
        "length": environ.get("CONTENT_LENGTH"),
        "again": body.read(10).decode("latin-1"),
        "end": body.seek(0, os.SEEK_END),
        "terminated": environ["wsgi.input_terminated"],
        "names": sorted(name for name in environ if "UPLOAD" in name or name == "HTTP_TRANSFER_ENCODING"),
        "pid": os.getpid(),
    }


def hold(environ: Environ, rest: str) -> object:
    """As digest, when there is a file of that name; the log says when it has begun."""
    pass_gate(rest)
    return digest(environ, rest)


def fail(environ: Environ, rest: str) -> object:
    raise ValueError("raised on purpose")


def progress(environ: Environ, rest: str) -> object:
    found = environ["m2serve.uploads"](rest)
    return None if found is None else found._asdict()


_PATHS = {"digest": digest, "hold": hold, "raise": fail, "progress": progress}


def application(environ: Environ, start_response: Callable[..., object]) -> Iterable[bytes]:
    name, _, rest = environ["PATH_INFO"].lstrip("/").partition("/")
    if name == "back":
        start_response("200 OK", [("Content-Length", environ["CONTENT_LENGTH"])])
        return environ["wsgi.file_wrapper"](environ["wsgi.input"])  # type: ignore[no-any-return]
    body = json.dumps(_PATHS.get(name, digest)(environ, rest)).encode()
    start_response("200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(body)))])
    return [body]
