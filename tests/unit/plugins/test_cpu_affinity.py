"""Processors for workers."""

from __future__ import annotations

import importlib
from types import SimpleNamespace

import pytest

from m2serve.errors import ConfigError
from m2serve.plugin.hooks import Hooks
from m2serve.plugin.loader import find, set_up


def load() -> object:
    plugin = find("cpu_affinity", [], importable=False)
    assert plugin is not None
    return plugin


@pytest.mark.parametrize(
    ("usable", "each", "expected"),
    [
        ([0, 1, 2, 3], 1, [[0], [1], [2], [3], [0]]),
        ([0, 1, 2, 3], 2, [[0, 1], [2, 3], [0, 1]]),
        ([0, 1, 2], 2, [[0, 1], [0, 2], [1, 2], [0, 1]]),
        ([4, 7], 3, [[4, 7], [4, 7]]),
        ([5], 1, [[5], [5]]),
    ],
)
def test_round_robin(usable: list[int], each: int, expected: list[list[int]]) -> None:
    load()
    share = importlib.import_module("m2serve_plugins.cpu_affinity").share
    assert [share(usable, each, worker) for worker in range(1, len(expected) + 1)] == expected


def test_it_wants_a_number() -> None:
    with pytest.raises(ConfigError, match=r"a\.ini:1: plugin cpu_affinity: expected cpu-affinity"):
        set_up([(load(), None, "a.ini:1")], SimpleNamespace(cpu_affinity=0))  # type: ignore[list-item]
    assert isinstance(set_up([(load(), None, "")], SimpleNamespace(cpu_affinity=1)), Hooks)  # type: ignore[list-item]
