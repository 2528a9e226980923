"""When commands of cron are due, by a clock of the test's own."""

from __future__ import annotations

import calendar
import os
import time
from datetime import datetime

import pytest
from boards import NOW, Maker

from m2serve.config.crons import CronLine, KeyedCronLine
from m2serve.ids import Seconds
from m2serve.master.actions import Run, Skip
from m2serve.master.board import StopOrder
from m2serve.master.child import ChildKind, ChildState
from m2serve.master.jobs import Job, Timetable
from m2serve.master.policies import cron, mercy
from m2serve.master.policies.cron import Almanac, matches
from m2serve.master.programs import Program
from m2serve.master.reap import Death

WEDNESDAY = datetime(2026, 11, 18, 14, 30)


def at(text):
    return CronLine.parse(f"{text} x")


@pytest.mark.parametrize(
    ("text", "runs"),
    [
        ("-1 -1 -1 -1 -1", True),
        ("30 14 18 11 3", True),
        ("31 -1 -1 -1 -1", False),
        ("30 13 -1 -1 -1", False),
        ("-1 -1 -1 12 -1", False),
        ("-15 -1 -1 -1 -1", True),
        ("-7 -1 -1 -1 -1", False),
        ("-1 -7 -1 -1 -1", True),
        ("-1 -4 -1 -1 -1", False),
        ("-1 -1 -9 -1 -1", True),
        ("-1 -1 -1 -11 -1", True),
        ("-1 -1 -1 -2 -1", False),
        # Both given: either is enough.
        ("-1 -1 18 -1 5", True),
        ("-1 -1 17 -1 3", True),
        ("-1 -1 17 -1 5", False),
        # One of them given: it has to fit.
        ("-1 -1 17 -1 -1", False),
        ("-1 -1 -1 -1 5", False),
        ("-1 -1 -2 -1 5", False),
        ("-1 -1 -2 -1 3", True),
    ],
)
def test_minutes(text, runs):
    assert matches(at(text), WEDNESDAY) is runs


def test_sunday_has_two_numbers():
    sunday = datetime(2026, 11, 22, 0, 0)
    assert matches(at("-1 -1 -1 -1 0"), sunday)
    assert matches(at("-1 -1 -1 -1 7"), sunday)
    assert not matches(at("-1 -1 -1 -1 7"), WEDNESDAY)


# --- the clock ------------------------------------------------------------------------


@pytest.fixture
def berlin(monkeypatch):
    """Summer time begins on 29 March 2026 at 2:00, ends on 25 October at 3:00."""
    monkeypatch.setitem(os.environ, "TZ", "CET-1CEST,M3.5.0,M10.5.0/3")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def utc(*moment):
    return calendar.timegm((*moment, 0, 0, 0))


def shown(minutes):
    return [one.strftime("%H:%M") for one in minutes]


def test_each_minute_once(berlin):
    almanac = Almanac()
    start = utc(2026, 7, 1, 10, 0)
    assert shown(almanac.look(start + 50).every) == ["12:00"], "the minute of the start counts"
    assert almanac.look(start + 59.9) == ((), ())
    assert almanac.look(start + 60) == ((datetime(2026, 7, 1, 12, 1),), (datetime(2026, 7, 1, 12, 1),))
    assert almanac.look(start + 100) == ((), ())


def walk(minutes, first):
    """What one look a minute gives, all together."""
    almanac = Almanac()
    found = [almanac.look(first + 60 * number) for number in range(minutes)]
    return [one for look in found for one in look.fixed], [one for look in found for one in look.every]


def test_spring_leaves_an_hour_out(berlin):
    fixed, every = walk(120, utc(2026, 3, 29, 0, 30))
    assert shown(every)[29:31] == ["01:59", "03:00"]
    assert [one for one in shown(fixed) if one in ("01:59", "02:00", "02:30", "03:00")] == [
        *("01:59", "02:00", "02:30", "03:00")
    ], "what is due in the hour that is left out is made up for"


