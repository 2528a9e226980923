"""What a worker says of itself is what the master reads."""

from __future__ import annotations

import os

import pytest

from m2serve.transports import sheet as sheets
from m2serve.transports.sheet import Sheet, create_sheet


@pytest.fixture
def both():
    """The worker's view and the master's."""
    fd = create_sheet(3)
    worker, master = Sheet(fd, 3), Sheet(fd, 3)
    os.close(fd)
    yield worker, master
    worker.close()
    master.close()


def test_a_new_sheet_is_zero_all_over(both):
    _, master = both
    assert not any(any(cell) for cell in master.cells)
    assert not any(master.head)
    assert master.line(2) == (b"", b"")


def test_each_thread_has_words_of_its_own(both):
    worker, master = both
    worker.head[sheets.PREFIX] = 0xFFFFFFFF
    for core, cell in enumerate(worker.cells[:3]):
        cell[sheets.REQUESTS] = core + 1
        cell[sheets.STARTED] = 1 << 62
        worker.show(core, b"GET", b"/%d" % core)
    assert master.head[sheets.PREFIX] == 0xFFFFFFFF
    assert [cell[sheets.REQUESTS] for cell in master.cells] == [1, 2, 3, 0]
    assert master.total(sheets.REQUESTS) == 6
    assert [master.line(core) for core in range(3)] == [(b"GET", b"/0"), (b"GET", b"/1"), (b"GET", b"/2")]


def test_a_long_line_is_cut_and_touches_nothing_else(both):
    worker, master = both
    worker.show(0, b"M" * 99, b"/" * 9999)
    method, uri = master.line(0)
    assert (method, uri) == (b"M" * 16, b"/" * 368)
    worker.show(0, b"GET", b"/")
    assert master.line(0) == (b"GET", b"/")
    assert not any(master.cells[1])


def test_requests_of_applications(both):
    worker, master = both
    for core, app, failed in [(0, 0, False), (0, 0, True), (1, 1, False), (2, 1, True), (2, -1, False), (1, 99, True)]:
        worker.cells[core][sheets.REQUESTS] += 1
        if app or failed:
            worker.count_app(core, app, failed)
    assert master.apps(2) == [(2, 1), (2, 1)]
    assert master.apps(99)[-1] == (1, 1), "those beyond the last are counted with it"
    assert len(master.apps(99)) == 31
    assert master.apps(1) == [(2, 1)]
