"""The node's ledger: shared memory that outlives the dispatcher.

A header of 64-bit words, then per endpoint a ring into which the dispatcher receives straight from Mongrel2's PUSH.
Positions are bytes since the connection was established; they only grow. Position *p* lies at offset
``(p - base) % size`` of the ring. ``base`` moves only when the ring is empty: a quiet node then keeps using the same
few pages.

Words of an endpoint, all written by the dispatcher alone:

- ``EPOCH``: number of the PUSH connection, grows by one with each; 0 before the first
- ``PHASE``: NONE, ESTABLISHED (the peer's handshake is read, ours may be sent), LEAVING (our half may be closed)
- ``OPENING``: bytes of the handshake, taken from the socket before position 0
- ``RECEIVED``: position behind the last byte that is in the ring
- ``TAIL``: position of the oldest frame that is still needed
- ``GIANT``, ``SKIP``: bytes between these two positions belong to a refused message and are not looked at
- ``AWAKE``: the epoch while the dispatcher is at work and could send answers of that epoch, else 0
- ``ARMED``: Unix sockets only, position at which the kernel was last told to count (``dispatcher/recount.py``)
- ``FLOW``: PRESUMED: this Mongrel2 is said to give download credits; PROVEN: it has given some
- ``QUEUED``, ``OLDEST``: requests that wait for a thread, and when the oldest came (monotonic ns); four times a second

Beside them stand words with one writer each: requests served, per worker; connections that a worker has at doors, and
one more while it accepts. Behind the rings lies a table an endpoint
for what its connections owe (``dispatcher/credits.py``), and behind those the table of running uploads.
"""

from __future__ import annotations

import mmap
import os
from typing import Final

from m2serve.transports.uploads import TABLE_BYTES, UploadTable

MAX_WORKERS: Final = 2048
_PAGE: Final = 4096
_SERVED: Final = 256  # word index where the counters of the workers begin
_ENDPOINT_WORDS: Final = 16
MAX_ENDPOINTS: Final = 14

WANT_WAKE: Final = 0
LIVES: Final = 1
"""Dispatchers that have lived."""

# Counters of the dispatchers, one after the other; they only grow.
HANDED: Final = 240
"""Requests handed out; one whose worker died before it had begun is handed out again."""
ANSWERED_400: Final = 241
ANSWERED_413: Final = 242
ANSWERED_502: Final = 243
ANSWERED_503: Final = 244
ANSWERED_OTHER: Final = 245
GARBAGE: Final = 246
DISCONNECTS: Final = 247
WAITED: Final = 208
"""Nanoseconds that the requests handed out have waited for a thread."""
WAITS: Final = 209
"""Here and in the words behind it: requests handed out, by how long they waited."""
# What the living one sees, four times a second.
WAITING: Final = 248
"""Requests queued or held."""
PARKED: Final = 249
RUNNING: Final = 250
DRAINING: Final = 251
"""Answers that go on without a thread."""
QUEUE_TIME: Final = 252
"""Nanoseconds that requests wait for a thread: a mean in which what is 5 s old counts for a third."""
ANSWERED_504: Final = 253

EPOCH: Final = 0
PHASE: Final = 1
OPENING: Final = 2
RECEIVED: Final = 3
TAIL: Final = 4
SKIP: Final = 5
ARMED: Final = 6
BASE: Final = 7
AWAKE: Final = 8
GIANT: Final = 9
FLOW: Final = 10
QUEUED: Final = 11
OLDEST: Final = 12

PRESUMED: Final = 1
PROVEN: Final = 2

NONE: Final = 0
ESTABLISHED: Final = 1
LEAVING: Final = 2

TAKEN: Final = 0x80
"""Set in a frame's flags byte, in the ring, once the frame is dealt with; ZMTP keeps that bit zero."""

_HEADER: Final = ((_SERVED + 2 * MAX_WORKERS) * 8 + _PAGE - 1) // _PAGE * _PAGE


def _round_up(size: int) -> int:
    return (max(size, 64 * 1024) + _PAGE - 1) // _PAGE * _PAGE


_DEBTS: Final = 65536 * 8
"""Bytes of an endpoint's table of debts."""


def create_ledger(endpoints: int, ring_size: int) -> int:
    """A new ledger's descriptor; untouched pages cost nothing."""
    fd = os.memfd_create("m2serve-ledger")
    os.ftruncate(fd, _HEADER + max(endpoints, 1) * (_round_up(ring_size) + _DEBTS) + TABLE_BYTES)
    return fd


def header(fd: int) -> memoryview:
    """The words in front of the rings, to look at: the master reads them, and has no use for the rest."""
    return memoryview(mmap.mmap(fd, _HEADER, prot=mmap.PROT_READ)).cast("Q")


def endpoint_words(words: memoryview, index: int) -> memoryview:
    """The words of one endpoint."""
    return words[_ENDPOINT_WORDS * (index + 1) : _ENDPOINT_WORDS * (index + 2)]


class Ring:
    """One endpoint's words and bytes."""

    __slots__ = ("data", "debts", "size", "words")

    def __init__(self, words: memoryview, data: memoryview, debts: memoryview) -> None:
        self.words = words
        self.data = data
        self.debts = debts
        """Words: what connections owe."""
        self.size = len(data)

    def offset(self, position: int) -> int:
        """Where *position* lies in :attr:`data`."""
        return int((position - self.words[BASE]) % self.size)

    def copy(self, position: int, size: int) -> bytes:
        """*size* bytes from *position* on, also over the ring's edge."""
        start = self.offset(position)
        end = start + size
        if end <= self.size:
            return bytes(self.data[start:end])
        return bytes(self.data[start:]) + bytes(self.data[: end - self.size])

    def is_taken(self, frame: int) -> bool:
        """Whether the frame at position *frame* is marked TAKEN."""
        return bool(self.data[self.offset(frame)] & TAKEN)

    def take(self, frame: int) -> None:
        """Mark the frame at position *frame* TAKEN."""
        self.data[self.offset(frame)] |= TAKEN

    def untake(self, frame: int) -> None:
        """The frame is to be dealt with again."""
        self.data[self.offset(frame)] &= ~TAKEN & 0xFF


class Ledger:
    """The mapped ledger."""

    def __init__(self, fd: int, endpoints: int, ring_size: int) -> None:
        size = _round_up(ring_size)
        debts = _HEADER + max(endpoints, 1) * size
        uploads = debts + max(endpoints, 1) * _DEBTS
        self._map = mmap.mmap(fd, uploads + TABLE_BYTES)
        view = memoryview(self._map)
        self.words = view[:_HEADER].cast("Q")
        self.served = self.words[_SERVED : _SERVED + MAX_WORKERS]
        self.visitors = self.words[_SERVED + MAX_WORKERS : _SERVED + 2 * MAX_WORKERS]
        """Requests finished per worker number, over all its lives; one writer each."""
        self.rings = [
            Ring(
                endpoint_words(self.words, i),
                view[_HEADER + i * size : _HEADER + (i + 1) * size],
                view[debts + i * _DEBTS : debts + (i + 1) * _DEBTS].cast("Q"),
            )
            for i in range(endpoints)
        ]
        self.uploads = UploadTable(view[uploads:])

    def release_pages(self, ring: Ring) -> None:
        """Give an empty ring's memory back to the kernel."""
        start = _HEADER + self.rings.index(ring) * ring.size
        self._map.madvise(mmap.MADV_REMOVE, start, ring.size)
