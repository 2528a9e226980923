"""Fixtures for the dispatcher's parts."""

from __future__ import annotations

import pytest
from dispatching import Node
from routed import House
from support.heard import hear


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
    hear(monkeypatch, "m2serve.responder", "m2serve.dispatcher")
