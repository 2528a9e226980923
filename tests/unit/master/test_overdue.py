"""Requests over their deadline: who is told, who is pressed, who is killed. And where they are found."""

from __future__ import annotations

import logging
import os

import pytest
from boards import NOW, READY, STARTING, Maker

from m2serve.config.deadlines import Deadlines
from m2serve.config.values import Deadline
from m2serve.endpoint import ZmqPair
from m2serve.front import Front
from m2serve.ids import Seconds, WorkerId
from m2serve.master import stuck
from m2serve.master.actions import Accuse, AskStacks, Execute
from m2serve.master.child import ChildState
from m2serve.master.late import Accusation, Late
from m2serve.master.overdue import Overdue
from m2serve.master.policies import harakiri
from m2serve.master.scores import Scores
from m2serve.transports import sheet as sheets
from m2serve.transports.node import NodeFds, WorkerPost
from m2serve.transports.sheet import Sheet

SILENT = harakiri.SILENCE
WRITTEN = SILENT + harakiri.WRITING


def late(core=0, number=7):
    return Late(core, number, Seconds(NOW - 30), Seconds(30), "GET", "/slow", f"id-{number:x}")


@pytest.fixture
def make():
    made = Maker()
    made.generation(1, READY, READY)
    return made


def decide(make, after=0.0):
    return harakiri.decide(make.board, Seconds(NOW + after))


def accuse(child, after=0.0, **late_one):
    one = late(**late_one)
    child.accused[one.key] = Accusation(one, Seconds(NOW + after))


def test_nobody_is_late(make):
    assert decide(make) == []
    assert harakiri.next_due(make.board) is None


def test_each_request_is_told_of_once(make):
    first, second = make.board.workers
    first.late = (late(), late(1, 8))
    assert decide(make) == [Accuse(first, late()), Accuse(first, late(1, 8))]
    accuse(first)
    assert decide(make) == [Accuse(first, late(1, 8))]
    second.late = (late(),)
    accuse(first, core=1, number=8)
    assert decide(make) == [Accuse(second, late())]


def test_who_answers_is_left_alone(make):
    child = make.board.workers[0]
    child.late = (late(),)
    accuse(child)
    child.heard = Seconds(NOW + 0.01)
    assert decide(make, 100) == []
    assert harakiri.next_due(make.board) is None


def test_who_does_not_is_asked_for_its_stacks_and_killed(make):
    child = make.board.workers[0]
    child.late = (late(),)
    child.heard = Seconds(NOW - 1)
    accuse(child)
    assert harakiri.next_due(make.board) == NOW + SILENT
    assert decide(make, SILENT - 0.01) == []
    assert decide(make, SILENT) == [AskStacks(child)]
    child.asked = Seconds(NOW + SILENT)
    assert harakiri.next_due(make.board) == NOW + WRITTEN
    assert decide(make, WRITTEN - 0.01) == []
    assert decide(make, WRITTEN) == [Execute(child)]
    assert WRITTEN < 1.0, "the 504 has to leave within a second of the deadline"


def test_a_word_at_the_last_moment_saves_it(make):
    child = make.board.workers[0]
    child.late = (late(),)
    accuse(child)
    child.asked = Seconds(NOW + SILENT)
    child.heard = Seconds(NOW + SILENT + 0.1)
    assert decide(make, 10) == []


def test_a_request_that_has_ended_saves_it_too(make):
    child = make.board.workers[0]
    accuse(child)
    child.late = ()
    assert decide(make, 10) == []
    child.late = (late(0, 8),)
    assert decide(make, 10) == [Accuse(child, late(0, 8))]


@pytest.mark.parametrize(
    ("state", "judged"),
    [
        (STARTING, False),
        (READY, True),
        (ChildState.DRAINING, True),
        (ChildState.STOPPING, False),
        (ChildState.KILLED, False),
    ],
)
def test_who_is_judged(make, state, judged):
    child = make.board.workers[0]
    child.late = (late(),)
    child.state = state
    assert bool(decide(make)) is judged


# --- looking --------------------------------------------------------------------------------------------------------


class House:
    """Workers with sheets that a test writes."""

    def __init__(self, *deadlines):
        self.maker = Maker()
        self.maker.generation(1, READY)
        self.board = self.maker.board
        pair = ZmqPair.parse("tcp://127.0.0.1:1,tcp://127.0.0.1:2")
        self.node = NodeFds.create([Front(pair)], 65536)
        (self.child,) = self.board.workers
        self.child.pid = os.getpid()
        post = self.node.posts[self.child.key] = WorkerPost.create(self.child.key, WorkerId(1), 2)
        self.sheet = Sheet(post.sheet_fd, 2)
        scores = Scores(self.board, self.node, 10)
        scores.turn(NOW)
        self.overdue = Overdue(self.board, scores, Deadlines([Deadline.parse(text) for text in deadlines]))

    def begin(self, core, number, uri, began=0.0):
        self.sheet.show(core, b"GET", uri)
        self.sheet.cells[core][sheets.NUMBER] = number
        self.sheet.cells[core][sheets.STARTED] = int((NOW + began) * 1e9)

    def look(self, after):
        return self.overdue.turn(Seconds(NOW + after))

    def due(self):
        return self.overdue.due(NOW) - NOW


