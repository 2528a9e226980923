"""What was worked out once, for the few things that come again and again."""

from __future__ import annotations

import threading
from typing import Generic, TypeVar

_K = TypeVar("_K")
_V = TypeVar("_V")


class Memo(Generic[_K, _V]):
    """A dictionary of at most *limit* items; the oldest makes room for the newest.

    Threads: any may read (``get`` is the dictionary's own, one atomic operation); ``_lock`` guards the changes.
    """

    __slots__ = ("_items", "_limit", "_lock", "get")

    def __init__(self, limit: int) -> None:
        self._items: dict[_K, _V] = {}
        self._limit = limit
        self._lock = threading.Lock()
        self.get = self._items.get

    def put(self, key: _K, value: _V) -> None:
        """Keep *value*; the first one stays if there is one already."""
        items = self._items
        with self._lock:
            if key not in items:
                if len(items) >= self._limit:
                    del items[next(iter(items))]
                items[key] = value

    def __len__(self) -> int:
        return len(self._items)


class Sightings:
    """Tells what has been seen lately, in 4 KiB, so that what comes only once is hardly ever kept.

    It may forget, and in one case of 128 it takes something new for what was there before: either costs a little time
    and nothing else. A byte for each, as numbers of their own would cost more than all the rest of this.
    Threads: any; single operations on the bytes are atomic.
    """

    __slots__ = ("_marks",)

    def __init__(self) -> None:
        self._marks = bytearray(4096)

    def again(self, key: object) -> bool:
        """Whether *key* was seen before; from now on it was."""
        number = hash(key) & 0xFFFFF
        index = number & 4095
        mark = number >> 12 | 1  # zero: nothing was there
        if self._marks[index] == mark:
            return True
        self._marks[index] = mark
        return False
