"""A small Bottle application."""

from __future__ import annotations

from typing import TYPE_CHECKING

import bottle

if TYPE_CHECKING:
    from collections.abc import Iterator

application = bottle.Bottle()


@application.get("/")
def page() -> str:
    return f"bottle at {bottle.request.script_name.rstrip('/') or '/'}"


@application.post("/form")
def form() -> dict[str, str]:
    return {"name": bottle.request.forms.name}


@application.get("/stream")
def stream() -> Iterator[str]:
    bottle.response.content_type = "text/plain"
    for number in range(3):
        yield f"{number} "
