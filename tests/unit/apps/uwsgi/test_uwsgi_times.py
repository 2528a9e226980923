from __future__ import annotations

import time

import pytest

from m2serve.apps.uwsgi.times import Cron, Every

FRIDAY = (2026, 11, 20, 3, 30, 15, 0, 0, -1)


def test_a_timer_counts_from_the_start() -> None:
    timer = Every(10.0, 100.0)
    assert [timer.after(now, 0) for now in (100.0, 105.0, 109.9, 110.0, 137.0)] == [110, 110, 110, 120, 140]


@pytest.mark.parametrize(
    ("cron", "expected"),
    [
        (Cron(-1, -1, -1, -1, -1), True),
        (Cron(30, 3, -1, -1, -1), True),
        (Cron(31, 3, -1, -1, -1), False),
        (Cron(-15, -1, -1, -1, -1), True),
        (Cron(-7, -1, -1, -1, -1), False),
        (Cron(-1, -3, 20, 11, -1), True),
        (Cron(-1, -1, 21, -1, -1), False),
        (Cron(-1, -1, -1, -1, 5), True),
        (Cron(-1, -1, -1, -1, 7), False),
        (Cron(-1, -1, 21, -1, 5), True),
        (Cron(-1, -1, 20, -1, 0), True),
        (Cron(-1, -1, 21, -1, 0), False),
        (Cron(-1, -1, -1, 12, 5), False),
    ],
)
def test_minutes(cron: Cron, expected: bool) -> None:
    assert cron.matches(time.mktime(FRIDAY)) == expected


def test_sundays() -> None:
    sunday = time.mktime((2026, 11, 22, 3, 30, 15, 0, 0, -1))
    assert Cron(-1, -1, -1, -1, 0).matches(sunday) and Cron(-1, -1, -1, -1, 7).matches(sunday)


def test_it_is_looked_at_in_the_next_minute() -> None:
    assert 60.0 < Cron(0, 0, 0, 0, 0).after(5.0, 1200.0) - 5.0 < 60.1
    assert 1.0 < Cron(0, 0, 0, 0, 0).after(5.0, 1259.0) - 5.0 < 1.1
