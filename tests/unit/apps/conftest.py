"""Fixtures for the tests of applications."""

from __future__ import annotations

import pytest
from support.heard import hear


@pytest.fixture(autouse=True)
def _log_is_heard(monkeypatch: pytest.MonkeyPatch) -> None:
    hear(monkeypatch, "m2serve.worker")
