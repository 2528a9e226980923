"""Chain reloads: worker by worker, and never one less than before."""

from __future__ import annotations

from boards import MERCY, NOW, READY, STARTING, Maker

from m2serve.ids import Seconds, WorkerId
from m2serve.master.actions import Cut, Drain, Grow, OpenGeneration, Release, Retire, Serve, Stop
from m2serve.master.board import Slot
from m2serve.master.child import ChildKind, ChildState
from m2serve.master.generation import GenerationState, ReloadKind
from m2serve.master.policies import reload

NEW = GenerationState.STARTING
LATER = Seconds(NOW + MERCY)
SOON = Seconds(NOW + reload.STARTING_GRACE)
REASON = "chain reload, replaced by generation 2"


class Chain:
    """A generation of three, and the first worker of its chain; `perform` does what the master would."""

    def __init__(self):
        self.make = Maker()
        self.board = self.make.board
        self.old = self.make.generation(1, READY, READY, READY)
        self.new = self.make.generation(2, STARTING, state=NEW)
        self.new.kind, self.new.size = ReloadKind.CHAIN, 3

    def decide(self):
        return reload.decide(self.board, NOW)

    def perform(self, actions):
        for action in actions:
            match action:
                case Release(slot):
                    self.board.slots.remove(slot)
                case Drain(child) | Stop(child):
                    child.state = ChildState.DRAINING
                case Grow(generation, worker):
                    slot = Slot(ChildKind.WORKER, f"worker {worker}", generation.number, worker)
                    self.board.slots.append(slot)
                    slot.child = self.make.child(slot.kind, slot.name, STARTING, generation.number, worker)
                case Serve(generation) | Cut(generation):
                    generation.state = GenerationState.SERVING
                case Retire(generation):
                    generation.state = GenerationState.RETIRING
        return actions

    def step(self):
        return self.perform(self.decide())

    def ready(self):
        """Whoever starts is ready, whoever drains has left."""
        for child in list(self.board.workers):
            if child.state is STARTING:
                child.state = READY
            elif child.leaving:
                self.board.children.remove(child)

    def serving(self):
        return sum(child.state is READY for child in self.board.workers)

    def slot(self, generation, number):
        return next(slot for slot in self.make.slots_of(generation) if slot.worker == number)


def test_one_after_the_other():
    chain = Chain()
    assert chain.step() == []
    for number in (1, 2, 3):
        victim = chain.slot(chain.old, number)
        chain.slot(chain.new, number).child.state = READY
        assert chain.step() == [Release(victim), Drain(victim.child, REASON, LATER)]
        assert chain.serving() == 3
        assert chain.step() == [], "the old one has to leave first"
        chain.board.children.remove(victim.child)
        if number < 3:
            assert chain.step() == [Grow(chain.new, WorkerId(number + 1))]
            assert chain.step() == []
            assert len(chain.board.workers) == 4
    assert chain.step() == [Serve(chain.new), Retire(chain.old, "replaced by generation 2")]


def test_a_replaced_worker_that_dies_is_waited_for():
    chain = Chain()
    for _ in range(3):
        chain.ready()
        chain.step()
    assert {slot.worker for slot in chain.make.slots_of(chain.new)} == {1, 2}
    chain.ready()
    chain.slot(chain.new, 1).child = None
    assert chain.step() == []


def test_the_first_that_fails_leaves_all_as_it_was():
    chain = Chain()
    chain.new.failed = True
    retire, stop = chain.step()
    assert (retire.generation, retire.given_up) == (chain.new, True)
    assert isinstance(stop, Stop)
    assert len(chain.make.slots_of(chain.old)) == 3


def test_a_later_one_that_fails_leaves_both_generations():
    chain = Chain()
    chain.ready()
    chain.step()
    chain.ready()
    chain.step()
    chain.new.failed = True
    failing = chain.slot(chain.new, 2)
    assert chain.step() == [
        Release(failing),
        Stop(failing.child, "reload given up", SOON),
        Cut(chain.new, "its application cannot be loaded", True),
    ]
    assert [slot.worker for slot in chain.make.slots_of(chain.new)] == [1]
    assert [slot.worker for slot in chain.make.slots_of(chain.old)] == [2, 3]
    assert chain.serving() == 3
    assert chain.step() == []


def test_the_last_that_fails_after_all_were_replaced_keeps_the_new():
    chain = Chain()
    while chain.make.slots_of(chain.old):
        chain.ready()
        chain.step()
    chain.new.early_deaths = 4
    reason = "4 workers died before they were ready"
    assert chain.step() == [Cut(chain.new, reason, True), Retire(chain.old, "all replaced")]


def test_another_reload_keeps_what_was_replaced():
    chain = Chain()
    chain.ready()
    chain.step()
    chain.ready()
    chain.step()
    chain.board.reload_wanted = ReloadKind.GRACEFUL
    starting = chain.slot(chain.new, 2)
    assert chain.step() == [
        Release(starting),
        Stop(starting.child, "another reload", SOON),
        Cut(chain.new, "another reload", False),
        OpenGeneration(ReloadKind.GRACEFUL),
    ]
    third = chain.make.generation(3, READY, READY, READY, state=NEW)
    serve, first, *rest = chain.decide()
    assert serve == Serve(third)
    assert first == Retire(chain.old, "replaced by generation 3")
    assert Retire(chain.new, "replaced by generation 3") in rest
    assert len([action for action in rest if isinstance(action, Drain)]) == 3
