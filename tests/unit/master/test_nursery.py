"""Nurseries: who is spawned when, and what becomes of workers that are ordered and not born."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from boards import NOW, READY, STARTING, Maker

from m2serve.ids import Seconds
from m2serve.master import loop
from m2serve.master.actions import AskStack, Kill, Retire, Spawn, Stop
from m2serve.master.board import Slot, StopOrder, Urgency
from m2serve.master.child import ChildKind, ChildState
from m2serve.master.generation import GenerationState
from m2serve.master.inbox import Inbox
from m2serve.master.policies import loading, mercy, reload, respawn, stop
from m2serve.system.link import Received
from m2serve.wire.link import Verb

NEW = ChildState.NEW


class Link:
    """A link of which nobody reads the other end."""

    pending = False

    def __init__(self, *messages):
        self.messages = list(messages)
        self.said = []

    def receive(self):
        return self.messages.pop(0) if self.messages else None

    def send(self, verb, payload=None, fds=()):
        self.said.append(verb)
        return True

    def close(self):
        pass


class Preloaded(Maker):
    """A board whose generations have nurseries."""

    def generation(self, number, *states, nursery=READY, **keywords):
        generation = super().generation(number, *states, **keywords)
        generation.preload = True
        slot = Slot(ChildKind.NURSERY, f"nursery {number}", number)
        if nursery is not None:
            slot.child = self.child(ChildKind.NURSERY, slot.name, nursery, number)
            slot.child.link = Link()
            slot.child.pid = 1000 + number
        self.board.slots.append(slot)
        return generation

    def nursery_slot(self, number):
        return next(one for one in self.board.slots if one.name == f"nursery {number}")


@pytest.fixture
def make():
    maker = Preloaded()
    maker.dispatcher()
    return maker


def test_workers_wait_for_their_nursery(make):
    generation = make.generation(1, None, None, nursery=None, state=GenerationState.STARTING)
    assert respawn.decide(make.board, NOW) == [Spawn(make.nursery_slot(1))]
    make.nursery_slot(1).child = make.child(ChildKind.NURSERY, "nursery 1", STARTING, 1)
    assert respawn.decide(make.board, NOW) == []
    assert respawn.next_due(make.board, NOW) is None
    make.nursery_slot(1).child.state = READY
    make.nursery_slot(1).child.link = Link()
    assert respawn.decide(make.board, NOW) == [Spawn(slot) for slot in make.slots_of(generation)]


def test_another_generations_nursery_is_none(make):
    make.generation(1, None, nursery=STARTING)
    make.generation(2, STARTING, state=GenerationState.STARTING)
    assert respawn.decide(make.board, NOW) == []


def test_a_retired_generation_gives_up_its_nursery(make):
    old = make.generation(1, READY)
    make.generation(2, READY, state=GenerationState.STARTING)
    actions = reload.decide(make.board, NOW)
    assert any(isinstance(one, Retire) and one.generation is old for one in actions)
    told = [one.child.name for one in actions if isinstance(one, Stop)]
    assert told == ["nursery 1"]


def test_a_nursery_that_cannot_load_ends_the_reload(make):
    make.generation(1, READY)
    new = make.generation(2, None, nursery=STARTING, state=GenerationState.STARTING)
    new.failed = True
    actions = reload.decide(make.board, NOW)
    assert actions[0] == Retire(new, "its application cannot be loaded", given_up=True)
    assert [one.child.name for one in actions if isinstance(one, Stop)] == ["nursery 2"]


def test_a_stop_begins_with_the_nurseries(make):
    make.generation(1, READY)
    make.board.stop = StopOrder("test", Seconds(NOW + 60))
    actions = stop.decide(make.board, NOW)
    assert [one.child.name for one in actions if isinstance(one, Stop)] == ["nursery 1"]


def test_nobody_who_is_not_born_is_killed(make):
    """There is no pid yet; its nursery's end will be its own."""
    make.generation(1, NEW, READY)
    make.board.stop = StopOrder("test", NOW, Urgency.BRUTAL)
    actions = stop.decide(make.board, NOW)
    assert sorted(one.child.name for one in actions) == ["dispatcher", "nursery 1", "worker 2"]


