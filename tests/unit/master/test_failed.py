"""A worker that cannot load the application: may it answer 500, or do others serve?"""

from __future__ import annotations

import pytest
from boards import NOW, READY, STARTING, Maker

from m2serve.master.board import Slot
from m2serve.master.generation import GenerationState
from m2serve.master.inbox import Inbox
from m2serve.system.link import Link
from m2serve.wire.link import Verb


class House:
    """Two generations; what a worker says is read by the master's inbox."""

    def __init__(self, first, *, need_app=False):
        self.maker = Maker(need_app=need_app)
        self.board = self.maker.board
        self.maker.generation(1, first)
        self.inbox = Inbox(self.board, None)
        self.links = []

    def fail(self, child):
        child.link, theirs = Link.pair()
        self.links += [child.link, theirs]
        theirs.send(Verb.FAILED, {"summary": "no module named nothing", "traceback": "Traceback"})
        self.inbox.read(child, NOW)
        answer = theirs.receive()
        return None if answer is None else answer.verb

    def close(self):
        for link in self.links:
            link.close()


@pytest.fixture
def furnish():
    houses = []

    def make(*args, **how):
        houses.append(House(*args, **how))
        return houses[-1]

    yield make
    for house in houses:
        house.close()


def test_the_first_generation_answers_500(furnish):
    house = furnish(STARTING)
    house.board.generations[0].state = GenerationState.STARTING
    (child,) = house.board.workers
    assert house.fail(child) is Verb.SERVE
    assert child.failed and house.board.generations[0].failed


def test_where_an_older_one_serves_nobody_sees_it(furnish):
    house = furnish(READY)
    house.maker.generation(2, STARTING, state=GenerationState.STARTING)
    assert house.fail(house.board.workers[1]) is None


def test_a_replacement_of_one_that_died_answers_500(furnish):
    """Whether there is an older generation or not, as after a chain that was cut."""
    house = furnish(READY)
    house.maker.generation(2, STARTING)
    assert house.fail(house.board.workers[0]) is Verb.SERVE
    assert house.fail(house.board.workers[1]) is Verb.SERVE


def test_a_successor_does_not_for_the_old_one_stays(furnish):
    house = furnish(READY)
    old = house.board.slots[0]
    slot = Slot(old.kind, old.name, 1, old.worker, replaces=old)
    slot.child = house.maker.child(old.kind, old.name, STARTING, 1, 1)
    house.board.slots.append(slot)
    assert house.fail(slot.child) is None


def test_one_that_nobody_wants_any_more(furnish):
    house = furnish(STARTING)
    (child,) = house.board.workers
    house.board.slots.clear()
    assert house.fail(child) is None


def test_with_need_app_it_leaves_by_itself(furnish):
    house = furnish(STARTING, need_app=True)
    assert house.fail(house.board.workers[0]) is None
