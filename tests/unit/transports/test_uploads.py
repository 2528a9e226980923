"""The table of running uploads."""

from __future__ import annotations

import mmap

from m2serve.transports import uploads
from m2serve.transports.uploads import Entry, UploadTable


def entry(number: int = 1, **changes: object) -> Entry:
    whole = Entry(uploads.STARTED, 0, 3, number, 1000, 5000, 0, b"m2", b"id-%d" % number, b"/up/f.%06d" % number)
    return whole._replace(**changes)  # type: ignore[arg-type]


def tables() -> tuple[UploadTable, UploadTable]:
    """Two processes' views of one table."""
    shared = mmap.mmap(-1, uploads.TABLE_BYTES)
    return UploadTable(memoryview(shared)), UploadTable(memoryview(shared))


def test_what_is_written_is_read() -> None:
    writer, reader = tables()
    most = (1 << 64) - 2
    for one in (
        entry(1),
        entry(2, expected=None, limit=None),
        entry(3, expected=0, limit=0, progress_id=b""),
        entry(most, epoch=most, expected=most, limit=most, sender=b"s" * 120, progress_id=b"i" * 120, name=b"n" * 600),
    ):
        slot = writer.start(one)
        assert slot is not None
        assert reader.read(slot) == one
    assert reader.used() == [1, 2, 3, 4]


def test_the_life_of_an_upload() -> None:
    writer, reader = tables()
    slot = writer.start(entry())
    assert slot is not None
    writer.complete(slot, 4711)
    assert reader.read(slot) == entry(state=uploads.DONE, frame=4711)
    writer.break_off(slot)
    assert reader.read(slot).state == uploads.ENDING
    writer.free(slot)
    assert reader.used() == []
    assert writer.start(entry(2)) == slot


def test_it_is_found_by_its_id() -> None:
    writer, reader = tables()
    slots = [writer.start(entry(number)) for number in (1, 2, 3)]
    found = reader.find(b"id-2")
    assert found is not None
    assert found.conn == 2
    assert reader.find(b"id-") is None
    assert slots[1] is not None
    writer.free(slots[1])
    assert reader.find(b"id-2") is None


def test_what_does_not_fit() -> None:
    writer, _ = tables()
    assert writer.start(entry(name=b"n" * (uploads.LONGEST_NAME + 1))) is None
    assert writer.start(entry(sender=b"s" * 128)) is None
    for number in range(1, uploads.SLOTS):
        assert writer.start(entry(number)) == number
    assert writer.start(entry()) is None
    writer.free(17)
    assert writer.start(entry()) == 17
