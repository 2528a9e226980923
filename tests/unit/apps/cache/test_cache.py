"""What applications may expect of a cache."""

from __future__ import annotations

import logging
import os
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from m2serve.apps.cache import memory
from m2serve.apps.cache.cache import Cache, Caches
from m2serve.apps.cache.memory import Geometry, create
from m2serve.config.caches import CacheLine

if TYPE_CHECKING:
    from collections.abc import Iterator

SECOND = 10**9


class Time:
    def __init__(self) -> None:
        self.now = 5 * SECOND

    def __call__(self) -> int:
        return self.now

    def passes(self, seconds: float) -> None:
        self.now += int(seconds * SECOND)


def made(text: str) -> tuple[int, CacheLine]:
    line = CacheLine.parse(text)
    return create(Geometry(line.items, line.blocks, line.blocksize, line.keysize, line.hashsize)), line


@pytest.fixture
def opened() -> Iterator[list[int]]:
    fds: list[int] = []
    yield fds
    for fd in fds:
        os.close(fd)


def cache_of(text: str, opened: list[int], time: Time | None = None) -> Cache:
    fd, line = made(text)
    opened.append(fd)
    return Cache(fd, line, time or Time())


def counted(opened: list[int], *which: int) -> list[int]:
    found = memory.counters(opened[-1])
    return [found[one] for one in which]


def test_values_come_and_go(opened: list[int]) -> None:
    cache = cache_of("name=c,items=10", opened)
    assert cache.get(b"a") is None
    assert cache.store(b"a", b"1")
    assert not cache.store(b"a", b"2")
    assert cache.get(b"a") == b"1"
    assert cache.store(b"a", b"2", overwrite=True)
    assert cache.get(b"a") == b"2"
    assert cache.exists(b"a")
    assert cache.keys() == [b"a"]
    assert cache.delete(b"a")
    assert not cache.delete(b"a")
    assert not cache.exists(b"a")
    assert counted(opened, memory.HITS, memory.MISSES, memory.COUNT) == [2, 1, 0]


def test_numbers_have_eight_bytes_and_a_sign(opened: list[int]) -> None:
    cache = cache_of("name=c,items=10", opened)
    assert cache.change(b"n", "inc", 5)
    assert cache.get(b"n") == b"\5\0\0\0\0\0\0\0"
    cache.change(b"n", "dec", 7)
    assert cache.number(b"n") == -2
    cache.change(b"n", "mul", 7)
    cache.change(b"n", "div", 3)
    assert cache.number(b"n") == -4
    cache.change(b"n", "div", -2)
    assert cache.number(b"n") == 2
    cache.change(b"n", "div", 0)
    assert cache.number(b"n") == 0
    cache.store(b"n", b"\xff" * 7 + b"\x7f", overwrite=True)
    cache.change(b"n", "inc", 1)
    assert cache.number(b"n") == -(2**63)
    # uWSGI adds to whatever stands there
    cache.store(b"t", b"ab")
    cache.change(b"t", "inc", 1)
    assert cache.get(b"t") == b"bb\0\0\0\0\0\0"
    assert cache.number(b"none") == 0


def test_a_number_may_begin_elsewhere(opened: list[int]) -> None:
    cache = cache_of("name=c,items=10,math_initial=100", opened)
    cache.change(b"n", "inc", 1)
    assert cache.number(b"n") == 101


def test_keys_and_values_have_their_sizes(opened: list[int]) -> None:
    cache = cache_of("name=c,items=4,blocksize=10,keysize=3", opened)
    assert cache.store(b"abc", b"1234567890")
    assert not cache.store(b"abcd", b"1")
    assert not cache.store(b"a", b"12345678901")
    assert not cache.store(b"", b"1")
    assert not cache.store(b"a", b"")
    assert not cache.change(b"abcd", "inc", 1)
    assert cache.keys() == [b"abc"]


def test_with_a_bitmap_values_may_fill_all_blocks(opened: list[int]) -> None:
    cache = cache_of("name=c,items=4,blocks=5,blocksize=10,bitmap=1", opened)
    assert cache.store(b"a", b"x" * 41)
    assert not cache.store(b"b", b"1")
    assert cache.store(b"a", b"y" * 50, overwrite=True)
    assert cache.get(b"a") == b"y" * 50
    assert not cache.store(b"a", b"y" * 51, overwrite=True)
    assert cache.get(b"a") == b"y" * 50


def test_what_expires_is_gone_in_time(opened: list[int]) -> None:
    time = Time()
    cache = cache_of("name=c,items=3,expires=5", opened, time)
    cache.store(b"a", b"1", 2)
    cache.store(b"b", b"1")
    cache.change(b"n", "inc", 1, 10)
    time.passes(1.9)
    assert cache.get(b"a") == b"1"
    time.passes(0.2)
    assert cache.get(b"a") is None
    assert cache.store(b"a", b"2")
    assert sorted(cache.keys()) == [b"a", b"b", b"n"]
    cache.change(b"n", "inc", 1)  # keeps its time
    time.passes(4)
    assert sorted(cache.keys()) == [b"a", b"n"]
    # there is room as soon as it has gone
    assert cache.store(b"c", b"1")
    time.passes(4)
    assert cache.keys() == [b"c"]