@pytest.fixture
def furnish():
    houses = []

    def make(*deadlines):
        houses.append(House(*deadlines))
        return houses[-1]

    yield make
    for house in houses:
        house.node.close()


def test_while_the_queue_is_short_nobody_is_late(furnish, monkeypatch):
    house = furnish("30")
    house.overdue.threshold = 2
    waiting = [1]
    monkeypatch.setattr(house.overdue.scores, "queued", lambda: waiting[0])
    house.begin(0, 7, b"/a")
    assert not house.look(40)
    assert house.overdue.due(Seconds(NOW + 40)) == NOW + 41, "the queue may grow"
    waiting[0] = 2
    assert house.look(41)
    assert house.child.late
    waiting[0] = 0
    assert house.look(42)
    assert house.child.late == ()


def test_it_looks_when_a_deadline_comes_and_once_in_each_shortest_one(furnish):
    house = furnish("30", "/reports=120")
    assert not house.look(0)
    assert house.due() == 30
    house.begin(0, 7, b"/a?b", 10)
    house.begin(1, 8, b"/reports/7", 1)
    assert not house.look(29), "not yet"
    assert not house.look(30)
    assert house.due() == pytest.approx(40)
    assert house.look(40)
    assert [(one.core, one.number, one.uri) for one in house.child.late] == [(0, 7, "/a?b")]
    assert house.due() == pytest.approx(70)
    house.sheet.cells[0][sheets.STARTED] = 0
    assert house.look(70)
    assert house.child.late == ()
    assert house.look(121)
    assert [(one.core, one.limit) for one in house.child.late] == [(1, 120.0)]


def test_without_deadlines_nobody_looks(furnish):
    house = furnish("0")
    house.begin(0, 7, b"/")
    assert not house.look(1000)
    assert house.overdue.due(NOW) is None


def test_what_the_log_says(furnish, caplog):
    house = furnish("30")
    caplog.set_level(logging.ERROR, "m2serve.master")
    accuse(house.child)
    payload = {"core": 0, "number": 7, "verdict": "answered 504", "stack": "  File here"}
    stuck.confess(house.child, payload, house.board, Seconds(NOW + 0.1))
    assert house.child.harakiris == 1
    (message,) = [record.getMessage() for record in caplog.records]
    assert message.endswith("core 0: GET '/slow' id=id-7 ran for 30.1 s (harakiri 30 s): answered 504\n  File here")
    stuck.confess(house.child, {**payload, "number": 8}, house.board, NOW)
    assert house.child.harakiris == 1, "nobody has accused it"


def test_what_the_log_says_of_a_silent_one(furnish, caplog):
    house = furnish("30")
    caplog.set_level(logging.ERROR, "m2serve.master")
    house.child.late = (late(),)
    house.child.natives = ((0xABC, 1), (0xDEF, 2))
    fd = house.node.posts[house.child.key].sheet_fd
    house.child.written = os.fstat(fd).st_size
    os.write(fd, b'Thread 0x0000000000000def (most recent call first):\n  File "other.py", line 1 in one\n\n')
    os.write(fd, b'Current thread 0x0000000000000abc (most recent call first):\n  File "app.py", line 5 in slow\n')
    house.board.verbose_harakiri = True
    stuck.tell_silent(house.child, house.node, house.board, Seconds(NOW))
    own, others = (record.getMessage() for record in caplog.records)
    assert 'the worker does not answer and is killed; answered 504\n  File "app.py", line 5 in slow\n' in own
    assert "HARAKIRI: -- syscall> " in own and "HARAKIRI: -- wchan> " in own
    assert others.endswith('thread 0xdef:\n  File "other.py", line 1 in one')


def test_a_request_with_a_deadline_of_its_own(furnish):
    house = furnish()
    house.begin(0, 7, b"/slow")
    assert not house.look(1000) and house.overdue.due(NOW) is None
    house.child.own_deadlines = True
    house.sheet.cells[0][sheets.DEADLINE] = int((NOW + 5) * 1e9)
    house.sheet.cells[0][sheets.ASKING] = 7
    assert not house.look(4.9)
    assert house.look(5.0)
    (found,) = house.child.late
    assert (found.number, round(found.limit, 3)) == (7, 5.0)
    house.begin(0, 8, b"/next", 5.0)
    assert house.look(100) and house.child.late == ()


def test_the_earlier_deadline_counts(furnish):
    house = furnish("10")
    house.child.own_deadlines = True
    for core, (deadline, at) in enumerate(((5, 5.0), (20, 10.0))):
        house.begin(core, 7 + core, b"/slow")
        house.sheet.cells[core][sheets.DEADLINE] = int((NOW + deadline) * 1e9)
        house.sheet.cells[core][sheets.ASKING] = 7 + core
        house.look(at)
        assert [one.number for one in house.child.late] == list(range(7, 8 + core))
