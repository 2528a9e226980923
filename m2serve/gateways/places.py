"""Which of the mounted applications a request is for, and what of its path that one sees."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from m2serve.gateways.base import Environ, Mounts, WSGIApp
    from m2serve.gateways.routing.call import Call
    from m2serve.message import Request


def place(mounts: Mounts, environ: Environ, request: Request) -> tuple[int, WSGIApp]:
    """Choose the application, and divide the path where it is mounted. Returns: its number, and itself."""
    script, info = environ["SCRIPT_NAME"], environ["PATH_INFO"]
    if script and request.variables is not None:
        # a web server may have divided it already: for a mount of ours, or elsewhere
        number, app, mount, rest = mounts.resolve(script + info)
        if mount:
            if len(mount) >= len(script):
                environ["SCRIPT_NAME"], environ["PATH_INFO"] = mount, rest
            return number, app
    number, app, mount, rest = mounts.resolve(info)
    environ["SCRIPT_NAME"] = script + mount
    environ["PATH_INFO"] = rest
    return number, app


def move(mounts: Mounts, environ: Environ, call: Call, literal: str) -> tuple[int, WSGIApp]:
    """Choose anew: a rule has changed the path.

    Args: literal: SCRIPT_NAME as it was before any application was chosen.
    """
    path = call.path
    if call.script:
        literal = call.script
    elif path == literal or path.startswith(f"{literal}/"):
        path = path.removeprefix(literal)
    else:
        literal = ""
    number, app, mount, rest = mounts.resolve(path)
    environ["SCRIPT_NAME"] = literal + mount
    environ["PATH_INFO"] = rest
    return number, app
