"""What the dispatcher tells of its queue."""

from __future__ import annotations

from collections import deque
from types import SimpleNamespace

import pytest

from m2serve.dispatcher.routing import Router
from m2serve.dispatcher.taken import State
from m2serve.dispatcher.tally import Counts, Tally
from m2serve.observe.snapshot import QUEUE_BOUNDS
from m2serve.transports import ledger

MS = 1_000_000


@pytest.fixture
def words():
    return memoryview(bytearray(300 * 8)).cast("Q")


@pytest.fixture
def router():
    def never(*_: object) -> None:
        raise AssertionError

    router = Router(never, never, never, limit=10)
    router.start_serials_after(1 << 40)
    router.intakes = (SimpleNamespace(queue=deque(), urgent=deque(), words=memoryview(bytearray(128)).cast("Q")),)
    return router


def wait(router: Router, *arrived: float, state: State = State.QUEUED) -> None:
    router.intakes[0].queue.extend(SimpleNamespace(state=state, arrived=one) for one in arrived)


def test_the_queue_and_its_oldest(words, router):
    tally = Tally(words, router)
    wait(router, 7.0, 8.0)
    wait(router, 5.0, state=State.OVER)
    router.waiting = 2
    tally.tick(10.0)
    own = router.intakes[0].words
    assert (own[ledger.QUEUED], own[ledger.OLDEST], words[ledger.WAITING]) == (2, 7_000_000_000, 2)
    router.intakes[0].queue.clear()
    router.waiting = 0
    tally.tick(10.1)
    assert own[ledger.QUEUED] == 2, "not more often than four times a second"
    tally.tick(10.25)
    assert (own[ledger.QUEUED], own[ledger.OLDEST], words[ledger.WAITING]) == (0, 0, 0)


def test_the_mean_follows_and_fades(words, router):
    tally = Tally(words, router)
    tally.tick(1.0)
    for turn in range(100):
        router._serial += 10
        router.waited += 10 * 0.2
        tally.tick(1.25 + turn / 4)
    assert words[ledger.HANDED] == 1000
    assert 195 * MS < words[ledger.QUEUE_TIME] <= 200 * MS
    before = words[ledger.QUEUE_TIME]
    tally.tick(31.0)
    assert 0.25 * before < words[ledger.QUEUE_TIME] < 0.5 * before, "about a third after five seconds"
    tally.tick(500.0)
    assert words[ledger.QUEUE_TIME] < MS


def test_where_nothing_is_handed_out_the_oldest_tells(words, router):
    tally = Tally(words, router)
    wait(router, 1.0)
    for turn in range(200):
        tally.tick(1.0 + turn)
    assert words[ledger.QUEUE_TIME] > 150_000 * MS


def test_requests_are_counted_by_how_long_they_waited(words, router):
    tally = Tally(words, router)
    tally.tick(1.0)
    for turn, (handed, waited) in enumerate([(10, 0.0), (0, 0.0), (4, 4 * 0.007), (1, 100.0)]):
        router._serial += handed
        router.waited += waited
        tally.tick(1.25 + turn / 4)
    counts = dict(zip((*QUEUE_BOUNDS, 999), words[ledger.WAITS : ledger.WAITS + len(QUEUE_BOUNDS) + 1], strict=True))
    assert {bound: count for bound, count in counts.items() if count} == {0.001: 10, 0.01: 4, 999: 1}
    assert words[ledger.WAITED] == pytest.approx(100.028e9)
    assert ledger.WAITED < ledger.WAITS
    assert ledger.WAITS + len(QUEUE_BOUNDS) < ledger.HANDED, "no word has two meanings"


def test_counters_go_on_where_a_predecessor_stopped(words, router):
    words[ledger.HANDED] = 5
    words[ledger.ANSWERED_503] = 1
    tally, counts = Tally(words, router), Counts(words)
    counts.answered(503)
    counts.answered(400)
    counts.answered(417)
    counts.garbage()
    counts.disconnected()
    router._serial += 2
    tally.tick(1.0)
    assert [words[ledger.HANDED], words[ledger.ANSWERED_503], words[ledger.ANSWERED_400]] == [7, 2, 1]
    assert [words[ledger.ANSWERED_OTHER], words[ledger.GARBAGE], words[ledger.DISCONNECTS]] == [1, 1, 1]
