"""Slots that come and go with the number of workers that is wanted."""

from __future__ import annotations

import pytest
from boards import MERCY, NOW, READY, STARTING, Maker
from hypothesis import given
from hypothesis import strategies as st

from m2serve.ids import Seconds, WorkerId
from m2serve.master.actions import Drain, Grow, Release, Serve, Stop
from m2serve.master.board import Slot, StopOrder, Urgency
from m2serve.master.child import ChildKind, ChildState
from m2serve.master.crowd import Crowd
from m2serve.master.generation import GenerationState, ReloadKind
from m2serve.master.policies import reload, respawn, size, stop
from m2serve.master.policies.reload import STARTING_GRACE

LATER = Seconds(NOW + MERCY)
NEW = GenerationState.STARTING


@pytest.fixture
def make():
    made = Maker()
    made.board.crowd = Crowd(most=4, least=1)
    return made


def decide(make):
    return size.decide(make.board, NOW)


def want(make, number):
    make.board.wanted = number
    return decide(make)


def test_the_lowest_free_number_comes_and_the_highest_goes(make):
    generation = make.generation(1, READY, READY, STARTING)
    first, second, third = make.slots_of(generation)
    assert want(make, 3) == []
    assert want(make, 4) == [Grow(generation, WorkerId(4))]
    assert want(make, 2) == [Release(third), Stop(third.child, "cheap", Seconds(NOW + STARTING_GRACE))]
    assert want(make, 1) == [
        Release(second),
        Release(third),
        Drain(second.child, "cheap", LATER),
        Stop(third.child, "cheap", Seconds(NOW + STARTING_GRACE)),
    ]
    make.board.slots.remove(first)
    assert want(make, 4) == [Grow(generation, WorkerId(1)), Grow(generation, WorkerId(4))]


def test_one_with_a_successor_stays_unless_all_go(make):
    generation = make.generation(1, READY, READY)
    first, second = make.slots_of(generation)
    successor = Slot(ChildKind.WORKER, "worker 2", 1, WorkerId(2), replaces=second)
    make.board.slots.append(successor)
    assert want(make, 2) == []
    assert want(make, 1) == [Release(first), Drain(first.child, "cheap", LATER)]
    assert {one.slot.worker for one in want(make, 0) if isinstance(one, Release)} == {1, 2}
    assert successor in [one.slot for one in decide(make) if isinstance(one, Release)]


def test_the_old_generation_is_changed_while_the_new_one_loads(make):
    old = make.generation(1, READY)
    new = make.generation(2, STARTING, state=NEW)
    assert want(make, 2) == [Grow(old, WorkerId(2))]
    new.kind = ReloadKind.CHAIN
    assert decide(make) == [], "a chain goes by numbers"
    new.state = GenerationState.SERVING
    assert decide(make) == [Grow(new, WorkerId(2))], "the same number twice counts once"


def test_a_chain_that_was_cut_counts_both_generations(make):
    make.generation(1, READY, READY, READY)
    old = make.slots_of(make.board.generations[0])
    make.board.slots.remove(old[0])
    make.generation(2, READY)
    assert want(make, 3) == []
    assert want(make, 2) == [Release(old[2]), Drain(old[2].child, "cheap", LATER)]


def test_nothing_before_the_start_is_complete(make):
    make.generation(1, STARTING, state=NEW)
    assert want(make, 3) == []


def test_a_generation_for_which_nobody_is_wanted_serves_at_once(make):
    old = make.generation(1)
    assert [type(action) for action in reload.decide(make.board, NOW)] == []
    new = make.generation(2, state=NEW)
    serve, retire = reload.decide(make.board, NOW)
    assert serve == Serve(new)
    assert retire.generation is old


def stopping(make, **facts):
    make.dispatcher(ChildState.DRAINING)
    make.board.stop = StopOrder("SIGTERM", LATER, **facts)


def test_a_stop_while_nobody_is_there_waits_for_the_dispatcher(make):
    """It may find requests while it leaves Mongrel2's PUSH, and calls for workers then."""
    generation = make.generation(1)
    make.board.sleep()
    stopping(make)
    assert stop.decide(make.board, NOW) == []
    assert decide(make) == []
    make.board.wake(2)
    assert decide(make) == [Grow(generation, WorkerId(1)), Grow(generation, WorkerId(2))]
    slot = Slot(ChildKind.WORKER, "worker 1", 1, WorkerId(1))
    make.board.slots.append(slot)
    assert decide(make) == [], "and no more than those"
    assert respawn.wanted(make.board, slot, NOW)
    assert stop.decide(make.board, NOW) == []
    slot.child = make.child(ChildKind.WORKER, "worker 1", STARTING, 1, 1)
    assert stop.decide(make.board, NOW) == []
    make.board.quiet = True
    assert [type(action) for action in stop.decide(make.board, NOW)] == [Stop]


@pytest.mark.parametrize("why", ["quiet", "late", "at once"])
def test_the_dispatcher_leaves_when_nothing_more_can_come(make, why):
    make.generation(1)
    make.board.sleep()
    stopping(make, urgency=Urgency.AT_ONCE if why == "at once" else Urgency.GRACEFUL)
    make.board.quiet = why == "quiet"
    now = LATER if why == "late" else NOW
    assert [type(action) for action in stop.decide(make.board, now)] == [Stop]
    make.board.wake(2)
    if why != "quiet":
        assert size.decide(make.board, now) == []


def test_a_dispatcher_that_dies_while_nobody_is_there_gets_a_successor_until_quiet(make):
    make.board.sleep()
    slot = make.dispatcher(None)
    make.board.stop = StopOrder("SIGTERM", LATER)
    assert respawn.wanted(make.board, slot, NOW)
    make.board.quiet = True
    assert not respawn.wanted(make.board, slot, NOW)


@given(st.integers(1, 6), st.lists(st.one_of(st.integers(0, 6), st.none()), max_size=20))
def test_always_as_many_as_are_wanted(most, orders):
    """None is a reload."""
    make = Maker()
    board = make.board
    board.crowd, board.wanted = Crowd(most=most, least=1), most
    generation = make.generation(1, *[READY] * most)
    for order in orders:
        if order is None:
            new = make.generation(generation.number + 1, *[READY] * board.wanted, state=NEW)
            for slot in make.slots_of(generation):
                board.slots.remove(slot)
            generation.state, new.state = GenerationState.RETIRING, GenerationState.SERVING
            generation = new
        else:
            board.wanted = min(order, most)
        for action in size.decide(board, NOW):
            match action:
                case Grow(where, worker):
                    slot = Slot(ChildKind.WORKER, f"worker {worker}", where.number, worker)
                    slot.child = make.child(slot.kind, slot.name, READY, where.number, worker)
                    board.slots.append(slot)
                case Release(slot):
                    board.slots.remove(slot)
                case Drain(child):
                    child.state = ChildState.DRAINING
        assert size.decide(board, NOW) == []
        assert sorted(slot.worker for slot in board.slots) == list(range(1, board.wanted + 1))
        serving = [child for child in board.workers if child.state is READY and child.generation == generation.number]
        assert len(serving) == board.wanted
