"""Loggers that pytest's ``caplog`` can hear, whatever a test before has made of m2serve's log."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pytest


def hear(monkeypatch: pytest.MonkeyPatch, *names: str) -> None:
    """Let these loggers below ``m2serve`` speak, from INFO on, until the test is over."""
    for name in ("m2serve", *names):
        log = logging.getLogger(name)
        monkeypatch.setattr(log, "propagate", True)
        monkeypatch.setattr(log, "disabled", False)
    monkeypatch.setattr(logging.getLogger("m2serve"), "level", logging.INFO)
    logging.getLogger("m2serve").manager._clear_cache()  # type: ignore[attr-defined]
