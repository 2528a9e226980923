"""How long requests run, and how they end: counted in each worker, added up in the master.

The memory is anonymous and shared, made before the first fork. It has rows of words; a row belongs to one life of one
worker, from the moment at which the master is about to fork it to its burial, and has its number in front. So no two
processes ever write to the same word, and what the dead have counted is kept.
"""

from __future__ import annotations

import mmap
import threading
from bisect import bisect_left
from typing import Final, NamedTuple

BOUNDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
"""Upper ends of the buckets, in seconds; above the last one is one more."""
CLASSES: Final = ("1xx", "2xx", "3xx", "4xx", "5xx")

_NANOSECONDS: Final = [int(bound * 1e9) for bound in BOUNDS]
_SUM: Final = 1
_BUCKETS: Final = 2
_CLASSES: Final = _BUCKETS + len(BOUNDS) + 1
_WORDS: Final = _CLASSES + len(CLASSES)
"""Of a row; the first one is the number of the life, 0: nobody's."""


class Totals(NamedTuple):
    """All that was ever counted. ``buckets`` are not cumulative, ``nanoseconds`` is their sum."""

    nanoseconds: int
    buckets: list[int]
    statuses: list[int]


class RunTimes:
    """The rows. In a worker, request threads count in one row under a lock.

    Args: processes: so many workers there are; a reload has twice as many for a while, and some are still leaving.
    """

    def __init__(self, processes: int) -> None:
        count = 4 * processes + 8
        words = memoryview(mmap.mmap(-1, count * _WORDS * 8)).cast("Q")
        self._rows = [words[_WORDS * index : _WORDS * (index + 1)] for index in range(count)]
        self._past = [0] * _WORDS
        self._mine: memoryview | None = None
        self._lock = threading.Lock()

    def spawn(self, key: int) -> None:
        """The master is about to fork a worker. If there is no row left it is not counted."""
        row = next((row for row in self._rows if row[0] == 0), None)
        if row is not None:
            row[0] = key

    def gone(self, key: int) -> None:
        """That worker has been buried."""
        for row in self._rows:
            if row[0] == key:
                self._past = [old + new for old, new in zip(self._past, row, strict=True)]
                row[:] = memoryview(bytes(_WORDS * 8)).cast("Q")

    def fork(self, key: int) -> None:
        """We are that worker."""
        self._mine = next((row for row in self._rows if row[0] == key), None)

    def request_end(self, nanoseconds: int, status: int) -> None:
        """One more. Any request thread."""
        row = self._mine
        if row is None:
            return
        with self._lock:
            row[_BUCKETS + bisect_left(_NANOSECONDS, nanoseconds)] += 1
            row[_SUM] += nanoseconds
            row[_CLASSES + min(max(status // 100, 1), len(CLASSES)) - 1] += 1

    def total(self) -> Totals:
        """All lives together."""
        words = [sum(column) for column in zip(self._past, *self._rows, strict=True)]
        return Totals(words[_SUM], words[_BUCKETS:_CLASSES], words[_CLASSES:])
