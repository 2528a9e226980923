"""Counting what the workers have to do: when somebody is asked, and what comes of it."""

from __future__ import annotations

import pytest
from boards import NOW, READY, STARTING, Commands, Maker

from m2serve.config.settings import load
from m2serve.ids import Seconds
from m2serve.master.board import StopOrder
from m2serve.master.census import Census, algorithm, crowd
from m2serve.master.commands import Command
from m2serve.master.crowd import Crowd
from m2serve.master.generation import GenerationState
from m2serve.master.mode import Mode
from m2serve.master.policies import cheaper
from m2serve.master.policies.busyness import Busyness
from m2serve.master.policies.cheaper import Change
from m2serve.wire.link import Verb

ARGUMENTS = ["--module", "app", "--zeromq", "tcp://127.0.0.1:1,tcp://127.0.0.1:2"]


class Scores:
    """What the workers and the dispatcher would say."""

    def __init__(self):
        self.running, self.handed, self.at_work, self.waits = 0, 0, False, 0

    def load(self, child, now):
        return self.running, Seconds(float(child.key))

    def traffic(self):
        return self.handed, self.at_work

    def queued(self):
        return self.waits


class Wants:
    """Notes what it is shown, and wants what it is told to."""

    def __init__(self):
        self.shown, self.wanted = [], 0

    def change(self, seen):
        self.shown.append(seen)
        return Change(self.wanted, "as told")


class House:
    def __init__(self):
        self.maker = Maker()
        self.board = self.maker.board
        self.generation = self.maker.generation(1, READY, READY)
        self.board.crowd, self.board.wanted = Crowd(most=4, least=1, initial=2), 2
        for child in self.board.workers:
            child.threads, child.rss = ("a", "b", "c"), 100
        self.scores, self.commands, self.wants = Scores(), Commands(), Wants()
        self.census = Census(self.board, self.scores, self.commands, self.wants)

    def turn(self, after):
        return self.census.turn(Seconds(NOW + after))


@pytest.fixture
def house():
    return House()


def test_once_a_second_it_shows_what_there_is(house):
    house.scores.running, house.scores.waits = 2, 7
    assert not house.turn(0)
    assert not house.turn(0.9)
    assert house.census.due(Seconds(NOW + 0.9)) == NOW + 1
    house.maker.slots_of(house.generation)[1].child.state = STARTING
    house.turn(1)
    first, second = house.wants.shown
    assert first[:8] == (NOW, 2, 2, 0, 3, 2, 7, 200)
    assert list(first.busy.values()) == [1.0, 2.0]
    assert (second.loading, second.free, second.rss, len(second.busy)) == (1, 1, 100, 1)


def test_what_it_wants_happens(house, caplog):
    house.wants.wanted = 1
    assert house.turn(0)
    assert house.board.wanted == 3
    assert "3 workers wanted, +1: as told" in caplog.text
    house.wants.wanted = -1
    assert house.turn(1)
    assert house.board.wanted == 2


@pytest.mark.parametrize("why", ["loading", "paused", "asleep", "stopping", "all"])
def test_when_nobody_is_asked(house, why):
    house.wants.wanted = 1
    if why == "loading":
        house.maker.generation(2, STARTING, state=GenerationState.STARTING)
    elif why == "paused":
        house.board.paused = True
    elif why == "asleep":
        house.board.sleep()
    elif why == "stopping":
        house.board.stop = StopOrder("SIGTERM", NOW)
    else:
        house.board.crowd = Crowd(most=4, least=4)
    assert not house.turn(0)
    assert house.wants.shown == []


@pytest.mark.parametrize(("die", "command"), [(False, Command.SLEEP), (True, Command.STOP)])
def test_idle(house, die, command):
    house.board.crowd = Crowd(most=2, least=2, initial=2, idle=Seconds(5))
    house.census.die_on_idle = die
    for second in range(3):
        house.scores.handed += 1
        house.turn(second)
    house.scores.at_work = True
    for second in range(3, 20):
        house.turn(second)
    house.scores.at_work = False
    for second in range(20, 24):
        house.turn(second)
    assert house.commands.obeyed == []
    house.turn(24)
    assert house.commands.obeyed == [(command, "idle: no request for 5 s")]


def test_idle_begins_anew_when_they_have_been_woken(house):
    """The request that woke them may not be counted yet."""
    house.board.crowd = Crowd(most=2, least=2, initial=2, idle=Seconds(5))
    house.turn(0)
    house.board.sleep()
    house.turn(1)
    assert house.census.due(Seconds(NOW + 1)) is None
    house.board.wake()
    house.turn(1000)
    house.turn(1004)
    assert house.commands.obeyed == []
    house.turn(1005)
    assert len(house.commands.obeyed) == 1


def settings(*words):
    return load([*ARGUMENTS, *words], {})


@pytest.mark.parametrize(
    ("words", "bounds"),
    [
        ((), (4, 4, 4)),
        (("--cheaper", "2"), (4, 2, 2)),
        (("--cheaper", "2", "--cheaper-initial", "3"), (4, 2, 3)),
        (("--cheaper", "2", "--cheaper-initial", "1"), (4, 2, 2)),
        (("--cheaper", "2", "--cheaper-initial", "5"), (4, 2, 2)),
        (("--cheaper-initial", "2"), (4, 4, 4)),
    ],
)
def test_the_bounds_of_the_options(words, bounds):
    found = crowd(settings("-p", "4", *words))
    assert (found.most, found.least, found.initial) == bounds


def test_the_algorithm_of_the_options():
    kinds = {
        "spare": cheaper.Spare(5, 2),
        "spare2": cheaper.Spare2(1, 2, Seconds(10)),
        "backlog": cheaper.Backlog(5, 2),
        "manual": None,
        "nobody": cheaper.Spare(5, 2),
    }
    options = ["-p", "4", "--cheaper", "1", "--cheaper-overload", "5", "--cheaper-step", "2"]
    for name, expected in kinds.items():
        found = algorithm(settings(*options, "--cheaper-algo", name))
        assert isinstance(found, cheaper.Manual) if expected is None else found == expected
    busyness = algorithm(settings(*options, "--cheaper-algo", "busyness", "--cheaper-busyness-min", "9"))
    assert isinstance(busyness, Busyness)
    assert (busyness.options.window, busyness.options.least, busyness.options.most) == (5, 9, 50)


class Link:
    def __init__(self):
        self.said = []

    def send(self, verb, payload):
        assert verb is Verb.MODE
        self.said.append((payload["paused"], payload["asleep"]))


def test_the_dispatcher_hears_what_has_changed():
    maker = Maker()
    board, mode = maker.board, Mode(maker.board)
    mode.turn(NOW)
    slot = maker.dispatcher()
    first = slot.child.link = Link()
    mode.turn(NOW)
    board.paused = True
    mode.turn(NOW)
    mode.turn(NOW)
    board.sleep()
    mode.turn(NOW)
    assert first.said == [(True, False), (True, True)]
    board.children.remove(slot.child)
    successor = maker.dispatcher().child.link = Link()
    mode.turn(NOW)
    assert successor.said == [(True, True)]
    board.stop = StopOrder("SIGTERM", NOW)
    mode.turn(NOW)
    board.wake()
    mode.turn(NOW)
    assert successor.said[1:] == [(False, True), (False, False)]
