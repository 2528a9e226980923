"""Workers that load for long: when the log says so, and when it ends."""

from __future__ import annotations

import pytest
from boards import MERCY, NOW, READY, STARTING, Maker

from m2serve.ids import Seconds
from m2serve.master.actions import AskStack, GiveUp, Retire, Stop, TellLoading
from m2serve.master.generation import GenerationState
from m2serve.master.policies import loading, reload
from m2serve.master.policies.reload import STARTING_GRACE


@pytest.fixture
def make():
    made = Maker()
    made.generation(1, READY)
    made.generation(2, STARTING, state=GenerationState.STARTING)
    return made


@pytest.fixture
def child(make):
    return make.board.workers[1]


def decide(make, after):
    return loading.decide(make.board, Seconds(NOW + after))


def test_it_is_said_ever_more_rarely():
    assert [loading.moment(number) for number in range(6)] == [10, 30, 60, 120, 240, 480]
    assert loading.moment(10**6) == loading.moment(10**7)


def test_the_stack_is_asked_for_then_told(make, child):
    assert loading.next_due(make.board) == NOW + 10
    assert decide(make, 9.9) == []
    assert decide(make, 10) == [AskStack(child)]
    child.asked = Seconds(NOW + 10)
    assert loading.next_due(make.board) == NOW + 10 + loading.WRITING
    assert decide(make, 10.1) == []
    assert decide(make, 10.2) == [TellLoading(child)]
    child.told = 1
    assert decide(make, 10.3) == []
    assert loading.next_due(make.board) == NOW + 30
    assert decide(make, 30) == [AskStack(child)]


def test_there_is_an_end(make, child):
    make.board.start_timeout = Seconds(20)
    child.told, child.asked = 1, Seconds(NOW + 10)
    assert loading.next_due(make.board) == NOW + 20
    assert decide(make, 20) == [AskStack(child)]
    child.asked = Seconds(NOW + 20)
    assert decide(make, 20.2) == [GiveUp(child)]


def test_without_a_limit_it_may_take_for_ever(make, child):
    child.told, child.asked = 20, Seconds(NOW + 1000)
    assert decide(make, 10_000) == []


def test_who_is_ready_is_not_asked(make, child):
    child.state = READY
    assert decide(make, 10_000) == []
    assert loading.next_due(make.board) is None


def test_one_that_takes_too_long_ends_its_reload(make, child):
    generation = make.board.generations[1]
    generation.overlong = "worker 1 has not loaded within 20 s"
    reason = "worker 1 has not loaded within 20 s (worker-start-timeout)"
    assert reload.decide(make.board, NOW) == [
        Retire(generation, reason, given_up=True),
        Stop(child, "reload given up", Seconds(NOW + STARTING_GRACE)),
    ]
    assert STARTING_GRACE < MERCY


def test_the_first_generation_goes_on_trying():
    make = Maker()
    make.generation(1, STARTING, state=GenerationState.STARTING)
    make.board.generations[0].overlong = "worker 1 has not loaded within 20 s"
    assert reload.decide(make.board, NOW) == []
