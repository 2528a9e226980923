"""``optimize``: Python's level is fixed at its start, so it is started again before anything else is."""

from __future__ import annotations

import signal
import subprocess
import sys
from typing import TYPE_CHECKING

from support.http import get
from support.server import ROOT

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from support.mongrel2 import Mongrel2
    from support.server import Server

APP = '''
"""A docstring."""
import sys

try:
    assert False
    KEPT = "without assert"
except AssertionError:
    KEPT = "with assert"


def application(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [f"{KEPT}, {__doc__}, {sys.flags.optimize}".encode()]
'''


def test_the_application_has_that_level(
    mongrel2: Mongrel2, start_server: Callable[..., Server], tmp_path: Path
) -> None:
    (tmp_path / "optimized.py").write_text(APP)
    args = ("--zeromq", mongrel2.pair, "--pythonpath", str(tmp_path), "--module", "optimized", "-p", "2")
    server = start_server(*args, "-O", "1").wait_ready(2)
    expected = "without assert, A docstring., 1"
    assert get(mongrel2.address).text == expected
    # a reload and an upgrade keep it
    for number in (signal.SIGHUP, signal.SIGUSR2):
        mark = server.mark()
        server.signal(number)
        server.wait_ready(2, after=mark)
        assert get(mongrel2.address).text == expected
    assert server.stop() == 0
    highest = start_server(*args, "--optimize", "9").wait_ready(2)
    assert get(mongrel2.address).text == "without assert, None, 2"
    assert highest.stop() == 0


def test_settings_that_can_be_read_but_once(tmp_path: Path) -> None:
    text = "[uwsgi]\nmodule = app\nhttp = 127.0.0.1:0\noptimize = 1\n"
    done = subprocess.run(
        [sys.executable, "-m", "m2serve", "--ini", "-"],
        input=text, capture_output=True, text=True, timeout=60, check=False, cwd=ROOT,
    )  # fmt: skip
    assert done.returncode == 1
    assert "-:4: optimize: m2serve cannot be started a second time like this" in done.stderr
