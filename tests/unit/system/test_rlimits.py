"""Limits of the kernel, with a kernel of the test's own."""

from __future__ import annotations

import resource

import pytest

from m2serve.config.settings import Settings
from m2serve.errors import ConfigError
from m2serve.system import rlimits


@pytest.fixture
def limits(monkeypatch: pytest.MonkeyPatch) -> dict[int, tuple[int, int]]:
    found = {resource.RLIMIT_NOFILE: (1024, 4096), resource.RLIMIT_AS: (-1, -1)}

    def change(which: int, values: tuple[int, int]) -> None:
        if found[which][1] != -1 and values[1] > found[which][1]:
            raise ValueError("not allowed to raise maximum limit")
        found[which] = values

    monkeypatch.setattr(resource, "setrlimit", change)
    monkeypatch.setattr(resource, "getrlimit", lambda which: found[which])
    return found


def test_both(limits: dict[int, tuple[int, int]]) -> None:
    rlimits.apply(Settings(max_fd=2000, limit_as=512))
    assert limits == {resource.RLIMIT_NOFILE: (2000, 2000), resource.RLIMIT_AS: (512 << 20, 512 << 20)}


def test_none(limits: dict[int, tuple[int, int]]) -> None:
    before = dict(limits)
    rlimits.apply(Settings())
    assert limits == before


def test_as_far_as_it_goes(limits: dict[int, tuple[int, int]], caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("WARNING", "m2serve.system"):
        rlimits.apply(Settings(max_fd=1_000_000))
    assert limits[resource.RLIMIT_NOFILE] == (4096, 4096)


def test_the_kernel_may_refuse(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(which: int, values: tuple[int, int]) -> None:
        raise OSError(1, "Operation not permitted")

    monkeypatch.setattr(resource, "setrlimit", refuse)
    with pytest.raises(ConfigError, match="max-fd = 5: Operation not permitted"):
        rlimits.apply(Settings(max_fd=5))
