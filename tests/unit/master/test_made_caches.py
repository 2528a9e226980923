"""Memory for the applications' caches, at a start and after an upgrade."""

from __future__ import annotations

import os

import pytest

from m2serve.apps.cache.cache import Cache
from m2serve.config.caches import CacheLine
from m2serve.errors import ConfigError
from m2serve.master.caches import facts, make_caches

SMALL = CacheLine.parse("name=small,items=3,blocksize=100")
LARGE = CacheLine.parse("name=large,items=3,blocksize=1000")


def is_open(fd: int) -> bool:
    try:
        os.fstat(fd)
    except OSError:
        return False
    return True


def test_what_has_the_same_sizes_goes_on(caplog: pytest.LogCaptureFixture) -> None:
    first = make_caches((SMALL, LARGE), {})
    Cache(first["small"], SMALL).store(b"a", b"1")
    Cache(first["large"], LARGE).store(b"a", b"1")
    larger = LARGE._replace(blocksize=2000)
    second = make_caches((SMALL, larger), first)
    assert second["small"] == first["small"]
    assert Cache(second["small"], SMALL).get(b"a") == b"1"
    assert Cache(second["large"], larger).get(b"a") is None
    assert "cache large begins empty" in caplog.text
    third = make_caches((SMALL,), second)
    assert list(third) == ["small"]
    assert not is_open(second["large"])
    os.close(third["small"])


def test_facts() -> None:
    made = make_caches((SMALL,), {})
    cache = Cache(made["small"], SMALL)
    for number in range(5):
        cache.store(b"%d" % number, b"v")
    cache.get(b"0")
    cache.get(b"none")
    found = facts("small", made["small"])
    assert found[:6] == ("small", 65536, 2048, 3, 3, 100)
    assert found[6:10] == (3, 1, 1, 2)
    assert found.modified > 0
    os.close(made["small"])


def test_more_than_there_is(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(fd: int, size: int) -> None:
        raise OSError(27, "File too large")

    monkeypatch.setattr(os, "ftruncate", refuse)
    with pytest.raises(ConfigError, match="cache small: File too large"):
        make_caches((SMALL,), {})
