"""Generations: when the new one takes over, and when the old one stays."""

from __future__ import annotations

import pytest
from boards import MERCY, NOW, READY, STARTING, Maker

from m2serve.errors import ExitCode
from m2serve.ids import Seconds
from m2serve.master.actions import Drain, OpenGeneration, Order, Retire, Serve, Stop
from m2serve.master.board import STOP_GRACE, StopOrder
from m2serve.master.child import ChildState
from m2serve.master.generation import GenerationState, ReloadKind
from m2serve.master.policies import reload

NEW = GenerationState.STARTING
LATER = Seconds(NOW + MERCY)
SOON = Seconds(NOW + reload.STARTING_GRACE)


def decide(make):
    return reload.decide(make.board, NOW)


def workers(make, generation):
    return make.board.workers_of(generation)


def test_the_first_generation_serves_when_all_are_ready():
    make = Maker()
    generation = make.generation(1, READY, STARTING, state=NEW)
    assert decide(make) == []
    make.slots_of(generation)[1].child.state = READY
    assert decide(make) == [Serve(generation)]


def test_an_empty_slot_is_not_ready():
    make = Maker()
    make.generation(1, READY, None, state=NEW)
    assert decide(make) == []


def test_hup_opens_a_generation():
    make = Maker()
    make.generation(1, READY)
    make.board.reload_wanted = ReloadKind.GRACEFUL
    assert decide(make) == [OpenGeneration(ReloadKind.GRACEFUL)]


def test_the_switch_drains_the_old_once_all_new_are_ready():
    make = Maker()
    old = make.generation(1, READY, STARTING)
    new = make.generation(2, READY, READY, state=NEW)
    serving, starting = workers(make, old)
    serve, retire, *leave = decide(make)
    assert serve == Serve(new)
    assert retire == Retire(old, "replaced by generation 2")
    assert leave == [Drain(serving, "reload", LATER), Stop(starting, "reload", SOON)]


def test_the_old_stays_while_the_new_starts():
    make = Maker()
    make.generation(1, READY, READY)
    make.generation(2, READY, STARTING, state=NEW)
    assert decide(make) == []


@pytest.mark.parametrize("need_app", [False, True])
def test_a_new_generation_that_cannot_load_is_given_up(need_app):
    make = Maker(need_app=need_app)
    make.generation(1, READY)
    new = make.generation(2, STARTING, READY, state=NEW)
    new.failed = True
    starting, serving = workers(make, new)
    retire, *leave = decide(make)
    assert isinstance(retire, Retire)
    assert (retire.generation, retire.given_up) == (new, True)
    assert leave == [
        Stop(starting, "reload given up", SOON),
        Drain(serving, "reload given up", LATER),
    ]


def test_a_new_generation_may_lose_three_before_they_are_ready():
    make = Maker()
    make.generation(1, READY)
    new = make.generation(2, None, state=NEW)
    new.early_deaths = 3
    assert decide(make) == []
    new.early_deaths = 4
    assert [type(action) for action in decide(make)] == [Retire]


def test_the_first_generation_is_never_given_up():
    make = Maker()
    generation = make.generation(1, None, state=NEW)
    generation.early_deaths = 100
    generation.failed = True
    assert decide(make) == []


def test_a_reload_during_a_reload_starts_over():
    make = Maker()
    make.generation(1, READY)
    second = make.generation(2, STARTING, state=NEW)
    make.board.reload_wanted = ReloadKind.GRACEFUL
    assert decide(make) == [
        Retire(second, "another reload"),
        Stop(workers(make, second)[0], "another reload", SOON),
        OpenGeneration(ReloadKind.GRACEFUL),
    ]


def test_a_reload_during_the_first_start_keeps_the_first():
    make = Maker()
    make.generation(1, STARTING, state=NEW)
    make.board.reload_wanted = ReloadKind.GRACEFUL
    assert decide(make) == [OpenGeneration(ReloadKind.GRACEFUL)]


def test_a_retired_generation_is_forgotten_with_its_last_worker():
    make = Maker()
    old = make.generation(1, READY, state=GenerationState.RETIRING)
    new = make.generation(2, READY)
    make.board.forget_retired()
    assert make.board.generations == [old, new]
    make.board.children.remove(workers(make, old)[0])
    make.board.forget_retired()
    assert make.board.generations == [new]


def test_need_app_stops_the_server():
    make = Maker(need_app=True)
    generation = make.generation(1, READY, STARTING, state=NEW)
    generation.failed = True
    (order,) = decide(make)
    assert isinstance(order, Order)
    assert order.order.code is ExitCode.APP_LOAD


def test_need_app_spares_a_server_that_serves():
    make = Maker(need_app=True)
    generation = make.generation(1, READY, STARTING)
    generation.failed = True
    assert decide(make) == []
    make.slots_of(generation)[0].child.state = ChildState.DRAINING
    assert [type(action) for action in decide(make)] == [Order]


def test_nothing_is_reloaded_while_stopping():
    make = Maker()
    make.generation(1, READY)
    make.board.reload_wanted = ReloadKind.GRACEFUL
    make.board.stop = StopOrder("SIGTERM", LATER)
    assert decide(make) == []


def test_a_brutal_reload_stops_the_old_at_once_but_not_before_the_new_serve():
    make = Maker()
    old = make.generation(1, READY, STARTING)
    new = make.generation(2, READY, STARTING, state=NEW)
    new.kind = ReloadKind.BRUTAL
    assert decide(make) == []
    make.slots_of(new)[1].child.state = READY
    _, _, *leave = decide(make)
    assert leave == [Stop(child, "brutal reload", Seconds(NOW + STOP_GRACE)) for child in workers(make, old)]
