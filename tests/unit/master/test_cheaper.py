"""How many workers are wanted: uWSGI's algorithms under a clock of the test's own."""

from __future__ import annotations

import pytest
from boards import NOW
from hypothesis import given
from hypothesis import strategies as st

from m2serve.ids import Seconds
from m2serve.master.crowd import Crowd
from m2serve.master.policies import cheaper
from m2serve.master.policies.busyness import Busyness, Options
from m2serve.master.policies.cheaper import (
    NONE,
    Backlog,
    Change,
    Manual,
    Seen,
    Spare,
    Spare2,
)

THREADS = 4
OPTIONS = Options(
    window=Seconds(10),
    step=2,
    most=50,
    least=25,
    multiplier=3,
    penalty=2,
    alert=33,
    alert_multiplier=2,
    alert_step=1,
    nonzero=Seconds(60),
)


def seen(workers=2, *, free=0, queued=0, after=0.0, room=5, loading=0, rss=0, busy=None):
    now = Seconds(NOW + after)
    return Seen(now, workers, room, loading, THREADS, free, queued, rss, busy or {})


def several(algorithm, times, **facts):
    """The changes wanted in so many seconds."""
    return [algorithm.change(seen(after=second, **facts)).workers for second in range(times)]


def test_spare_grows_after_the_overload_and_waits_again():
    assert several(Spare(3, 2), 8) == [0, 0, 0, 2, 0, 0, 0, 2]


def test_spare_forgets_an_overload_as_slowly_as_it_came():
    spare = Spare(3, 1)
    several(spare, 3)
    assert spare.change(seen(free=1)) == NONE
    assert [spare.change(seen()).workers for _ in range(2)] == [0, 1]


def test_spare_lets_one_go_when_another_stays_free():
    assert several(Spare(2, 1), 6, free=2 * THREADS) == [0, -1, 0, -1, 0, -1]
    assert several(Spare(2, 1), 6, free=2 * THREADS - 1) == [0] * 6
    spare = Spare(2, 1)
    assert [spare.change(seen(free=free)).workers for free in (8, 7, 8, 8)] == [0, 0, 0, -1]


def test_spare2_keeps_so_many_idle():
    spare = Spare2(2, 3, Seconds(5))
    assert spare.change(seen(free=0)).workers == 2
    assert spare.change(seen(free=THREADS)).workers == 1
    assert spare.change(seen(free=2 * THREADS)) == NONE
    assert several(spare, 12, free=3 * THREADS) == [0, 0, 0, 0, 0, -1, 0, 0, 0, 0, -1, 0]
    assert Spare2(5, 3, Seconds(5)).change(seen(free=0)).workers == 3


def test_backlog_follows_the_queue():
    backlog = Backlog(3, 2)
    assert backlog.change(seen(queued=4)).workers == 2
    assert backlog.change(seen(queued=3, free=99)) == NONE
    assert backlog.change(seen(queued=2, free=THREADS + 1)).workers == -1
    assert backlog.change(seen(queued=0, free=THREADS)) == NONE, "without it no thread would be free"


def test_manual_wants_nothing():
    assert Manual().change(seen(queued=1000)) == NONE


class Windows:
    """Tells a Busyness window after window how busy its workers were."""

    def __init__(self):
        self.busyness = Busyness(OPTIONS)
        self.after, self.time = 0.0, {1: 0.0, 2: 0.0}
        assert self.busyness.change(self.seen()) == NONE

    def seen(self, **facts):
        return seen(after=self.after, busy={key: Seconds(value) for key, value in self.time.items()}, **facts)

    def window(self, percent, **facts):
        """All workers were so busy."""
        self.after += OPTIONS.window
        for key in self.time:
            self.time[key] += OPTIONS.window * THREADS * percent / 100
        return self.busyness.change(self.seen(**facts)).workers


def test_busyness_grows_above_its_bound():
    windows = Windows()
    assert [windows.window(50), windows.window(51)] == [0, 2]
    assert windows.busyness.change(windows.seen(queued=10)) == NONE, "amid a window"
    assert windows.window(90, room=0) == 0
    assert windows.window(90, loading=1) == 0


def test_busyness_shrinks_when_it_was_quiet_long_enough():
    windows = Windows()
    assert [windows.window(10) for _ in range(7)] == [0, 0, -1, 0, 0, -1, 0]
    alone = Windows()
    assert [alone.window(0, workers=1) for _ in range(9)] == [0] * 9


def test_busyness_waits_longer_where_a_worker_was_missed():
    windows = Windows()
    assert [windows.window(10) for _ in range(3)] == [0, 0, -1]
    assert windows.window(90) == 2
    assert [windows.window(10) for _ in range(5)] == [0, 0, 0, 0, -1], "3 windows and the penalty of 2"
    assert [windows.window(10) for _ in range(5)] == [0, 0, 0, 0, -1]
    assert [windows.window(10) for _ in range(4)] == [0, 0, 0, -1], "less again, for nobody was missed"
    assert [windows.window(10) for _ in range(3)] == [0, 0, -1]


