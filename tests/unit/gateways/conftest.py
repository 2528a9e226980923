"""Fixtures for the tests of gateways."""

from __future__ import annotations

import logging

import pytest


@pytest.fixture
def errors(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    """What the gateway under test logs."""
    caplog.set_level(logging.INFO, "m2serve.test")
    return caplog
