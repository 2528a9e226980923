"""A dispatcher that leaves to its successor: when, and what it leaves alone."""

from __future__ import annotations

import os
import time
from types import SimpleNamespace

import pytest
from dispatching import Node, message, receive
from test_adoption import SETTINGS

from m2serve.dispatcher.leaving import Leaving
from m2serve.dispatcher.loop import Dispatcher
from m2serve.dispatcher.phase import Phase
from m2serve.system.link import EOF, Link
from m2serve.transports import ledger
from m2serve.transports.node import NodeFds
from m2serve.wire.link import Verb


@pytest.fixture
def parts():
    intake = SimpleNamespace(phase=Phase.OPEN)
    crew = SimpleNamespace(outbox=[])
    router = SimpleNamespace(answers=[], crews=[crew], parking=False)
    outgoing = SimpleNamespace(is_idle=True)
    uploads = SimpleNamespace(running=False, stopping=False)
    leaving = Leaving([intake], router, uploads, outgoing, 60.0)
    return SimpleNamespace(leaving=leaving, intake=intake, crew=crew, router=router, outgoing=outgoing)


def test_only_when_it_was_asked(parts):
    assert not parts.leaving.may_yield()
    parts.leaving.yields = True
    assert parts.leaving.may_yield()


def test_not_while_something_is_on_its_way(parts):
    parts.leaving.yields = True
    parts.router.answers = ["one"]
    assert not parts.leaving.may_yield()
    parts.router.answers = []
    parts.outgoing.is_idle = False
    assert not parts.leaving.may_yield()
    parts.outgoing.is_idle = True
    parts.crew.outbox = [b"a word"]
    assert not parts.leaving.may_yield()
    parts.crew.outbox = []
    for phase in Phase:
        parts.intake.phase = phase
        assert parts.leaving.may_yield() == (phase not in (Phase.CONNECTING, Phase.OPENING))


def test_a_stop_goes_before(parts):
    parts.leaving.yields = True
    parts.leaving.begin()
    assert not parts.leaving.may_yield()


def test_what_it_had_is_found_by_the_next(tmp_path):
    """Run until it has yielded: the connection lives, the requests in the ring are there, nothing was answered."""
    node = Node("tcp", tmp_path)
    intake = node.opened()
    node.send(b"".join(message(n) for n in range(3)))
    receive(intake, 3)
    intake.words[ledger.AWAKE] = intake.epoch
    intake.sock.close()
    fds = NodeFds((node.pair,), node.ring_size, node.ledger_fd, os.eventfd(0, os.EFD_NONBLOCK))
    fds.pulls[0] = os.dup(node.kept)
    master, ours = Link.pair()
    master.send(Verb.YIELD)
    Dispatcher(SETTINGS, ours, fds).run()
    assert master.receive().verb is Verb.READY
    assert master.receive() is None, "the connection was not dropped"
    assert intake.words[ledger.AWAKE] == 0
    heir = node.intake()
    heir.adopt(os.dup(node.kept), time.monotonic(), set())
    assert [int(one.conn) for one in heir.arrivals(0.0)] == [0, 1, 2]
    ours.close()
    assert master.receive() is EOF
    master.close()
    node.close()