def test_autumn_has_an_hour_twice(berlin):
    fixed, every = walk(180, utc(2026, 10, 25, 0, 0))
    assert shown(every).count("02:30") == 2
    assert shown(fixed).count("02:30") == 1
    assert shown(fixed)[-1] == shown(every)[-1] == "03:59"


def test_a_clock_that_is_set(berlin):
    almanac = Almanac()
    noon = utc(2026, 7, 1, 10, 0)
    almanac.look(noon)
    assert shown(almanac.look(noon - 600).every) == ["11:50"]
    assert shown(almanac.look(noon - 540).fixed) == [], "a little back: these minutes have been looked at"
    assert shown(almanac.look(noon + 120).fixed) == ["12:01", "12:02"], "a little forward: none is lost"
    assert shown(almanac.look(noon + 86400).fixed) == ["12:00"], "far: it is another time"
    assert shown(almanac.look(noon).fixed) == ["12:00"]


# --- starting -------------------------------------------------------------------------


def job(make, line, harakiri=0.0):
    made = Job(line, Program("cron 1", ("sh",), line.command), Seconds(harakiri))
    make.board.jobs.append(made)
    return made


def started(make, of):
    child = make.child(ChildKind.COMMAND, "cron 1", ChildState.STARTING)
    of.began(child)
    return child


def test_what_is_due_runs_also_beside_itself():
    make = Maker()
    made = job(make, at("-1 -1 -1 -1 -1"))
    assert cron.decide(make.board, NOW) == []
    made.due = True
    assert cron.decide(make.board, NOW) == [Run(made)]
    started(make, made)
    assert cron.decide(make.board, NOW) == []
    made.due = True
    assert cron.decide(make.board, NOW) == [Run(made)]


def test_what_is_unique_does_not():
    make = Maker()
    made = job(make, KeyedCronLine.parse("unique=1 x"))
    child = started(make, made)
    made.due = True
    assert cron.decide(make.board, NOW) == [Skip(made)]
    made.ended(child, Death(child.pid, 0), Seconds(NOW + 2))
    assert cron.decide(make.board, NOW) == [Run(made)]
    assert (made.runs, made.last_code, made.last_seconds) == (1, 0, 2)


def test_nothing_starts_during_a_stop():
    make = Maker()
    made = job(make, at("-1 -1 -1 -1 -1"))
    made.due = True
    make.board.stop = StopOrder("SIGTERM", NOW)
    assert cron.decide(make.board, NOW) == []
    assert not Timetable(make.board).turn(NOW)
    assert Timetable(make.board).due(NOW) is None


def test_harakiri_is_the_childs_deadline():
    make = Maker()
    child = started(make, job(make, at("-1 -1 -1 -1 -1"), harakiri=5.0))
    child.deadline = NOW
    (kill,) = mercy.decide(make.board, NOW)
    assert (kill.child, kill.reason) == (child, "harakiri of cron")


def test_the_timetable_looks_when_a_minute_begins(berlin):
    make = Maker()
    every, fixed, other = (job(make, at(text)) for text in ("-1 -1 -1 -1 -1", "0 12 -1 -1 -1", "0 13 -1 -1 -1"))
    wall = [utc(2026, 7, 1, 10, 0) + 45.5]
    table = Timetable(make.board, wall=lambda: wall[0])
    assert table.turn(NOW)
    assert [one.due for one in (every, fixed, other)] == [True, True, False]
    assert table.due(NOW) == NOW + 14.5
    every.due = fixed.due = False
    assert not table.turn(NOW)
    wall[0] += 15
    assert table.turn(NOW)
    assert [one.due for one in (every, fixed, other)] == [True, False, False]


def test_without_commands_nothing_is_looked_at():
    table = Timetable(Maker().board, wall=lambda: pytest.fail("looked"))
    assert not table.turn(NOW)
    assert table.due(NOW) is None
