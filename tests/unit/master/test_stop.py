"""The order of a stop, and the end of patience."""

from __future__ import annotations

import pytest
from boards import NOW, READY, STARTING, Maker

from m2serve.errors import ExitCode
from m2serve.ids import Seconds
from m2serve.master.actions import Drain, Finish, Kill, Order, Stop
from m2serve.master.board import STOP_GRACE, StopOrder, Urgency
from m2serve.master.child import ChildState
from m2serve.master.policies import boot, mercy, reload, stop

DEADLINE = Seconds(NOW + 60)
PATIENCE = Seconds(30.0)
DRAINING = ChildState.DRAINING
STOPPING = ChildState.STOPPING


def stopping(make, urgency=Urgency.GRACEFUL, code=ExitCode.OK):
    make.board.stop = StopOrder("SIGTERM", DEADLINE, urgency, code, PATIENCE)


def test_the_steps_in_their_order():
    make = Maker()
    daemon = make.daemon().child
    dispatcher = make.dispatcher().child
    make.generation(1, READY)
    (worker,) = make.board.workers
    stopping(make)

    (first,) = stop.decide(make.board, NOW)
    assert isinstance(first, Drain)
    assert first.child is dispatcher
    dispatcher.state = DRAINING
    assert stop.decide(make.board, NOW) == [], "waits for QUIET"

    make.board.quiet = True
    assert stop.decide(make.board, NOW) == [Drain(worker, "SIGTERM", DEADLINE)]
    worker.state = DRAINING
    assert stop.decide(make.board, NOW) == [], "waits for the worker"

    make.board.children.remove(worker)
    assert stop.decide(make.board, NOW) == [Stop(dispatcher, "SIGTERM", Seconds(NOW + PATIENCE))]
    dispatcher.state = STOPPING
    assert stop.decide(make.board, NOW) == []

    make.board.children.remove(dispatcher)
    make.board.last_burial = Seconds(NOW - stop.LINGER / 2)
    assert stop.decide(make.board, NOW) == [], "lets Mongrel2 send the last answers"
    assert stop.next_due(make.board) == NOW + stop.LINGER / 2
    make.board.last_burial = Seconds(NOW - stop.LINGER)
    assert stop.decide(make.board, NOW) == [Stop(daemon, "SIGTERM", Seconds(NOW + PATIENCE))]
    daemon.state = STOPPING
    assert stop.decide(make.board, NOW) == []

    make.board.children.remove(daemon)
    assert stop.decide(make.board, NOW) == [Finish(ExitCode.OK)]


def test_the_direct_topology_drains_workers_at_once():
    make = Maker(dispatched=False)
    make.generation(1, READY, STARTING)
    ready, starting = make.board.workers
    stopping(make)
    assert stop.decide(make.board, NOW) == [
        Drain(ready, "SIGTERM", DEADLINE),
        Stop(starting, "SIGTERM", Seconds(NOW + reload.STARTING_GRACE)),
    ]


def test_the_deadline_ends_the_wait_for_quiet():
    make = Maker()
    make.dispatcher(DRAINING)
    make.generation(1, READY)
    stopping(make)
    assert stop.decide(make.board, NOW) == []
    assert stop.next_due(make.board) == DEADLINE
    assert [type(one) for one in stop.decide(make.board, DEADLINE)] == [Drain]


def test_nobody_waits_for_quiet_when_nobody_can_run_a_request():
    make = Maker()
    make.dispatcher(DRAINING)
    make.generation(1, STOPPING)
    make.generation(2, STARTING, state=reload.GenerationState.STARTING)
    stopping(make)
    assert [type(one) for one in stop.decide(make.board, NOW)] == [Stop]


def test_a_dead_dispatcher_is_waited_for_if_a_successor_is_due():
    make = Maker()
    slot = make.dispatcher(None)
    make.generation(1, READY)
    stopping(make)
    assert stop.decide(make.board, NOW) == []
    slot.was_ready = False
    assert [type(one) for one in stop.decide(make.board, NOW)] == [Drain]


def test_a_second_signal_stops_workers_at_once():
    make = Maker()
    make.dispatcher(DRAINING)
    make.generation(1, READY, DRAINING, STOPPING)
    stopping(make, Urgency.AT_ONCE)
    first, second, _ = make.board.workers
    soon = Seconds(NOW + STOP_GRACE)
    assert stop.decide(make.board, NOW) == [Stop(first, "SIGTERM", soon), Stop(second, "SIGTERM", soon)]


def test_a_third_kills_all():
    make = Maker()
    make.dispatcher()
    make.daemon()
    make.generation(1, READY, ChildState.KILLED)
    stopping(make, Urgency.BRUTAL)
    assert [type(one) for one in stop.decide(make.board, NOW)] == [Kill] * 3


def test_urgency_only_grows():
    order = StopOrder("SIGTERM", DEADLINE, code=ExitCode.APP_LOAD)
    second = stop.escalate(order, NOW)
    assert (second.urgency, second.deadline, second.code) == (Urgency.AT_ONCE, NOW, ExitCode.APP_LOAD)
    third = stop.escalate(second, NOW)
    assert stop.escalate(third, NOW).urgency is Urgency.BRUTAL


def test_the_exit_code_is_the_orders():
    make = Maker()
    stopping(make, code=ExitCode.APP_LOAD)
    assert stop.decide(make.board, NOW) == [Finish(ExitCode.APP_LOAD)]


@pytest.mark.parametrize(("state", "expected"), [(DRAINING, Stop), (STOPPING, Kill), (READY, Kill), (STARTING, Kill)])
def test_mercy_takes_the_next_harder_step(state, expected):
    make = Maker()
    make.generation(1, state, READY)
    late, other = make.board.workers
    late.deadline = DEADLINE
    other.deadline = Seconds(DEADLINE + 1)
    assert mercy.next_due(make.board) == DEADLINE
    assert mercy.decide(make.board, NOW) == []
    (step,) = mercy.decide(make.board, DEADLINE)
    assert isinstance(step, expected)
    assert step.child is late


def test_mercy_has_nothing_after_a_kill():
    make = Maker()
    make.generation(1, ChildState.KILLED)
    make.board.workers[0].deadline = NOW
    assert mercy.decide(make.board, NOW) == []
    assert mercy.next_due(make.board) is None


def test_a_daemon_that_never_answers_ends_the_start():
    make = Maker()
    make.daemon(STARTING)
    assert boot.decide(make.board, NOW) == []
    (order,) = boot.decide(make.board, Seconds(NOW + boot.DAEMON_PATIENCE))
    assert isinstance(order, Order)
    assert order.order.code is ExitCode.CONFIG
    assert "does not answer" in order.order.reason


def test_a_daemon_that_keeps_dying_ends_the_start():
    make = Maker()
    slot = make.daemon(None)
    slot.short_lives = boot.EARLY_DEATHS
    (order,) = boot.decide(make.board, NOW)
    assert isinstance(order, Order)


def test_a_daemon_that_came_back_deaf_is_killed():
    make = Maker()
    slot = make.daemon(STARTING)
    slot.was_ready = True
    (kill,) = boot.decide(make.board, Seconds(NOW + boot.DAEMON_PATIENCE))
    assert isinstance(kill, Kill)
