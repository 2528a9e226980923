"""A cache's items: found, written, removed, and put in order when somebody was killed at it.

Who uses it holds the cache's lock, so there is one at a time. He may be killed between any two stores, and what he has
stored until then is there for the next one. Therefore:

- An item is there if its STATE says so. STATE is stored when all else of the item is in its place, and that place is
  nobody else's; it is the first thing that is taken back. What was being written is thus never seen.
- A new value never overwrites the old one. Between the store that makes the new one and the one that ends the old one
  both are there; the later one counts.
- Everything else, buckets, lists, counts, only serves to find items and room. DIRTY is set before any of it changes,
  and taken back behind that; who finds it set makes all of it anew from the rows (`restore`), and may be killed, too.
- A cache is cleared by one store, of CLEARED.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import TYPE_CHECKING

from m2serve.apps.cache.memory import (
    BLOCK,
    BLOCKS_BEGUN,
    CLEARED,
    COUNT,
    DIRTY,
    EARLIEST,
    EXPIRES,
    FREE_BLOCK,
    FREE_ITEM,
    HASH,
    ITEMS_BEGUN,
    KEY_SIZE,
    NEWER,
    NEWEST,
    NEXT,
    OLDER,
    OLDEST,
    ROW,
    SEQUENCE,
    STATE,
    TAKEN,
    USED,
    VALUE_SIZE,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from m2serve.apps.cache.memory import Memory


class Table:
    """The items of one cache. Times are monotonic nanoseconds; it asks no clock, and takes no lock."""

    def __init__(self, memory: Memory) -> None:
        self._memory = memory
        self._sizes = memory.geometry

    @property
    def count(self) -> int:
        return self._memory.words[COUNT]

    def find(self, key: bytes) -> int:
        """The item with this key; 0: there is none."""
        memory, number = self._memory, self._hash(key)
        item = memory.buckets[number % self._sizes.buckets]
        while item:
            row = item * ROW
            if memory.rows[row + HASH] == number and self.key(item) == key:
                break
            item = memory.rows[row + NEXT]
        return item

    def key(self, item: int) -> bytes:
        at = item * self._sizes.keysize
        return bytes(self._memory.keys[at : at + self._memory.rows[item * ROW + KEY_SIZE]])

    def value(self, item: int) -> bytes:
        memory, size = self._memory, self._sizes.blocksize
        rest, block = memory.rows[item * ROW + VALUE_SIZE], memory.rows[item * ROW + BLOCK]
        parts = []
        while rest:
            length = min(rest, size)
            parts.append(bytes(memory.blocks[block * size : block * size + length]))
            rest, block = rest - length, memory.links[block]
        return b"".join(parts)

    def expires(self, item: int) -> int:
        """When it does; 0: never."""
        return self._memory.rows[item * ROW + EXPIRES]

    def items(self) -> Iterator[int]:
        """All that are there."""
        rows, cleared = self._memory.rows, self._memory.words[CLEARED]
        begun = self._memory.words[ITEMS_BEGUN]
        return (item for item in range(1, begun + 1) if rows[item * ROW + STATE] > cleared)

    def has_room(self, size: int, instead: int) -> bool:
        """Whether a value of *size* bytes may be written, in place of item *instead* or, 0, beside all others."""
        freed = self._blocks_of(self._memory.rows[instead * ROW + VALUE_SIZE]) if instead else 0
        taken = self._memory.words[TAKEN] - freed + self._blocks_of(size)
        return taken <= self._sizes.blocks and (bool(instead) or self.count < self._sizes.items)

    def oldest(self) -> int:
        """The item that was used least recently."""
        return self._memory.words[OLDEST]

    def use(self, item: int) -> None:
        """It is the one that was used last."""
        words = self._memory.words
        if words[NEWEST] != item:
            words[DIRTY] = 1
            self._unlist(item)
            self._list(item)
            words[DIRTY] = 0

    def write(self, key: bytes, value: bytes, expires: int, instead: int) -> None:
        """Write an item, for which there is room; item *instead*, if not 0, has the same key, and is no more then."""
        memory = self._memory
        rows, words = memory.rows, memory.words
        if instead and not self._are_free(self._blocks_of(len(value))):
            # so large that both have no place at one moment: killed now, the key is gone
            self.remove(instead)
            instead = 0
        words[DIRTY] = 1
        item = self._take_item()
        row, at = item * ROW, item * self._sizes.keysize
        rows[row + HASH] = self._hash(key)
        rows[row + KEY_SIZE] = len(key)
        rows[row + VALUE_SIZE] = len(value)
        rows[row + EXPIRES] = expires
        memory.keys[at : at + len(key)] = key
        rows[row + BLOCK] = self._fill(value)
        number = words[SEQUENCE] + 1
        words[SEQUENCE] = number
        rows[row + STATE] = number
        if instead:
            self._take_out(instead)
        self._put_in(item)
        words[DIRTY] = 0

    def remove(self, item: int) -> None:
        """It is no more."""
        self._memory.words[DIRTY] = 1
        self._take_out(item)
        self._memory.words[DIRTY] = 0

    def clear(self) -> None:
        """None is any more."""
        words = self._memory.words
        words[DIRTY] = 1
        words[CLEARED] = words[SEQUENCE]
        self._forget()
        words[ITEMS_BEGUN] = words[BLOCKS_BEGUN] = 0
        words[DIRTY] = 0

    def sweep(self, now: int) -> None:
        """Remove what has expired, if anything may have."""
        words = self._memory.words
        if 0 < words[EARLIEST] <= now:
            earliest = 0
            for item in self.items():
                expires = self.expires(item)
                if 0 < expires <= now:
                    self.remove(item)
                elif expires and (not earliest or expires < earliest):
                    earliest = expires
            words[EARLIEST] = earliest

    def restore(self) -> None:
        """Make everything anew from the rows, if somebody was killed while he changed it."""
        words, rows = self._memory.words, self._memory.rows
        if not words[DIRTY]:
            return
        latest: dict[bytes, int] = {}
        for item in list(self.items()):
            key = self.key(item)
            other = latest.get(key)
            if other is None or rows[other * ROW + STATE] < rows[item * ROW + STATE]:
                latest[key] = item
            else:
                other = item
            if other is not None:
                rows[other * ROW + STATE] = 0
        self._forget()
        there = set(latest.values())
        for item in range(words[ITEMS_BEGUN], 0, -1):
            if item not in there:
                rows[item * ROW + STATE] = 0
                self._free_item(item)
        taken = {block for item in there for block in self._chain(item)}
        for block in range(words[BLOCKS_BEGUN], 0, -1):
            if block not in taken:
                self._free_block(block)
        for item in sorted(there, key=lambda one: rows[one * ROW + USED]):
            self._put_in(item)
        words[DIRTY] = 0

    # --- inside, where DIRTY is set ---------------------------------------------------

    def _hash(self, key: bytes) -> int:
        return int.from_bytes(blake2b(key, digest_size=8, key=self._memory.salt).digest(), "little")

    def _blocks_of(self, size: int) -> int:
        return -(-size // self._sizes.blocksize)

    def _chain(self, item: int) -> list[int]:
        rows, links = self._memory.rows, self._memory.links
        chain, block = [], rows[item * ROW + BLOCK]
        for _ in range(self._blocks_of(rows[item * ROW + VALUE_SIZE])):
            chain.append(block)
            block = links[block]
        return chain

    def _are_free(self, count: int) -> bool:
        return self._sizes.blocks + 1 - self._memory.words[TAKEN] >= count

    def _take_item(self) -> int:
        words = self._memory.words
        item = words[FREE_ITEM]
        if item:
            words[FREE_ITEM] = self._memory.rows[item * ROW + NEXT]
            return item
        words[ITEMS_BEGUN] += 1
        return words[ITEMS_BEGUN]

    def _free_item(self, item: int) -> None:
        self._memory.rows[item * ROW + NEXT] = self._memory.words[FREE_ITEM]
        self._memory.words[FREE_ITEM] = item

    def _take_block(self) -> int:
        words = self._memory.words
        block = words[FREE_BLOCK]
        if block:
            words[FREE_BLOCK] = self._memory.links[block]
            return block
        words[BLOCKS_BEGUN] += 1
        return words[BLOCKS_BEGUN]

    def _free_block(self, block: int) -> None:
        self._memory.links[block] = self._memory.words[FREE_BLOCK]
        self._memory.words[FREE_BLOCK] = block

    def _fill(self, value: bytes) -> int:
        """Write a value into blocks; gives the first."""
        memory, size = self._memory, self._sizes.blocksize
        first = last = 0
        for begin in range(0, len(value), size):
            block = self._take_block()
            part = value[begin : begin + size]
            memory.blocks[block * size : block * size + len(part)] = part
            if last:
                memory.links[last] = block
            first, last = first or block, block
        return first

    def _put_in(self, item: int) -> None:
        """Let it be found, and counted."""
        words, rows, buckets = self._memory.words, self._memory.rows, self._memory.buckets
        row = item * ROW
        bucket = rows[row + HASH] % self._sizes.buckets
        rows[row + NEXT] = buckets[bucket]
        buckets[bucket] = item
        self._list(item)
        words[COUNT] += 1
        words[TAKEN] += self._blocks_of(rows[row + VALUE_SIZE])
        expires = rows[row + EXPIRES]
        if expires and (not words[EARLIEST] or expires < words[EARLIEST]):
            words[EARLIEST] = expires

    def _take_out(self, item: int) -> None:
        """End it, and give back what it has."""
        words, rows, buckets = self._memory.words, self._memory.rows, self._memory.buckets
        row = item * ROW
        rows[row + STATE] = 0
        bucket = rows[row + HASH] % self._sizes.buckets
        before = buckets[bucket]
        if before == item:
            buckets[bucket] = rows[row + NEXT]
        else:
            while rows[before * ROW + NEXT] != item:
                before = rows[before * ROW + NEXT]
            rows[before * ROW + NEXT] = rows[row + NEXT]
        self._unlist(item)
        words[COUNT] -= 1
        chain = self._chain(item)
        words[TAKEN] -= len(chain)
        for block in chain:
            self._free_block(block)
        self._free_item(item)

    def _list(self, item: int) -> None:
        """As the one that was used last."""
        words, rows, row = self._memory.words, self._memory.rows, item * ROW
        newest = words[NEWEST]
        rows[row + NEWER], rows[row + OLDER] = 0, newest
        if newest:
            rows[row + USED] = rows[newest * ROW + USED] + 1
            rows[newest * ROW + NEWER] = item
        else:
            rows[row + USED] = 1
            words[OLDEST] = item
        words[NEWEST] = item

    def _unlist(self, item: int) -> None:
        words, rows = self._memory.words, self._memory.rows
        newer, older = rows[item * ROW + NEWER], rows[item * ROW + OLDER]
        if newer:
            rows[newer * ROW + OLDER] = older
        else:
            words[NEWEST] = older
        if older:
            rows[older * ROW + NEWER] = newer
        else:
            words[OLDEST] = newer

    def _forget(self) -> None:
        words, buckets = self._memory.words, self._memory.buckets
        words[COUNT] = words[TAKEN] = words[FREE_ITEM] = words[FREE_BLOCK] = words[NEWEST] = words[OLDEST] = 0
        words[EARLIEST] = 0
        buckets[:] = memoryview(bytes(len(buckets) * 8)).cast("Q")
