"""Fixtures for the dispatcher's parts."""

from __future__ import annotations

import logging

import pytest
from dispatching import Node
from routed import House


@pytest.fixture(params=["tcp", "ipc"])
def node(request, tmp_path):
    node = Node(request.param, tmp_path)
    yield node
    node.close()


@pytest.fixture
def tcp_node(tmp_path):
    node = Node("tcp", tmp_path)
    yield node
    node.close()


@pytest.fixture
def house():
    house = House()
    yield house
    for worker in house.workers:
        worker.close()


@pytest.fixture(autouse=True)
def _log_is_heard(monkeypatch):
    """Whatever a test before has made of m2serve's log."""
    for name in ("m2serve", "m2serve.responder", "m2serve.dispatcher"):
        log = logging.getLogger(name)
        monkeypatch.setattr(log, "propagate", True)
        monkeypatch.setattr(log, "disabled", False)
    monkeypatch.setattr(logging.getLogger("m2serve"), "level", logging.INFO)
    logging.getLogger("m2serve").manager._clear_cache()
