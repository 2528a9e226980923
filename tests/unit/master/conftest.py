"""Fixtures for the master."""

from __future__ import annotations

import pytest
from support.heard import hear


@pytest.fixture(autouse=True)
def _log_is_heard(monkeypatch):
    hear(monkeypatch, "m2serve.master", "m2serve.system")
