"""Doors for tests."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from support.doorman import Doorman

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@pytest.fixture
def open_door() -> Iterator[Callable[..., Doorman]]:
    opened: list[Doorman] = []

    def start(serve: Callable[[Any, Any], Any], threads: int = 2, **rest: Any) -> Doorman:
        opened.append(Doorman(serve, threads, **rest))
        return opened[-1]

    yield start
    for one in opened:
        one.stop()
