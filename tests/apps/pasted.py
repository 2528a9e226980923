"""An application and a filter for PasteDeploy."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    Application = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]

log = logging.getLogger("pasted")


def make_app(global_conf: dict[str, str], **settings: str) -> Application:
    """Answers with what the file says."""
    text = f"{settings['greeting']} {global_conf['stage']} {global_conf['__file__']}\n".encode()

    def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        log.info("asked for %s", environ["PATH_INFO"])
        start_response("200 OK", [("Content-Type", "text/plain"), ("X-Seen-By", environ.get("pasted.filter", ""))])
        return [text]

    return application


def make_filter(global_conf: dict[str, str], mark: str) -> Callable[[Application], Application]:
    """Leaves its mark in the environ."""

    def around(app: Application) -> Application:
        def filtered(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
            environ["pasted.filter"] = mark
            return app(environ, start_response)

        return filtered

    return around
