"""After an upgrade: what is replaced when."""

from __future__ import annotations

import pytest
from boards import NOW, READY, STARTING, Maker

from m2serve.ids import Seconds
from m2serve.master.actions import ReplaceWorkers, Yield
from m2serve.master.board import StopOrder
from m2serve.master.child import ChildState
from m2serve.master.policies import succession


@pytest.fixture
def make():
    make = Maker()
    make.dispatcher()
    make.generation(1, READY, READY)
    for child in make.board.children:
        child.inherited = True
    make.board.inherited = True
    return make


def decide(make):
    return succession.decide(make.board, NOW)


def test_the_dispatcher_first_then_the_workers(make):
    board = make.board
    old = board.dispatcher
    assert decide(make) == [Yield(old)]
    old.yielding = True
    assert decide(make) == []
    board.children.remove(old)
    assert decide(make) == []
    new = make.dispatcher(STARTING).child
    assert decide(make) == []
    new.state = READY
    assert decide(make) == [ReplaceWorkers()]


@pytest.mark.parametrize("state", [STARTING, ChildState.DRAINING, ChildState.STOPPING, ChildState.KILLED])
def test_a_dispatcher_that_does_not_serve_is_waited_for(make, state):
    make.board.dispatcher.state = state
    assert decide(make) == []


def test_without_a_dispatcher_the_workers_are_replaced_at_once(make):
    make.board.dispatched = False
    assert decide(make) == [ReplaceWorkers()]


def test_not_while_the_server_stops(make):
    make.board.stop = StopOrder("TERM", Seconds(NOW + 1))
    assert decide(make) == []


def test_not_before_the_daemons_answer(make):
    make.daemon(STARTING)
    assert decide(make) == []


def test_nothing_without_an_upgrade(make):
    make.board.inherited = False
    assert decide(make) == []
