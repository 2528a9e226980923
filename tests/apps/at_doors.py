"""What the checks through every door ask for: the probe, and below paths of their own what else the tests have."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

from downloads import application as downloads
from gate import pass_gate
from judged import application as judged
from probe import application as probe
from stuck import application as stuck

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    Environ = dict[str, Any]
    Start = Callable[..., Callable[[bytes], object]]

_OTHERS = {"judged": judged, "downloads": downloads, "stuck": stuck}
_TEXT = ("Content-Type", "text/plain")


def headers(environ: Environ, start: Start) -> Iterable[bytes]:
    """Repeated ones, and one with bytes beyond ASCII."""
    start(
        "200 OK", [_TEXT, ("Set-Cookie", "a=1"), ("Set-Cookie", "b=2"), ("X-Latin", "caf\xe9"), ("Content-Length", "2")]
    )
    return [b"ok"]


def gated(environ: Environ, start: Start) -> Iterator[bytes]:
    """A first piece at once, the second when there is a file of the name in the query."""
    start("200 OK", [_TEXT])
    yield b"first\n"
    pass_gate(environ["QUERY_STRING"])
    yield b"second\n"


def wrapped(environ: Environ, start: Start) -> Iterable[bytes]:
    """Something like a file, without a descriptor."""
    start("200 OK", [_TEXT])
    file = io.BytesIO(b"0123456789" * 10_000)
    file.seek(5)
    found: Iterable[bytes] = environ["wsgi.file_wrapper"](file)
    return found


_OWN = {"/headers": headers, "/gated": gated, "/wrapped": wrapped}


def application(environ: Environ, start_response: Start) -> Iterable[bytes]:
    path = environ["PATH_INFO"]
    name, _, rest = path.lstrip("/").partition("/")
    if name in _OTHERS:
        environ["SCRIPT_NAME"] += f"/{name}"
        environ["PATH_INFO"] = f"/{rest}"
        return _OTHERS[name](environ, start_response)
    return _OWN.get(path, probe)(environ, start_response)
