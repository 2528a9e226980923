"""Who is replaced, and when."""

from __future__ import annotations

import pytest
from boards import NOW, READY, STARTING, Maker
from hypothesis import given
from hypothesis import strategies as st

from m2serve.ids import Seconds
from m2serve.master.actions import Spawn
from m2serve.master.board import StopOrder, Urgency
from m2serve.master.child import ChildState
from m2serve.master.generation import GenerationState
from m2serve.master.policies import respawn


@pytest.mark.parametrize(
    ("deaths", "delay"), [(0, 0), (1, 0), (2, 0.1), (3, 0.2), (4, 0.4), (8, 6.4), (9, 10), (5000, 10)]
)
def test_the_delay_doubles_to_its_limit(deaths, delay):
    assert respawn.delay_after(deaths) == pytest.approx(delay)


@given(st.integers(min_value=0, max_value=10_000))
def test_the_delay_never_shrinks_nor_grows_without_end(deaths):
    assert respawn.delay_after(deaths) <= respawn.delay_after(deaths + 1) <= respawn.LONGEST_DELAY


def test_a_long_life_ends_the_streak():
    assert respawn.short_lives_after(7, Seconds(0.5)) == 8
    assert respawn.short_lives_after(7, respawn.SHORT_LIFE) == 0


def test_empty_slots_are_filled():
    make = Maker()
    dispatcher = make.dispatcher(None)
    first, second = make.slots_of(make.generation(1, READY, None))
    assert first.child is not None
    assert respawn.decide(make.board, NOW) == [Spawn(dispatcher), Spawn(second)]


def test_a_slot_waits_until_it_is_due():
    make = Maker(dispatched=False)
    (slot,) = make.slots_of(make.generation(1, None))
    slot.due = Seconds(NOW + 5)
    assert respawn.decide(make.board, NOW) == []
    assert respawn.next_due(make.board, NOW) == NOW + 5
    assert respawn.decide(make.board, Seconds(NOW + 5)) == [Spawn(slot)]


def test_ours_wait_for_the_daemons():
    make = Maker()
    daemon = make.daemon(STARTING)
    dispatcher = make.dispatcher(None)
    (worker,) = make.slots_of(make.generation(1, None, state=GenerationState.STARTING))
    assert respawn.decide(make.board, NOW) == []
    daemon.was_ready = True
    assert respawn.decide(make.board, NOW) == [Spawn(dispatcher), Spawn(worker)]


def test_a_daemon_that_died_later_keeps_nobody_waiting():
    make = Maker()
    daemon = make.daemon()
    daemon.child = None
    (worker,) = make.slots_of(make.generation(1, None))
    assert respawn.decide(make.board, NOW) == [Spawn(daemon), Spawn(worker)]


def test_a_retiring_generation_is_not_refilled():
    make = Maker(dispatched=False)
    make.generation(1, None, state=GenerationState.RETIRING)
    assert respawn.decide(make.board, NOW) == []


@pytest.mark.parametrize(
    ("quiet", "urgency", "late", "expected"),
    [
        (False, Urgency.GRACEFUL, False, True),
        (True, Urgency.GRACEFUL, False, True),
        (False, Urgency.AT_ONCE, False, False),
        (False, Urgency.GRACEFUL, True, False),
    ],
)
def test_while_stopping_the_dispatcher_has_a_successor_while_there_are_workers(quiet, urgency, late, expected):
    make = Maker()
    slot = make.dispatcher(None)
    make.generation(1, READY)
    make.board.quiet = quiet
    make.board.stop = StopOrder("SIGTERM", Seconds(NOW - 1 if late else NOW + 60), urgency)
    assert respawn.decide(make.board, NOW) == ([Spawn(slot)] if expected else [])


def test_a_dispatcher_that_keeps_dying_does_not_hold_up_a_stop():
    make = Maker()
    slot = make.dispatcher(None)
    make.generation(1, READY)
    make.board.stop = StopOrder("SIGTERM", Seconds(NOW + 60))
    slot.short_lives = respawn.TRIES_WHILE_STOPPING
    assert respawn.decide(make.board, NOW) == [Spawn(slot)]
    slot.short_lives += 1
    assert respawn.decide(make.board, NOW) == []


def test_while_stopping_a_dispatcher_without_workers_has_no_successor():
    make = Maker()
    make.dispatcher(None)
    make.board.stop = StopOrder("SIGTERM", Seconds(NOW + 60))
    assert respawn.decide(make.board, NOW) == []


def test_while_stopping_nobody_replaces_a_worker_once_the_dispatcher_is_quiet():
    make = Maker()
    make.dispatcher(ChildState.DRAINING)
    make.generation(1, READY, None)
    make.board.quiet = True
    make.board.stop = StopOrder("SIGTERM", Seconds(NOW + 60))
    assert respawn.decide(make.board, NOW) == []


def test_while_stopping_somebody_runs_what_the_dispatcher_took():
    make = Maker()
    make.dispatcher(ChildState.DRAINING)
    (slot,) = make.slots_of(make.generation(1, None))
    make.board.stop = StopOrder("SIGTERM", Seconds(NOW + 60))
    assert respawn.decide(make.board, NOW) == [Spawn(slot)]


def test_while_stopping_the_direct_topology_replaces_nobody():
    make = Maker(dispatched=False)
    make.generation(1, READY, None)
    make.board.stop = StopOrder("SIGTERM", Seconds(NOW + 60))
    assert respawn.decide(make.board, NOW) == []
