"""Which descriptors a process holds."""

from __future__ import annotations

import os
import resource
from typing import TYPE_CHECKING

from m2serve.system import fds

if TYPE_CHECKING:
    import pytest


def test_without_proc_the_same_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    expected = [fd for fd in fds.open_fds() if fds._is_open(fd)]

    def nothing(path: str) -> list[str]:
        raise FileNotFoundError(path)

    monkeypatch.setattr(os, "listdir", nothing)
    monkeypatch.setattr(resource, "getrlimit", lambda which: (max(expected) + 10, -1))
    assert fds.open_fds() == expected
