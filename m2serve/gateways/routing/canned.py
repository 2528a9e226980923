"""Answers that are a status and its reason."""

from __future__ import annotations

import http
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from m2serve.gateways.base import Environ, WSGIApp


def canned(status: str, headers: Iterable[tuple[str, str]] = ()) -> WSGIApp:
    """An application that answers with a status and its reason."""
    code, _, reason = status.partition(" ")
    if not reason:
        known = http.HTTPStatus._value2member_map_
        reason = known[int(code)].phrase if int(code) in known else "Whatever"  # type: ignore[attr-defined]
    body = f"{reason}\n".encode("latin-1", "replace")
    if code in ("204", "304"):
        body, more = b"", []
    else:
        more = [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))]
    line, lines = f"{code} {reason}", [*headers, *more]

    def application(environ: Environ, start: Callable[..., Any]) -> Iterable[bytes]:
        start(line, list(lines))
        return [] if environ["REQUEST_METHOD"] == "HEAD" else [body]

    return application