def test_where_it_is_full_nothing_is_kept(opened: list[int], caplog: pytest.LogCaptureFixture) -> None:
    cache = cache_of("name=c,items=2", opened)
    with caplog.at_level(logging.WARNING):
        assert [cache.store(b"%d" % i, b"v") for i in range(4)] == [True, True, False, False]
    assert not cache.change(b"n", "inc", 1)
    assert cache.store(b"1", b"w", overwrite=True)
    assert counted(opened, memory.FULL) == [3]
    assert [record.getMessage() for record in caplog.records] == ["cache c is full: what does not fit in is not kept"]


def test_that_may_be_ignored(opened: list[int], caplog: pytest.LogCaptureFixture) -> None:
    cache = cache_of("name=c,items=1,ignore_full=1", opened)
    assert [cache.store(b"%d" % i, b"v") for i in range(2)] == [True, False]
    assert not caplog.records


def test_or_what_was_used_least_recently_makes_room(opened: list[int]) -> None:
    cache = cache_of("name=c,items=3,purge_lru=1", opened)
    for key in (b"a", b"b", b"c"):
        cache.store(key, b"1")
    cache.get(b"a")
    cache.store(b"c", b"2", overwrite=True)
    cache.store(b"d", b"1")
    assert sorted(cache.keys()) == [b"a", b"c", b"d"]
    cache.store(b"e", b"1")
    assert sorted(cache.keys()) == [b"c", b"d", b"e"]
    assert counted(opened, memory.FULL) == [0]


def test_even_the_one_that_is_replaced(opened: list[int]) -> None:
    cache = cache_of("name=c,items=3,blocks=3,blocksize=4,bitmap=1,purge_lru=1", opened)
    cache.store(b"a", b"1")
    cache.store(b"b", b"12345")
    assert cache.store(b"a", b"x" * 12, overwrite=True)
    assert {key: cache.get(key) for key in cache.keys()} == {b"a": b"x" * 12}


def test_or_all_are_forgotten(opened: list[int]) -> None:
    cache = cache_of("name=c,items=2,clear_on_full=1", opened)
    assert all(cache.store(b"%d" % i, b"v") for i in range(3))
    assert cache.keys() == [b"2"]


def test_two_that_know_the_same_memory(opened: list[int]) -> None:
    first = cache_of("name=c,items=2", opened)
    line = CacheLine.parse("name=c,items=2")
    second = Cache(opened[0], line)
    first.store(b"a", b"1")
    assert second.get(b"a") == b"1"
    second.clear()
    assert first.keys() == []


def test_caches_have_names(opened: list[int]) -> None:
    fds, lines = {}, []
    for name in ("one", "two"):
        fd, line = made(f"name={name},items=2")
        opened.append(fd)
        fds[name] = fd
        lines.append(line)
    caches = Caches(lines, fds)
    assert caches.find("") is caches.find("one")
    assert caches.find("two") is not caches.find("one")
    assert caches.find("three") is None
    assert Caches((), {}).find("") is None


KEYS = st.sampled_from([b"a", b"b", b"c", b"d", b"e", b"key"])
VALUES = st.binary(min_size=1, max_size=20)


class Model(RuleBasedStateMachine):
    """A cache of blocks beside a dict."""

    def __init__(self) -> None:
        super().__init__()
        self.time = Time()
        self.fd, line = made("name=c,items=4,blocks=6,blocksize=5,keysize=3,bitmap=1,hashsize=3,ignore_full=1")
        self.cache = Cache(self.fd, line, self.time)
        self.known: dict[bytes, tuple[bytes, int]] = {}

    def teardown(self) -> None:
        os.close(self.fd)

    def living(self) -> dict[bytes, bytes]:
        return {key: value for key, (value, end) in self.known.items() if not end or end > self.time.now}

    def room(self, key: bytes, value: bytes) -> bool:
        others = [one for name, one in self.living().items() if name != key]
        return len(others) < 4 and sum(-(-len(one) // 5) for one in [*others, value]) <= 6

    @rule(key=KEYS, value=VALUES, seconds=st.integers(0, 3), overwrite=st.booleans())
    def store(self, key: bytes, value: bytes, seconds: int, overwrite: bool) -> None:
        expected = (overwrite or key not in self.living()) and self.room(key, value)
        assert self.cache.store(key, value, seconds, overwrite=overwrite) == expected
        if expected:
            self.known[key] = value, self.time.now + seconds * SECOND if seconds else 0

    @rule(key=KEYS)
    def delete(self, key: bytes) -> None:
        assert self.cache.delete(key) == (key in self.living())
        self.known.pop(key, None)

    @rule(key=KEYS, by=st.integers(-(2**70), 2**70))
    def add(self, key: bytes, by: int) -> None:
        before = int.from_bytes(self.living().get(key, b"")[:8].ljust(8, b"\0"), "little")
        value = ((before + by) % 2**64).to_bytes(8, "little")
        fits = self.room(key, value)
        end = self.known[key][1] if key in self.living() else 0
        assert self.cache.change(key, "inc", by) == fits
        if fits:
            self.known[key] = value, end

    @rule(seconds=st.floats(0.1, 2))
    def passes(self, seconds: float) -> None:
        self.time.passes(seconds)

    @precondition(lambda self: len(self.known) > 3)
    @rule()
    def clear(self) -> None:
        self.cache.clear()
        self.known.clear()

    @invariant()
    def same(self) -> None:
        expected = self.living()
        assert sorted(self.cache.keys()) == sorted(expected)
        assert {key: self.cache.get(key) for key in expected} == expected


TestModel = Model.TestCase
TestModel.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
