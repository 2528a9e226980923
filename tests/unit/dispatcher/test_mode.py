"""A dispatcher that keeps requests, and one that calls for workers."""

from __future__ import annotations

import pytest

from m2serve.dispatcher.mode import Mode
from m2serve.dispatcher.patience import expire
from m2serve.dispatcher.taken import State
from m2serve.wire.link import Verb

CALL = (Verb.WORK, {})
AWAKE = {"paused": False, "asleep": False}
ASLEEP = {"paused": False, "asleep": True}
PAUSED = {"paused": True, "asleep": False}


class Link:
    def __init__(self):
        self.said = []

    def send(self, verb, payload):
        self.said.append((verb, payload))


@pytest.fixture
def link():
    return Link()


@pytest.fixture
def mode(house, link):
    return Mode(link, house.router)


def test_paused_nothing_is_handed_out_and_what_runs_goes_on(house, mode):
    worker = house.worker(3)
    running = house.arrive(1)
    mode.take(PAUSED)
    waiting = [house.arrive(2), house.arrive(3)]
    worker.finish(running)
    house.router.collect()
    late = house.worker(3)
    house.router.refill()
    assert running.state is State.OVER
    assert [one.state for one in waiting] == [State.QUEUED] * 2
    mode.take(AWAKE)
    assert [one.crew for one in waiting] == [worker.crew, late.crew]
    assert house.router.waiting == 0


def test_paused_a_connection_keeps_its_worker(house, mode):
    """Two answers of one connection leave by one road, whatever comes between."""
    worker = house.worker(2)
    first, second = house.arrive(1), house.arrive(1)
    assert second.state is State.HELD
    mode.take(PAUSED)
    worker.finish(first)
    house.router.collect()
    house.worker(2)
    assert second.state is State.QUEUED
    mode.take(AWAKE)
    assert second.crew is worker.crew


def test_paused_the_queue_is_bounded(house, mode):
    house.build(2)
    mode = Mode(Link(), house.router)
    house.worker()
    mode.take(PAUSED)
    taken = [house.arrive(n) for n in range(3)]
    assert house.refused == [(taken[2], 503)]
    assert expire(house.router, mode.expired(100.0, 30.0)) is None
    assert [one for one, _ in house.refused[1:]] == taken[:2]


def test_asleep_it_calls_once_when_a_request_waits_and_nobody_is_there(house, mode, link):
    mode.call()
    mode.take(ASLEEP)
    mode.call()
    assert link.said == []
    house.arrive(1)
    mode.call()
    mode.call()
    assert link.said == [CALL]
    mode.take(AWAKE)
    mode.call()
    mode.take(ASLEEP)
    mode.call()
    assert link.said == [CALL] * 2


def test_workers_that_are_there_still_need_not_be_called(house, mode, link):
    worker = house.worker()
    running = house.arrive(1)
    mode.take(ASLEEP)
    house.arrive(2)
    mode.call()
    assert link.said == []
    house.router.leaves(worker.crew)
    mode.call()
    assert link.said == [CALL]
    worker.finish(running)


def test_awake_nobody_is_called(house, mode, link):
    house.arrive(1)
    mode.call()
    assert link.said == []


def test_the_time_that_workers_need_to_load_counts_for_no_request(mode):
    assert mode.expired(100.0, 30.0) == 70.0
    mode.take(ASLEEP)
    assert mode.expired(1000.0, 30.0) == 0.0
    mode.take(AWAKE)
    assert mode.expired(1040.0, 30.0) == 0.0, "they still load"
    mode.served(1050.0)
    mode.served(1060.0)
    assert mode.expired(1079.0, 30.0) == 0.0
    assert mode.expired(1081.0, 30.0) == 1051.0
