"""Fixtures for the master."""

from __future__ import annotations

import logging

import pytest


@pytest.fixture(autouse=True)
def _log_is_heard(monkeypatch):
    """Whatever a test before has made of m2serve's log."""
    for name in ("m2serve", "m2serve.master", "m2serve.system"):
        log = logging.getLogger(name)
        monkeypatch.setattr(log, "propagate", True)
        monkeypatch.setattr(log, "disabled", False)
    monkeypatch.setattr(logging.getLogger("m2serve"), "level", logging.INFO)
    logging.getLogger("m2serve").manager._clear_cache()
