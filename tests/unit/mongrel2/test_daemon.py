"""Mongrel2's log lines as ours."""

from __future__ import annotations

import logging

import pytest

from m2serve.mongrel2.daemon import log_level

STAMP = "Fri, 20 Nov 2026 20:41:48 GMT"


@pytest.mark.parametrize(
    ("line", "level", "text"),
    [
        (f"{STAMP} [INFO] (src/mime.c:49) MAX limits", logging.DEBUG, "MAX limits (src/mime.c:49)"),
        (f"{STAMP} [WARN] (src/a.c:1: errno: None) slow", logging.WARNING, "slow (src/a.c:1: errno: None)"),
        (f"{STAMP} [ERROR] (src/a.c:1) bad", logging.ERROR, "bad (src/a.c:1)"),
        (f"{STAMP} [ERROR] (errno: x) getlogin failed and", logging.DEBUG, "getlogin failed and (errno: x)"),
        (
            f"{STAMP} [ERROR] (src/u.c:1) Failed to open PID file x",
            logging.DEBUG,
            "Failed to open PID file x (src/u.c:1)",
        ),
        (f"{STAMP} [NEWS] something", logging.WARNING, "something"),
        ("no form at all", logging.DEBUG, "no form at all"),
        ("", logging.DEBUG, ""),
    ],
)
def test_levels(line, level, text):
    assert log_level(line) == (level, text)
