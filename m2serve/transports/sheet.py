"""A worker's score sheet: shared memory in which it says what each of its threads does and has done.

One sheet a life, made by the master before the fork, so a new worker starts with zeros. The worker writes, each
thread its own cell; the master reads, whenever it wants to know. Nobody waits: a reader may see a request that has
just begun with the line of the one before it, but each word for itself is always whole. A worker that is asked for
its stacks writes them behind its sheet.

A cell is 1024 bytes: counters, the line of the running request, and the requests of each application beyond the first.
Times are monotonic nanoseconds.
"""

from __future__ import annotations

import fcntl
import mmap
import os
import struct
from typing import Final

_CELL: Final = 1024
_WORDS: Final = _CELL // 8

PREFIX: Final = 0
"""In the head: what the request ids of this life begin with."""
LISTENS: Final = 1
"""In the head: 1 as soon as the worker obeys the signals of :mod:`m2serve.system.stacks`."""
REFUSED: Final = 2
"""In the head: requests at doors that were answered in place of a thread, or not at all."""

STARTED: Final = 0
"""When the running request began; 0: none runs."""
NUMBER: Final = 1
"""Of the request that runs or ran last; with the prefix, its id."""
REQUESTS: Final = 2
"""Finished ones."""
BUSY: Final = 3
"""Nanoseconds spent on them."""
SENT: Final = 4
"""Bytes of their answers."""
AVERAGE: Final = 5
"""Nanoseconds of a request: the mean of the last one and of this very number before it, which is uWSGI's way."""
EXCEPTIONS: Final = 6
READ_ERRORS: Final = 7
WRITE_ERRORS: Final = 8
GARBAGE: Final = 9
"""Messages that were no requests."""
OFFLOADED: Final = 10
"""Requests whose answers went on without the thread."""
FILES: Final = 11
"""Requests that were answered with a static file."""
ASKING: Final = 12
"""Number of the request that has asked for a deadline of its own; 0: none has."""
DEADLINE: Final = 13
"""That deadline. Written before ASKING."""
_LINE: Final = 128
_URI: Final = 368
_COUNTS_AT: Final = 65
_EXCEPTIONS_AT: Final = 97
_APPS: Final = 31
"""Applications with a count of their own; what lies beyond is counted with the last of them."""

_line = struct.Struct(f"16s{_URI}s")


def sheet_size(threads: int) -> int:
    """Bytes: a head, as large as a cell, a cell a thread, and one more."""
    return (threads + 2) * _CELL


def create_sheet(threads: int) -> int:
    """A new sheet's descriptor, zero all over, close-on-exec. What is written through it lands behind the sheet."""
    fd = os.memfd_create("m2serve-sheet")
    os.ftruncate(fd, sheet_size(threads))
    fcntl.fcntl(fd, fcntl.F_SETFL, os.O_APPEND)
    return fd


def listens(fd: int) -> bool:
    """Whether the worker of a sheet has said that it obeys the signals for stacks."""
    return any(os.pread(fd, 8, 8 * LISTENS))


class Sheet:
    """One mapped sheet.

    Attributes:
        head: words of the worker as a whole.
        cells: the words of each thread; then those of answers that have gone on without their thread.
    """

    __slots__ = ("_map", "_words", "cells", "head", "threads")

    def __init__(self, fd: int, threads: int) -> None:
        self._map = mmap.mmap(fd, sheet_size(threads))
        self.threads = threads
        self._words = memoryview(self._map).cast("Q")
        self.head = self._words[:_WORDS]
        self.cells = [self._words[_WORDS * (core + 1) : _WORDS * (core + 2)] for core in range(threads + 1)]

    def show(self, core: int, method: bytes, uri: bytes) -> None:
        """Write the line of the request that is about to run; what is too long is cut."""
        _line.pack_into(self._map, (core + 1) * _CELL + _LINE, method, uri)

    def line(self, core: int) -> tuple[bytes, bytes]:
        """Method and URI last shown."""
        method, uri = _line.unpack_from(self._map, (core + 1) * _CELL + _LINE)
        return method.rstrip(b"\0"), uri.rstrip(b"\0")

    def count_app(self, core: int, app: int, failed: bool) -> None:
        """One more request for application *app*, -1 for none.

        Requests of the first one need not be counted here, only its failures: it had all that no other had.
        """
        cell, index = self.cells[core], min(app, _APPS - 1)
        if app:
            cell[_COUNTS_AT + index] += 1
        if failed:
            cell[_EXCEPTIONS_AT + index] += 1

    def apps(self, count: int) -> list[tuple[int, int]]:
        """Requests finished, and exceptions, of the first *count* applications."""
        count = min(count, _APPS)
        total = sum(cell[REQUESTS] for cell in self.cells)
        requests = [sum(cell[_COUNTS_AT + app] for cell in self.cells) for app in range(-1, _APPS)]
        requests[1] = max(total - sum(requests), 0)
        return [(requests[app + 1], sum(cell[_EXCEPTIONS_AT + app] for cell in self.cells)) for app in range(count)]

    def total(self, word: int) -> int:
        """The sum of a counter over all threads."""
        return sum(cell[word] for cell in self.cells)

    def close(self) -> None:
        """Unmap."""
        for view in (*self.cells, self.head, self._words):
            view.release()
        self._map.close()
