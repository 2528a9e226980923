"""A dead worker's requests that had run for too long: 504 for them, 502 for the others."""

from __future__ import annotations

import pytest

from m2serve.config.deadlines import Deadlines
from m2serve.config.values import Deadline
from m2serve.dispatcher.deaths import died
from m2serve.transports import card as cards
from m2serve.transports import sheet as sheets
from m2serve.transports.sheet import Sheet
from m2serve.wire import tnet

NOW = 1000.0
DEADLINES = Deadlines([Deadline.parse("30"), Deadline.parse("/reports=120")])


def run(worker, taken, core, uri, seconds):
    """Thread *core* has been at it for so long."""
    worker.run(taken, cards.RUNNING | (core + 1) << cards.THREAD_AT)
    sheet = Sheet(worker.post.sheet_fd, worker.crew.threads)
    sheet.show(core, b"GET", uri)
    sheet.cells[core][sheets.STARTED] = int((NOW - seconds) * 1e9) if seconds else 0


def test_each_by_its_own_time_and_path(house):
    worker = house.worker(6)
    taken = [house.arrive(number) for number in range(6)]
    run(worker, taken[0], 3, b"/a", 30.1)
    run(worker, taken[1], 2, b"/a", 29.0)
    run(worker, taken[2], 1, b"/reports", 60.0)
    run(worker, taken[3], 0, b"/a", 0)  # its thread has not said since when
    run(worker, taken[4], 5, b"/reports/7", 121.0)
    worker.run(taken[5], cards.ANSWERING)
    worker.crew.bury(DEADLINES, NOW)
    died(house.router, worker.crew)
    assert sorted((int(one.conn), status) for one, status in house.refused) == [
        (0, 504), (1, 502), (2, 502), (3, 502), (4, 504),
    ]  # fmt: skip
    assert house.closed == [taken[5]]
    house.settled()


@pytest.mark.parametrize("word", [cards.RUNNING, cards.RUNNING | 9 << cards.THREAD_AT, cards.HANDED])
def test_a_cell_that_names_no_thread(house, word):
    worker = house.worker(1)
    worker.run(house.arrive(1), word)
    worker.crew.bury(DEADLINES, NOW)
    assert not worker.crew.late


def test_without_harakiri_nobody_looks(house):
    worker = house.worker(1)
    run(worker, house.arrive(1), 0, b"/", 900.0)
    worker.crew.bury(Deadlines(), NOW)
    died(house.router, worker.crew)
    assert [status for _, status in house.refused] == [502]


def test_what_was_late_is_not_tried_again(house):
    """With ``retry-idempotent``: it would only get another worker stuck."""
    house.build(10, retry=True)
    worker = house.worker(1)
    head = {b"METHOD": b"GET", b"PATH": b"/", b"VERSION": b"HTTP/1.1"}
    run(worker, house.arrive(1, raw=b"m2 1 / " + tnet.dump(head) + b"0:,"), 0, b"/", 31.0)
    worker.crew.bury(DEADLINES, NOW)
    died(house.router, worker.crew)
    assert [status for _, status in house.refused] == [504]
