"""Workers that have to go: one at a time, and only when a successor is ready."""

from __future__ import annotations

import pytest
from boards import MERCY, NOW, READY, STARTING, Maker

from m2serve.ids import Seconds
from m2serve.master.actions import Dismiss, Drain, Promote, Release, Renew, Stop
from m2serve.master.board import Slot, StopOrder
from m2serve.master.generation import GenerationState, ReloadKind
from m2serve.master.limits import MIB, Limits
from m2serve.master.policies import limits
from m2serve.master.policies.reload import STARTING_GRACE

LATER = Seconds(NOW + MERCY)


@pytest.fixture
def make():
    made = Maker()
    made.generation(1, READY, READY, READY)
    made.board.limits = Limits(requests=100)
    return made


def slots(make):
    return make.slots_of(make.board.generations[0])


def decide(make, after=0.0):
    return limits.decide(make.board, Seconds(NOW + after))


def succeed(make, old, state):
    """A successor beside *old*, as the master makes it."""
    slot = Slot(old.kind, old.name, old.generation, old.worker, replaces=old)
    make.board.slots.append(slot)
    slot.child = None if state is None else make.child(old.kind, old.name, state, old.generation, old.worker)
    return slot


def test_one_at_a_time(make):
    assert decide(make) == []
    first, second, _ = slots(make)
    first.child.requests = second.child.requests = 100
    assert decide(make) == [Renew(first, "max-requests, 100 served")]
    successor = succeed(make, first, STARTING)
    assert decide(make) == []
    successor.child.state = READY
    drain = Drain(first.child, "its successor is ready", LATER)
    assert decide(make) == [Promote(successor), Release(first), drain]
    successor.replaces = None
    make.board.slots.remove(first)
    assert decide(make) == [Renew(second, "max-requests, 100 served")]


@pytest.mark.parametrize("state", [STARTING, READY])
def test_a_successor_that_cannot_load_leaves_the_old(make, state):
    old = slots(make)[0]
    old.child.requests = 100
    successor = succeed(make, old, state)
    successor.child.failed = True
    until = Seconds(NOW + limits.TRY_AGAIN)
    leave = (
        Stop(successor.child, "not needed", Seconds(NOW + STARTING_GRACE))
        if state is STARTING
        else Drain(successor.child, "not needed", LATER)
    )
    assert decide(make) == [Dismiss(successor, old, until), leave]
    make.board.slots.remove(successor)
    old.stays_until = until
    assert decide(make, 59) == []
    assert decide(make, 60) == [Renew(old, "max-requests, 100 served")]


def test_a_successor_that_keeps_dying_leaves_the_old(make):
    old = slots(make)[0]
    successor = succeed(make, old, None)
    successor.short_lives = 3
    assert decide(make) == []
    successor.short_lives = 4
    assert decide(make) == [Dismiss(successor, old, Seconds(NOW + limits.TRY_AGAIN))]


def test_one_that_has_asked_for_it(make):
    """By an exception; its age is no excuse."""
    make.board.limits = Limits(least_lifetime=Seconds(10))
    second = slots(make)[1]
    second.child.unwanted = "reload-on-exception, ValueError"
    assert decide(make) == [Renew(second, "reload-on-exception, ValueError")]
    second.stays_until = Seconds(NOW + 60)
    assert decide(make) == []
    second.stays_until = Seconds(0)
    successor = succeed(make, second, READY)
    second.child = None
    make.board.limits = Limits()
    assert decide(make) == [Promote(successor), Release(second)], "though the one that had asked has died"


def test_an_old_one_that_dies_meanwhile(make):
    old = slots(make)[0]
    old.child = None
    successor = succeed(make, old, READY)
    assert decide(make) == [Promote(successor), Release(old)]


@pytest.mark.parametrize(
    ("given", "found", "after", "reason"),
    [
        (Limits(lifetime=Seconds(20)), {}, 19.9, None),
        (Limits(lifetime=Seconds(20)), {}, 20.0, "max-worker-lifetime, 20 s old"),
        (Limits(lifetime=Seconds(20), lifetime_delta=Seconds(5)), {}, 24.9, None),
        (Limits(lifetime=Seconds(20), lifetime_delta=Seconds(5)), {}, 25.0, "max-worker-lifetime, 25 s old"),
        (Limits(requests=100, requests_delta=10), {"requests": 109}, 0, None),
        (Limits(requests=100, requests_delta=10), {"requests": 110}, 0, "max-requests, 110 served"),
        (Limits(requests=100, least_lifetime=Seconds(10)), {"requests": 100}, 9.9, None),
        (Limits(requests=100, least_lifetime=Seconds(10)), {"requests": 100}, 10, "max-requests, 100 served"),
        (Limits(rss=64 * MIB), {"rss": 64 * MIB - 1}, 0, None),
        (Limits(rss=64 * MIB), {"rss": 65 * MIB}, 0, "reload-on-rss, 65 MiB"),
        (Limits(address_space=64 * MIB), {"address_space": 64 * MIB}, 0, "reload-on-as, 64 MiB"),
        (Limits(uss=64 * MIB), {"uss": 64 * MIB}, 0, "reload-on-uss, 64 MiB"),
        (Limits(uss=64 * MIB), {"uss": 64 * MIB - 1, "rss": 99 * MIB, "pss": 99 * MIB}, 0, None),
        (Limits(pss=64 * MIB), {"pss": 64 * MIB}, 0, "reload-on-pss, 64 MiB"),
        (Limits(evil_rss=MIB), {"rss": 99 * MIB}, 0, None),
        (Limits(), {"requests": 10**9, "rss": 10**12}, 10**6, None),
    ],
)
def test_the_limits(make, given, found, after, reason):
    make.board.limits = given
    first = slots(make)[0]
    for name, value in found.items():
        setattr(first.child, name, value)
    if reason is not None:
        assert decide(make, after) == [Renew(first, reason)]
    else:
        assert [one for one in decide(make, after) if one.slot is first] == []


def test_a_reload_or_a_stop_comes_first(make):
    slots(make)[0].child.requests = 100
    make.board.reload_wanted = ReloadKind.CHAIN
    assert decide(make) == []
    make.board.reload_wanted = None
    new = make.generation(2, STARTING, state=GenerationState.STARTING)
    assert decide(make) == []
    new.state = GenerationState.RETIRING
    assert len(decide(make)) == 1
    make.board.stop = StopOrder("SIGTERM", NOW)
    assert decide(make) == []
