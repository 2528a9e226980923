"""A process that is killed between any two stores into a cache's memory."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import pytest

from m2serve.apps.cache import memory as words
from m2serve.apps.cache.memory import ROW, STATE, Geometry, Memory, create
from m2serve.apps.cache.table import Table

if TYPE_CHECKING:
    from collections.abc import Callable

PARTS = ("words", "buckets", "rows", "links", "keys", "blocks")


class Killed(BaseException):
    """Nothing of the process runs after this."""


class Budget:
    """So many stores, and the next one is not made."""

    def __init__(self, left: int) -> None:
        self.left = left

    def spend(self) -> None:
        if self.left == 0:
            raise Killed
        self.left -= 1


class Mortal:
    """A part of the memory. Long stores are made in two halves."""

    def __init__(self, part: Any, budget: Budget) -> None:
        self.part = part
        self.budget = budget

    def __getitem__(self, key: Any) -> Any:
        return self.part[key]

    def __len__(self) -> int:
        return len(self.part)

    def __setitem__(self, key: Any, value: Any) -> None:
        self.budget.spend()
        if isinstance(key, slice):
            view = self.part[key]
            half = len(view) // 2
            view[:half] = value[:half]
            self.budget.spend()
            view[half:] = value[half:]
        else:
            self.part[key] = value


def mortal(fd: int, stores: int) -> Table:
    memory: Any = Memory(fd)
    budget = Budget(stores)
    for name in PARTS:
        setattr(memory, name, Mortal(getattr(memory, name), budget))
    return Table(memory)


def contents(table: Table) -> dict[bytes, bytes]:
    return {table.key(item): table.value(item) for item in table.items()}


def check(fd: int) -> dict[bytes, bytes]:
    """Everything fits together; gives what is there."""
    memory = Memory(fd)
    table = Table(memory)
    table.restore()
    there, header = contents(table), memory.words
    items = list(table.items())
    assert header[words.DIRTY] == 0
    assert len(there) == len(items) == table.count  # no key twice
    assert [table.find(table.key(item)) for item in items] == items
    chains = [block for item in items for block in table._chain(item)]
    assert len(set(chains)) == len(chains) == header[words.TAKEN]
    listed, item = [], header[words.NEWEST]
    while item:
        listed.append(item)
        item = memory.rows[item * ROW + words.OLDER]
    assert sorted(listed) == items
    assert (listed[-1] if listed else 0) == table.oldest()
    free, item = set(), header[words.FREE_ITEM]
    while item:
        assert item not in free
        assert memory.rows[item * ROW + STATE] <= header[words.CLEARED]
        free.add(item)
        item = memory.rows[item * ROW + words.NEXT]
    assert free | set(items) == set(range(1, header[words.ITEMS_BEGUN] + 1))
    blocks, block = set(), header[words.FREE_BLOCK]
    while block:
        assert block not in blocks
        blocks.add(block)
        block = memory.links[block]
    assert blocks | set(chains) == set(range(1, header[words.BLOCKS_BEGUN] + 1))
    assert not blocks & set(chains)
    return there


def filled() -> int:
    """Three items of up to two blocks, with holes between; all in the same two buckets."""
    fd = create(Geometry(items=4, blocks=8, blocksize=4, keysize=8, buckets=2))
    table = Table(Memory(fd))
    for name in (b"gone", b"a", b"b", b"gone2", b"c"):
        table.write(name, name * 2, 0, 0)
    for name in (b"gone2", b"gone"):
        table.remove(table.find(name))
    return fd


def new(table: Table) -> None:
    table.write(b"d", b"12345678", 9, 0)


def other(table: Table) -> None:
    table.write(b"b", b"XYZ-xyz-", 0, table.find(b"b"))


def remove(table: Table) -> None:
    table.remove(table.find(b"b"))


def clear(table: Table) -> None:
    table.clear()


def use(table: Table) -> None:
    table.use(table.find(b"a"))


OLD = {b"a": b"aa", b"b": b"bb", b"c": b"cc"}
WITHOUT = {b"a": b"aa", b"c": b"cc"}


@pytest.mark.parametrize(
    ("change", "after"),
    [
        (new, {**OLD, b"d": b"12345678"}),
        (other, {**OLD, b"b": b"XYZ-xyz-"}),
        (remove, WITHOUT),
        (clear, {}),
        (use, OLD),
    ],
)
def test_either_it_has_happened_or_it_has_not(
    change: Callable[[Table], None], after: dict[bytes, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []
    for stores in range(1000):
        fd = filled()
        try:
            change(mortal(fd, stores))
        except Killed:
            # who comes next may be killed while he mends it, at every store of his own
            for again in range(0, 200, 7):
                try:
                    mortal(fd, again).restore()
                except Killed:
                    continue
                break
            seen.append(check(fd))
            # and there is as much room as ever
            table = Table(Memory(fd))
            table.write(b"e", b"12345678", 0, table.find(b"e"))
            check(fd)
        else:
            assert check(fd) == after
            break
        finally:
            os.close(fd)
    assert len(seen) > 2
    assert all(one in (OLD, after) for one in seen)
    turn = seen.index(after) if after != OLD and after in seen else len(seen)
    assert all(one == after for one in seen[turn:])


def test_of_two_values_of_a_key_the_later_one_counts() -> None:
    fd = filled()
    memory = Memory(fd)
    table = Table(memory)
    for value in (b"new", b"newer"):  # once in a place before the old one, once behind
        first = table.find(b"a")
        number = memory.rows[first * ROW + STATE]
        table.write(b"a", value, 0, first)
        # as if it had been killed between the two stores that make the one and end the other
        memory.rows[first * ROW + STATE] = number
        memory.words[words.DIRTY] = 1
        assert check(fd)[b"a"] == value
    os.close(fd)


def test_what_has_no_room_beside_its_predecessor_is_there_or_gone() -> None:
    for stores in range(1000):
        fd = create(Geometry(items=2, blocks=4, blocksize=4, keysize=8, buckets=2))
        Table(Memory(fd)).write(b"a", b"a" * 16, 0, 0)
        table = mortal(fd, stores)
        try:
            table.write(b"a", b"b" * 16, 0, table.find(b"a"))
        except Killed:
            assert check(fd) in ({b"a": b"a" * 16}, {}, {b"a": b"b" * 16})
        else:
            assert check(fd) == {b"a": b"b" * 16}
            break
        finally:
            os.close(fd)