def test_a_nursery_that_takes_long_to_load_is_asked_where_it_is(make):
    make.generation(1, None, nursery=STARTING, state=GenerationState.STARTING)
    nursery = make.nursery_slot(1).child
    assert loading.next_due(make.board) == NOW + 10
    assert loading.decide(make.board, Seconds(NOW + 10)) == [AskStack(nursery)]


def test_a_nursery_that_does_not_fork_is_killed(make):
    generation = make.generation(1, NEW)
    unborn = make.slots_of(generation)[0].child
    unborn.deadline = NOW
    nursery = make.nursery_slot(1).child
    assert mercy.decide(make.board, NOW) == [Kill(nursery, "does not fork")]
    nursery.state = ChildState.KILLED
    assert mercy.decide(make.board, NOW) == [], "once"


# --- what is said ---------------------------------------------------------------------


def inbox_of(make, child, *messages):
    child.link = Link(*messages)
    posts = {child.key: SimpleNamespace(threads=2, close=lambda: None)}
    inbox = Inbox(make.board, SimpleNamespace(posts=posts, nurseries={}))
    return inbox


def test_a_birth(make):
    unborn = make.slots_of(make.generation(1, NEW))[0].child
    unborn.deadline = NOW
    inbox_of(make, unborn, Received(Verb.BORN, {"pid": 77})).read(unborn, NOW)
    assert (unborn.pid, unborn.state, unborn.deadline) == (77, STARTING, None)


def test_one_that_is_born_too_late_is_told_to_leave(make):
    generation = make.generation(1, NEW)
    unborn = make.slots_of(generation)[0].child
    make.board.slots = [slot for slot in make.board.slots if slot.child is not unborn]
    inbox_of(make, unborn, Received(Verb.BORN, {"pid": 77})).read(unborn, NOW)
    assert unborn.state is ChildState.STOPPING
    assert unborn.deadline is not None
    assert unborn.link.said == [Verb.STOP]


def test_a_nursery_that_must_not_be_forked_leaves_for_good(make):
    generation = make.generation(1, None, nursery=STARTING, state=GenerationState.STARTING)
    make.board.preload = True
    nursery = make.nursery_slot(1).child
    inbox_of(make, nursery, Received(Verb.UNFIT, {"reason": "thread 'beat' runs"})).read(nursery, NOW)
    assert nursery.leaving
    assert (make.board.preload, make.board.unfit) == (False, "thread 'beat' runs")
    assert respawn.decide(make.board, NOW) == [Spawn(slot) for slot in make.slots_of(generation)]


# --- deaths before a word ---------------------------------------------------------------


def loop_of(make, inbox):
    return loop.Loop(make.board, SimpleNamespace(hooks=lambda *_, **__: None), inbox, None, None, None)


def test_who_dies_before_a_word_is_buried_by_the_end_of_its_link(make):
    slot = make.slots_of(make.generation(1, NEW))[0]
    unborn = slot.child
    inbox = inbox_of(make, unborn)
    unborn.link = None
    loop_of(make, inbox)._bury_unborn(unborn, NOW)
    assert unborn.state is ChildState.DEAD
    assert slot.child is None
    assert unborn not in make.board.children


def test_a_death_that_is_reaped_before_the_birth_is_read(make):
    slot = make.slots_of(make.generation(1, NEW))[0]
    unborn = slot.child
    inbox = inbox_of(make, unborn, Received(Verb.BORN, {"pid": 77}))
    loop_of(make, inbox)._bury(loop.Death(77, -9), NOW)
    assert (unborn.pid, unborn.state) == (77, ChildState.DEAD)
    assert slot.child is None
