"""Answers that go on without a thread."""

from __future__ import annotations

import pytest
from test_credits import cell, send, table

from m2serve.dispatcher.credits import WINDOW, credited
from m2serve.dispatcher.deaths import died
from m2serve.dispatcher.taken import State
from m2serve.transports import card as cards
from m2serve.wire.crew import Word


@pytest.fixture(params=[True, False], ids=["credits", "no credits"])
def owing(house, request):
    if request.param:
        house.intakes[0].debts = table()
    return house


def detach(house, worker, taken):
    """The worker asks, and is answered."""
    worker.run(taken, cards.ANSWERING)
    house.router.detach(worker.crew, taken.slot, taken.serial)
    (said,) = worker.heard()
    assert (said.word, said.thread, said.a, said.b) == (Word.DETACHED, taken.slot, taken.serial, taken.drain)
    return said.b


def drained(house, worker, taken):
    """The worker's last word."""
    worker.card.words[worker.card.base(taken.drain) + cards.STATE] = cards.IDLE
    house.router.drained(worker.crew, taken.drain, taken.serial)


def test_the_thread_serves_others_while_the_answer_goes_on(owing):
    a = owing.worker()
    slow, quick = owing.arrive(5), owing.arrive(6)
    drain = detach(owing, a, slow)
    assert drain == 1
    assert not owing.router.collect()
    assert quick.state is State.QUEUED, "the slot is the worker's until it says so"
    a.card.move_to_drain(slow.slot, drain)
    owing.router.collect()
    owing.router.refill()
    assert (quick.state, slow.state, owing.router.draining) == (State.HANDED, State.HANDED, 1)
    behind = owing.arrive(5)
    assert behind.state is State.HELD
    a.finish(quick)
    owing.router.collect()
    assert owing.router.running == 0
    drained(owing, a, slow)
    assert (slow.state, owing.router.draining) == (State.OVER, 0)
    assert behind.state is State.HANDED
    assert behind.crew is a.crew
    a.finish(behind)
    owing.router.collect()
    owing.settled()


def test_who_sends_more_during_the_answer_does_not_pipeline(owing):
    a = owing.worker()
    slow = owing.arrive(5)
    a.card.move_to_drain(slow.slot, detach(owing, a, slow))
    owing.router.collect()
    other = owing.arrive(6)
    assert other.slot == slow.slot
    owing.arrive(5)
    assert not owing.intakes[0].pipelining
    assert a.card.read(other.slot)[7] == cards.ANY_ROAD, "that is another's slot"


def test_credit_is_counted_in_the_new_cell_and_nothing_is_lost(house):
    house.intakes[0].debts = table()
    a = house.worker()
    one = house.arrive(5)
    send(a, one, 90_000)
    slot = a.card.base(one.slot)
    drain = detach(house, a, one)
    a.card.words[slot + cards.SENT] = 100_000  # in the old cell, until it has heard
    credited(house.intakes[0], b"5", 95_000)
    assert cell(a, one) == (WINDOW + 95_000, 90_000)
    assert a.card.words[slot + cards.CREDIT] == WINDOW
    a.card.move_to_drain(one.slot, drain)
    assert cell(a, one) == (WINDOW + 95_000, 100_000)
    a.card.words[a.card.base(drain) + cards.WAITING] = 1
    credited(house.intakes[0], b"5", 1000)
    (said,) = a.heard()
    assert (said.word, said.thread, said.a) == (Word.CREDIT, drain, one.serial)
    house.router.collect()
    drained(house, a, one)
    assert house.intakes[0].debts.of(5) == 4000


@pytest.mark.parametrize("moved", ["before", "seen later", "at once"])
def test_over_before_it_was_told_of_the_cell(owing, moved):
    a = owing.worker()
    one = owing.arrive(5)
    if moved == "before":
        a.finish(one)
        owing.router.detach(a.crew, one.slot, one.serial)
        assert not a.heard()
        owing.router.collect()
    else:
        a.card.move_to_drain(one.slot, detach(owing, a, one))
        if moved == "at once":
            owing.router.collect()
        drained(owing, a, one)
        owing.router.collect()
    assert a.crew.free == [0]
    owing.settled()


def test_asking_twice_gives_one_cell(owing):
    a = owing.worker()
    one = owing.arrive(5)
    assert detach(owing, a, one) == detach(owing, a, one)
    assert owing.router.draining == 1
    drained(owing, a, one)
    owing.router.drained(a.crew, one.drain, one.serial)
    owing.router.drained(a.crew, one.drain, one.serial + 1)
    assert owing.router.draining == 0


def test_cells_are_used_again(owing):
    a = owing.worker()
    for _ in range(3):
        one = owing.arrive(5)
        a.card.move_to_drain(one.slot, detach(owing, a, one))
        drained(owing, a, one)
        owing.router.collect()
    assert a.card.used[0] == 1


def test_without_a_cell_the_answer_keeps_its_slot_until_there_is_one(owing, monkeypatch):
    monkeypatch.setattr(cards, "DRAINS", 1)
    a = owing.worker(2)
    one, two = owing.arrive(5), owing.arrive(6)
    detach(owing, a, one)
    for _ in range(2):
        owing.router.detach(a.crew, two.slot, two.serial)
    assert not a.heard()
    assert owing.router.draining == 2
    a.card.move_to_drain(one.slot, one.drain)
    drained(owing, a, one)
    (said,) = a.heard()
    assert (said.word, said.a, said.b) == (Word.DETACHED, two.serial, one.drain)


def test_a_client_that_leaves_is_told_by_its_cell(owing):
    a = owing.worker()
    one = owing.arrive(5)
    drain = detach(owing, a, one)
    owing.router.gone(owing.intakes[0], b"5")
    (said,) = a.heard()
    assert (said.word, said.thread, said.a) == (Word.GONE, drain, one.serial)


@pytest.mark.parametrize("moved", [False, True])
def test_a_worker_that_dies_closes_the_clients_of_its_drains(owing, moved):
    a, b = owing.worker(2), owing.worker(2)
    one, over, behind = owing.arrive(5), None, owing.arrive(5)
    detach(owing, a, one)
    owing.arrive(6)  # goes to b
    over = owing.arrive(7)
    assert over.crew is a.crew
    detach(owing, a, over)
    follows = owing.arrive(7)
    if moved:
        a.card.move_to_drain(one.slot, one.drain)
        owing.router.collect()
    a.card.move_to_drain(over.slot, over.drain)
    a.card.words[a.card.base(over.drain) + cards.STATE] = cards.IDLE  # DRAINED was not said
    died(owing.router, a.crew)
    assert owing.closed == [one]
    assert not owing.refused
    assert [t.state for t in (one, over, behind, follows)] == [State.OVER, State.OVER, State.OVER, State.HANDED]
    assert follows.crew is b.crew
    assert a.card.read(one.drain)[0] == cards.IDLE
    assert owing.router.draining == 0


def test_a_drain_of_a_lost_mongrel2_ends_when_the_worker_says_so(owing):
    a = owing.worker()
    one = owing.arrive(5)
    a.card.move_to_drain(one.slot, detach(owing, a, one))
    owing.router.lost(owing.intakes[0])
    owing.intakes[0].epoch = owing.intakes[0].origin.epoch = 2
    owing.router.collect()
    drained(owing, a, one)
    assert owing.router.draining == 0
    assert not owing.closed
