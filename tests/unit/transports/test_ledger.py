"""The ledger: words and rings that outlive the dispatcher."""

from __future__ import annotations

import os

import pytest

from m2serve.transports import ledger
from m2serve.transports.ledger import MAX_ENDPOINTS, MAX_WORKERS, TAKEN, Ledger, create_ledger

SIZE = 64 * 1024


@pytest.fixture
def fd():
    fd = create_ledger(2, SIZE)
    yield fd
    os.close(fd)


def fill(ring, position, data):
    for i, byte in enumerate(data):
        ring.data[ring.offset(position + i)] = byte


def test_what_is_written_is_seen_through_another_mapping(fd):
    old, new = Ledger(fd, 2, SIZE), Ledger(fd, 2, SIZE)
    old.rings[1].words[ledger.RECEIVED] = 77
    old.rings[1].data[3] = 9
    old.served[5] = 4
    assert (new.rings[1].words[ledger.RECEIVED], new.rings[1].data[3], new.served[5]) == (77, 9, 4)
    assert (new.rings[0].words[ledger.RECEIVED], new.rings[0].data[3]) == (0, 0)


def test_nothing_overlaps():
    fd = create_ledger(MAX_ENDPOINTS, SIZE)
    book = Ledger(fd, MAX_ENDPOINTS, SIZE)
    book.words[ledger.WANT_WAKE] = 1
    for i, ring in enumerate(book.rings):
        for word in range(len(ring.words)):
            ring.words[word] = 1000 + i
        ring.data[0] = ring.data[ring.size - 1] = i + 1
    for worker in range(MAX_WORKERS):
        book.served[worker] = 7
    assert book.words[ledger.WANT_WAKE] == 1
    assert set(book.served) == {7}
    for i, ring in enumerate(book.rings):
        assert set(ring.words) == {1000 + i}
        assert ring.data[0] == ring.data[ring.size - 1] == i + 1
    os.close(fd)


def test_every_word_has_a_place(fd):
    names = (
        ledger.EPOCH, ledger.PHASE, ledger.OPENING, ledger.RECEIVED, ledger.TAIL, ledger.SKIP, ledger.ARMED,
        ledger.BASE, ledger.AWAKE, ledger.GIANT,
    )  # fmt: skip
    assert len(set(names)) == len(names)
    assert max(names) < len(Ledger(fd, 2, SIZE).rings[0].words)


@pytest.mark.parametrize("position", [0, 1, SIZE - 10, SIZE - 1, SIZE, 3 * SIZE - 5])
@pytest.mark.parametrize("size", [0, 1, 9, 10, 11, 300])
def test_copies_also_over_the_edge(fd, position, size):
    ring = Ledger(fd, 2, SIZE).rings[0]
    data = bytes(i * 7 % 256 for i in range(size))
    fill(ring, position, data)
    assert ring.copy(position, size) == data


def test_base_shifts_where_positions_lie(fd):
    ring = Ledger(fd, 2, SIZE).rings[0]
    position = 10 * SIZE + 123
    ring.words[ledger.BASE] = position
    assert ring.offset(position) == 0
    assert ring.offset(position + SIZE + 5) == 5


def test_a_whole_ring_can_be_copied(fd):
    ring = Ledger(fd, 2, SIZE).rings[0]
    data = os.urandom(SIZE)
    fill(ring, 100, data)
    assert ring.copy(100, SIZE) == data


@pytest.mark.parametrize("frame", [0, SIZE - 1, SIZE, 5 * SIZE + 3])
def test_take_and_untake_touch_one_bit(fd, frame):
    ring = Ledger(fd, 2, SIZE).rings[0]
    fill(ring, frame, b"\x02\x55")
    ring.take(frame)
    ring.take(frame)
    assert ring.is_taken(frame)
    assert ring.copy(frame, 2) == bytes((0x02 | TAKEN, 0x55))
    ring.untake(frame)
    assert not ring.is_taken(frame)
    assert ring.copy(frame, 2) == b"\x02\x55"


@pytest.mark.parametrize(("asked", "size"), [(1, SIZE), (SIZE, SIZE), (SIZE + 1, SIZE + 4096), (10**6, 1_003_520)])
def test_rings_are_whole_pages(asked, size):
    fd = create_ledger(1, asked)
    assert Ledger(fd, 1, asked).rings[0].size == size
    os.close(fd)


def test_released_pages_are_zero_and_the_neighbours_stay(fd):
    book = Ledger(fd, 2, SIZE)
    for ring in book.rings:
        ring.data[:] = b"x" * SIZE
    book.release_pages(book.rings[0])
    assert bytes(book.rings[0].data) == bytes(SIZE)
    assert bytes(book.rings[1].data) == b"x" * SIZE
