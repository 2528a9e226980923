"""Code that changes while it is served, with py-autoreload."""

from __future__ import annotations

import itertools
import os
from typing import TYPE_CHECKING

import pytest
from support.http import get
from support.server import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from support.mongrel2 import Mongrel2
    from support.server import Server

APPLICATION = """
import watched_part

def application(environ, start_response):
    if environ["PATH_INFO"] == "/late":
        import watched_late
    body = watched_part.VERSION
    start_response("200 OK", [("Content-Length", str(len(body)))])
    return [body]
"""


def save(path: Path, text: str) -> None:
    """As a good editor does: there is never half a file."""
    new = path.with_suffix(".new")
    new.write_text(text)
    os.replace(new, path)


@pytest.mark.parametrize("options", [(), ("--lazy-apps",)], ids=["preloaded", "lazy"])
def test_what_is_saved_is_served(
    mongrel2: Mongrel2, start_server: Callable[..., Server], tmp_path: Path, options: tuple[str, ...]
) -> None:
    part, late = tmp_path / "watched_part.py", tmp_path / "watched_late.py"
    (tmp_path / "watched.py").write_text(APPLICATION)
    part.write_text("VERSION = b'v0'\n")
    late.write_text("")
    server = start_server(
        *("--zeromq", mongrel2.pair, "-p", "2", "--py-autoreload", "0.2", "--py-auto-reload-ignore", "json"),
        *("--pythonpath", str(tmp_path), "--module", "watched", *options),
    ).wait_ready(2)
    server.allow("SyntaxError|invalid syntax")

    def served() -> bytes:
        return get(mongrel2.address).body

    assert served() == b"v0"
    save(part, "VERSION = b'v1'\n")
    wait_until(lambda: served() == b"v1", 15, "v1 is served")
    server.wait_log(r"py-autoreload, .*watched_part.py has changed: reload")

    save(part, "VERSION = (b'v2'\n")
    server.wait_log("reload given up: its application cannot be loaded; the old generation goes on")
    assert served() == b"v1"
    save(part, "VERSION = b'v3'\n")
    wait_until(lambda: served() == b"v3", 15, "v3 is served")

    # what is imported by a request counts, once the worker has told of it
    get(mongrel2.address, "/late")
    mark, numbers = server.mark(), itertools.count()

    def noticed() -> bool:
        save(late, f"X = {next(numbers)}\n")
        return "watched_late.py has changed" in server.log[mark:]

    wait_until(noticed, 15, "the late import is watched")
