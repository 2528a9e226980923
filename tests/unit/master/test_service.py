"""What a service manager is told, with a clock of the test's."""

from __future__ import annotations

import os
from types import SimpleNamespace

import pytest
from boards import NOW, READY, STARTING, Maker

from m2serve.ids import Seconds
from m2serve.master.board import StopOrder
from m2serve.master.generation import GenerationState, ReloadKind
from m2serve.master.service import Service
from m2serve.wire.link import Verb

NEW = GenerationState.STARTING
HALF = 5.0


class Notifier:
    watchdog = None

    def __init__(self):
        self.said = []

    def say(self, *words):
        self.said.append(words)

    def take(self):
        said, self.said = self.said, []
        return said


class Link:
    def __init__(self):
        self.sent = []

    def send(self, verb, payload):
        self.sent.append(verb)


@pytest.fixture
def make():
    maker = Maker()
    slot = maker.dispatcher()
    slot.child.link = Link()
    return maker


@pytest.fixture
def service(make):
    return Service(make.board, Notifier())


def turn(service, seconds=0.0):
    now = Seconds(NOW + seconds)
    service.turn(now)
    return service.notifier.take()


def test_a_start(make, service):
    generation = make.generation(1, READY, STARTING, state=NEW)
    assert turn(service) == [("STATUS=start: 1 of 2 workers ready",)]
    assert turn(service) == [], "nothing new"
    for slot in make.slots_of(generation):
        slot.child.state = READY
    generation.state, make.board.served = GenerationState.SERVING, True
    assert turn(service) == [("READY=1", f"MAINPID={os.getpid()}", "STATUS=2 workers serve")]
    assert turn(service) == []


def served(make, service):
    make.generation(1, READY, READY)
    make.board.served = True
    turn(service)


def test_a_reload_and_one_that_is_given_up(make, service):
    served(make, service)
    new = make.generation(2, STARTING, STARTING, state=NEW)
    new.kind = ReloadKind.CHAIN
    words = ("RELOADING=1", "MONOTONIC_USEC=1000500000", "STATUS=chain reload: 0 of 2 workers ready")
    assert turn(service, 0.5) == [words]
    make.slots_of(new)[0].child.state = READY
    assert turn(service, 0.6) == [("STATUS=chain reload: 1 of 2 workers ready",)]
    new.state = GenerationState.RETIRING
    make.slots_of(new)[0].child.state = STARTING
    make.board.last_reload = "chain reload given up: no module"
    ready, *_, status = turn(service, 0.7)[0]
    assert (ready, status) == ("READY=1", "STATUS=2 workers serve; chain reload given up: no module")


def test_a_reload_that_starts_over_is_said_again(make, service):
    served(make, service)
    second = make.generation(2, STARTING, state=NEW)
    assert turn(service, 1)[0][:2] == ("RELOADING=1", "MONOTONIC_USEC=1001000000")
    second.state = GenerationState.RETIRING
    make.generation(3, STARTING, state=NEW)
    assert turn(service, 2)[0][:2] == ("RELOADING=1", "MONOTONIC_USEC=1002000000")


def test_a_stop(make, service):
    served(make, service)
    make.board.stop = StopOrder("SIGTERM", NOW)
    assert turn(service) == [("STOPPING=1", "STATUS=stopping (SIGTERM): 2 workers have not left yet")]


def test_a_sign_of_life_needs_the_dispatchers(make, service):
    served(make, service)
    service.notifier.watchdog = Seconds(2 * HALF)
    link = make.board.dispatcher.link
    assert turn(service) == []
    assert link.sent == [Verb.PING]
    assert service.due(NOW) == NOW + 1.0
    assert turn(service, 0.5) == []
    assert turn(service, 1.0) == []
    assert link.sent == [Verb.PING] * 2, "asked again"
    make.board.dispatcher_heard = Seconds(NOW + 1.1)
    assert turn(service, 1.1) == [("WATCHDOG=1",)]
    assert service.due(NOW) == NOW + 1.1 + HALF
    assert turn(service, 1.1 + HALF / 2) == []
    assert turn(service, 1.1 + HALF) == []
    assert link.sent == [Verb.PING] * 3


def test_while_no_dispatcher_lives_nobody_does(make, service):
    served(make, service)
    service.notifier.watchdog = Seconds(2 * HALF)
    make.board.children.remove(make.board.dispatcher)
    assert [turn(service, seconds) for seconds in range(20)] == [[]] * 20


@pytest.mark.parametrize("case", ["direct", "starting", "stopping"])
def test_where_there_is_no_dispatcher_to_ask_the_master_is_enough(make, service, case):
    served(make, service)
    service.notifier.watchdog = Seconds(2 * HALF)
    make.board.dispatched = case != "direct"
    make.board.served = case != "starting"
    make.board.stop = StopOrder("SIGTERM", NOW) if case == "stopping" else None
    assert turn(service)[-1] == ("WATCHDOG=1",)
    assert turn(service, HALF - 0.1) == []
    assert turn(service, HALF) == [("WATCHDOG=1",)]


def test_without_a_manager_nobody_wakes():
    silent = SimpleNamespace(__bool__=lambda: False, watchdog=None)
    assert Service(Maker().board, silent).due(NOW) is None
