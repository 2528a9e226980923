"""A cache's shared memory: where everything lies.

A memfd, made by the master and zero all over but for its sizes: zeros are an empty cache, and pages that nobody has
touched cost nothing. In this order: words of the whole, buckets, a row of words for each item, a word for each block
(the next one of the same value), the keys, the blocks. Items and blocks are numbered from 1 on; 0 is none.

There is room for one item, and one block, more than may be used: a value's successor is written before it goes.
"""

from __future__ import annotations

import mmap
import os
from typing import Final, NamedTuple

_FORMAT: Final = 0x6D32_6361_6368_0001

# Words of the whole.
FORMAT: Final = 0
ITEMS: Final = 1
BLOCKS: Final = 2
BLOCKSIZE: Final = 3
KEYSIZE: Final = 4
BUCKETS: Final = 5
SALT: Final = 6
"""Two words that make hashes of keys differ from server to server."""
SEQUENCE: Final = 8
"""Number of the latest item that was written."""
CLEARED: Final = 9
"""Items with this number or a smaller one are gone."""
DIRTY: Final = 10
"""1 while somebody changes anything; found by who comes next, it says that he was killed halfway."""
HITS: Final = 11
MISSES: Final = 12
FULL: Final = 13
"""Values that were refused because there was no room."""
MODIFIED: Final = 14
"""When anything changed last, in seconds since the epoch."""
# What follows can be made anew from the rows.
COUNT: Final = 16
"""Items that are there."""
TAKEN: Final = 17
"""Blocks that their values fill."""
ITEMS_BEGUN: Final = 18
"""Items up to this number were in use at some time."""
BLOCKS_BEGUN: Final = 19
FREE_ITEM: Final = 20
"""First of a list of free ones below that, by NEXT."""
FREE_BLOCK: Final = 21
NEWEST: Final = 22
"""The item that was used last; from it the list by OLDER."""
OLDEST: Final = 23
EARLIEST: Final = 24
"""No item expires before; 0: none expires."""
SWEPT: Final = 25
"""When those that had expired were last looked for, in monotonic nanoseconds."""
_WORDS: Final = 64

# Words of an item.
STATE: Final = 0
"""The number it was written as; 0: it is free. Written last, and taken back first: only this word makes an item."""
HASH: Final = 1
KEY_SIZE: Final = 2
VALUE_SIZE: Final = 3
BLOCK: Final = 4
"""The first of its blocks."""
EXPIRES: Final = 5
"""Monotonic nanoseconds; 0: never."""
USED: Final = 6
"""When it was used last, as a number that grows."""
NEXT: Final = 7
"""In its bucket, or in the list of free items."""
NEWER: Final = 8
OLDER: Final = 9
ROW: Final = 16


class Geometry(NamedTuple):
    """Sizes of a cache; *buckets* is a number of lists in which items are looked for."""

    items: int
    blocks: int
    blocksize: int
    keysize: int
    buckets: int


def create(geometry: Geometry) -> int:
    """A new cache's descriptor, close-on-exec.

    Raises: OSError: there can be none as large as that.
    """
    fd = os.memfd_create("m2serve-cache")
    try:
        os.ftruncate(fd, _Places(geometry).end)
        words = mmap.mmap(fd, _WORDS * 8)
        with words, memoryview(words) as view, view.cast("Q") as header:
            for word, size in enumerate(geometry, ITEMS):
                header[word] = size
            header[SALT : SALT + 2] = memoryview(os.urandom(16)).cast("Q")
            header[FORMAT] = _FORMAT
    except BaseException:
        os.close(fd)
        raise
    return fd


def geometry(fd: int) -> Geometry | None:
    """Of an existing one; None: it is none, or of another version."""
    data = os.pread(fd, _WORDS * 8, 0)
    if len(data) != _WORDS * 8:
        return None
    words = memoryview(data).cast("Q")
    return Geometry(*words[ITEMS : BUCKETS + 1].tolist()) if words[FORMAT] == _FORMAT else None


def counters(fd: int) -> list[int]:
    """The words of the whole, to look at without a lock: each for itself is right."""
    return memoryview(os.pread(fd, _WORDS * 8, 0)).cast("Q").tolist()


class _Places:
    """Where parts begin, in bytes."""

    def __init__(self, sizes: Geometry) -> None:
        self.buckets = _WORDS * 8
        self.rows = self.buckets + sizes.buckets * 8
        self.links = self.rows + (sizes.items + 2) * ROW * 8
        self.keys = self.links + (sizes.blocks + 2) * 8
        self.blocks = self.keys + (sizes.items + 2) * sizes.keysize
        self.end = self.blocks + (sizes.blocks + 2) * sizes.blocksize


class Memory:
    """A mapped cache.

    Attributes: salt: for the hash of keys.
    """

    __slots__ = ("_map", "blocks", "buckets", "geometry", "keys", "links", "rows", "salt", "words")

    def __init__(self, fd: int) -> None:
        found = geometry(fd)
        if found is None:
            raise ValueError("the memory of a cache is none that this version knows")
        self.geometry, places = found, _Places(found)
        self._map = mmap.mmap(fd, places.end)
        view = memoryview(self._map)
        self.words = view[: places.buckets].cast("Q")
        self.buckets = view[places.buckets : places.rows].cast("Q")
        self.rows = view[places.rows : places.links].cast("Q")
        self.links = view[places.links : places.keys].cast("Q")
        self.keys = view[places.keys : places.blocks]
        self.blocks = view[places.blocks : places.end]
        self.salt = self.words[SALT : SALT + 2].tobytes()
