"""What an emperor tells of its vassals."""

from __future__ import annotations

import os

import pytest

from m2serve.emperor.policy import Rules, census, died
from m2serve.emperor.stats import Chronicle, named
from m2serve.emperor.vassal import Identity, State, Vassal
from m2serve.endpoint import StatsAddress
from m2serve.ids import Seconds

RULES = Rules(Seconds(1.0), Seconds(10.0), Seconds(65.0))
SEEN = Identity(1, 1, 5_900_000_000, 1000, 1001)
AHEAD = 1_000_000.0


def chronicle(*vassals: Vassal, tyrant: bool = False) -> Chronicle:
    return Chronicle(
        StatsAddress(), places=["/etc/v", "/srv/*/m2.ini"], tyrant=tyrant, rules=RULES,
        vassals={one.path: one for one in vassals}, wall=lambda: 2000.0 + AHEAD,
    )  # fmt: skip


def told(*vassals: Vassal, tyrant: bool = False):
    return chronicle(*vassals, tyrant=tyrant).make(Seconds(2000.0))


def test_of_itself():
    document = told()
    assert document["pid"] == os.getpid()
    assert document["emperor"] == ["/etc/v", "/srv/*/m2.ini"]
    assert document["emperor_tyrant"] == 0 and told(tyrant=True)["emperor_tyrant"] == 1
    assert document["vassals"] == document["blacklist"] == []


def test_of_one_that_serves():
    one = Vassal("/etc/v/a.ini", SEEN, Seconds(0.0), State.RUNNING, 77, loyal=True, starts=2, reloads=3, ready=True)
    one.born, one.first_run, one.last_run = Seconds(1.5), Seconds(2.0), Seconds(9.0)
    one.loyal_at, one.ready_at = Seconds(4.0), Seconds(10.0)
    (vassal,) = told(one)["vassals"]
    assert vassal == {
        "id": "a.ini", "pid": 77, "born": 1_000_001, "last_mod": 5, "last_heartbeat": 0, "loyal": 1, "ready": 1,
        "accepting": 1, "last_loyal": 1_000_004, "last_ready": 1_000_010, "last_accepting": 1_000_010,
        "first_run": 1_000_002, "last_run": 1_000_009, "cursed": 0, "zerg": 0, "on_demand": "", "uid": os.getuid(),
        "gid": os.getgid(), "monitor": "/etc/v", "respawns": 4,
    }  # fmt: skip
    (vassal,) = told(one, tyrant=True)["vassals"]
    assert (vassal["uid"], vassal["gid"]) == (1000, 1001)


def test_of_one_that_is_being_stopped():
    one = Vassal("/srv/x/m2.ini", SEEN, Seconds(0.0), State.STOPPING, 77, stopped_at=Seconds(12.0))
    (vassal,) = told(one)["vassals"]
    assert vassal["cursed"] == 1_000_012
    assert (vassal["id"], vassal["monitor"]) == ("/srv/x/m2.ini", "/srv/*/m2.ini")
    assert vassal["last_loyal"] == vassal["last_ready"] == 0


def test_of_one_that_fails():
    vassals: dict[str, Vassal] = {}
    list(census(vassals, {"/etc/v/a.ini": SEEN}, Seconds(1.0)))
    (one,) = vassals.values()
    for now in (3.0, 4.0, 5.0):
        one.state, one.pid = State.RUNNING, 77
        died(vassals, one, RULES, Seconds(now))
    document = told(one)
    assert document["vassals"] == [], "nothing runs"
    assert document["blacklist"] == [
        {"id": "a.ini", "throttle_level": 4000, "attempt": 3, "first_attempt": 1_000_003, "last_attempt": 1_000_005}
    ]


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/etc/v/a.ini", ("a.ini", "/etc/v")),
        ("/srv/x/m2.ini", ("/srv/x/m2.ini", "/srv/*/m2.ini")),
        ("/elsewhere", ("/elsewhere", "")),
    ],
)
def test_names(path, expected):
    assert named(path, ["/etc/v", "/srv/*/m2.ini"]) == expected