def test_a_window_between_the_bounds_does_not_count_and_three_begin_anew():
    windows = Windows()
    assert [windows.window(percent) for percent in (10, 30, 10, 10, 10)] == [0, 0, 0, -1, 0]
    windows = Windows()
    assert [windows.window(percent) for percent in (10, 10, 30, 30, 30, 10, 10, 10)] == [0] * 7 + [-1]


def test_a_long_queue_is_answered_at_once_and_its_workers_leave_sooner():
    windows = Windows()
    windows.after = 1.0
    assert windows.busyness.change(windows.seen(queued=33)) == NONE
    assert windows.busyness.change(windows.seen(queued=34)).workers == 1
    assert windows.busyness.change(windows.seen(queued=34, room=0)) == NONE
    assert windows.busyness.change(windows.seen(queued=34, loading=1)) == NONE
    windows.after = 0.0
    assert [windows.window(10) for _ in range(3)] == [0, 0, -1]


def test_a_queue_that_never_empties_is_answered_too():
    busyness = Busyness(OPTIONS)
    changes = [busyness.change(seen(1, after=second, queued=1)).workers for second in range(65)]
    assert [second for second, change in enumerate(changes) if change] == [61]
    busyness = Busyness(OPTIONS)
    assert not any(busyness.change(seen(1, after=second, queued=second % 30)).workers for second in range(200))


def test_what_busyness_measured_is_said_once():
    windows = Windows()
    windows.busyness.verbose = True
    windows.window(42)
    assert windows.busyness.say() == "42 % of the time of 2 workers in 10 s"
    assert windows.busyness.say() == ""


CROWD = Crowd(most=4, least=2, initial=2, rss_soft=1000, rss_hard=2000)


class Wants:
    """An algorithm that always wants the same."""

    def __init__(self, workers):
        self.workers = workers

    def change(self, seen):
        return Change(self.workers, "so")


@pytest.mark.parametrize(
    ("wants", "facts", "change"),
    [
        (1, {}, Change(1, "so")),
        (9, {"workers": 3}, Change(1, "so")),
        (1, {"workers": 4}, NONE),
        (-9, {"workers": 3}, Change(-1, "so")),
        (-1, {"workers": 2}, NONE),
        (1, {"loading": 1}, NONE),
        (-1, {"workers": 3, "loading": 1}, Change(-1, "so")),
        (1, {"rss": 999}, Change(1, "so")),
        (1, {"rss": 1000}, NONE),
        (-1, {"workers": 3, "rss": 1000}, Change(-1, "so")),
        (1, {"workers": 3, "rss": 2000}, Change(-1, "cheaper-rss-limit-hard, 2000 bytes")),
        (1, {"workers": 2, "rss": 2000}, NONE),
    ],
)
def test_the_bounds(wants, facts, change):
    assert cheaper.decide(CROWD, Wants(wants), seen(**facts)) == change


@given(
    st.sampled_from(["spare", "spare2", "backlog", "busyness", "manual"]),
    st.integers(1, 5),
    st.integers(1, 6),
    st.integers(1, 4),
    st.lists(st.tuples(st.integers(0, 40), st.integers(0, 100), st.integers(0, 3000), st.integers(0, 3))),
)
def test_never_below_cheaper_and_never_above_processes(name, least, span, step, seconds):
    algorithms = {
        "spare": Spare(2, step),
        "spare2": Spare2(least, step, Seconds(2)),
        "backlog": Backlog(3, step),
        "busyness": Busyness(Options(Seconds(2), step, 50, 25, 1, 2, 33, 1, step, Seconds(3))),
        "manual": Manual(),
    }
    crowd = Crowd(least + span, least, least, rss_soft=1000, rss_hard=2000)
    wanted, busy = least, 0.0
    for second, (free, queued, rss, loading) in enumerate(seconds):
        busy += free / 40 * THREADS
        facts = Seen(
            Seconds(float(second)), wanted, crowd.most - wanted, loading, THREADS, free, queued, rss, {1: Seconds(busy)}
        )
        change = cheaper.decide(crowd, algorithms[name], facts)
        assert not (change.workers > 0 and (loading or rss >= crowd.rss_soft))
        wanted += change.workers
        assert crowd.least <= wanted <= crowd.most


def test_by_hand_one_may_go_down_to_one_where_nobody_else_decides():
    assert Crowd(most=4, least=4).within(0, by_hand=True) == 1
    assert Crowd(most=4, least=4, bare=3).within(0, by_hand=True) == 3
    assert CROWD.within(0, by_hand=True) == 2
    assert CROWD.within(9, by_hand=True) == 4
