"""What an emperor decides, with a clock of our own."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from m2serve.emperor.policy import Deed, Rules, census, decide, died, next_look
from m2serve.emperor.scan import scan
from m2serve.emperor.vassal import Identity, State, Vassal
from m2serve.ids import Seconds

if TYPE_CHECKING:
    from pathlib import Path

RULES = Rules(Seconds(1.0), Seconds(10.0), Seconds(65.0))
ONE, OTHER = Identity(1, 1, 1), Identity(1, 1, 2)


class Court:
    """Vassals, and who carries out what is decided: starting and stopping succeed at once."""

    def __init__(self) -> None:
        self.vassals: dict[str, Vassal] = {}
        self.now = Seconds(100.0)
        self.deeds: list[tuple[str, str]] = []

    def look(self, **found: Identity) -> list[tuple[str, str]]:
        return self._do(list(census(self.vassals, found, self.now)))

    def turn(self, *, leaving: bool = False) -> list[tuple[str, str]]:
        return self._do(list(decide(self.vassals.values(), self.now, leaving=leaving)))

    def _do(self, actions) -> list[tuple[str, str]]:
        for deed, vassal in actions:
            if deed is Deed.START:
                vassal.state, vassal.pid = State.RUNNING, 7
                vassal.starts += 1
            elif deed is Deed.STOP:
                vassal.state, vassal.due = State.STOPPING, Seconds(self.now + RULES.mercy)
            elif deed is Deed.KILL:
                vassal.killed = True
        return [(deed.value, vassal.path) for deed, vassal in actions]

    def dies(self, path: str) -> None:
        died(self.vassals, self.vassals[path], RULES, self.now)

    def later(self, seconds: float) -> None:
        self.now = Seconds(self.now + seconds)


@pytest.fixture
def court() -> Court:
    return Court()


def test_files_that_come_are_started_and_those_that_go_are_stopped(court: Court) -> None:
    assert court.look(a=ONE, b=ONE) == []
    assert court.turn() == [("start", "a"), ("start", "b")]
    assert court.look(a=ONE, b=ONE) == court.turn() == []
    assert court.look(b=ONE) == [("stop", "a")]
    assert court.look(b=ONE) == court.turn() == []
    court.dies("a")
    assert list(court.vassals) == ["b"]


def test_one_that_comes_back_while_it_leaves_waits_for_its_end(court: Court) -> None:
    court.look(a=ONE)
    court.turn()
    court.look()
    assert court.look(a=ONE) == court.turn() == []
    court.dies("a")
    court.look(a=ONE)
    assert court.turn() == [("start", "a")]


def test_a_touched_one_is_reloaded_once(court: Court) -> None:
    court.look(a=ONE)
    court.turn()
    assert court.look(a=OTHER) == [("reload", "a")]
    assert court.look(a=OTHER) == []


def test_a_loyal_one_that_dies_is_started_at_once_a_failing_one_ever_later(court: Court) -> None:
    court.look(a=ONE)
    court.turn()
    court.vassals["a"].loyal = True
    court.dies("a")
    assert court.turn() == [("start", "a")]
    pauses = []
    for _ in range(6):
        court.dies("a")
        pauses.append(court.vassals["a"].due - court.now)
        assert court.turn() == []
        assert next_look(court.vassals.values()) == court.vassals["a"].due
        court.later(pauses[-1])
        assert court.turn() == [("start", "a")]
    assert pauses == [1.0, 2.0, 4.0, 8.0, 10.0, 10.0]


def test_a_mended_file_need_not_wait(court: Court) -> None:
    court.look(a=ONE)
    for _ in range(5):
        court.later(20)
        court.turn()
        court.dies("a")
    assert court.turn() == []
    court.look(a=OTHER)
    assert court.turn() == [("start", "a")]
    assert court.vassals["a"].failures == 0


def test_leaving_stops_all_and_kills_who_stays_too_long(court: Court) -> None:
    court.look(a=ONE, b=ONE)
    court.turn()
    assert court.turn(leaving=True) == [("stop", "a"), ("stop", "b")]
    court.dies("a")
    assert court.turn(leaving=True) == [], "it is not started again"
    court.later(65)
    assert court.turn(leaving=True) == [("kill", "b")]
    assert court.turn(leaving=True) == []


def test_what_is_a_configuration_file(tmp_path: Path) -> None:
    for name in ("a.ini", "b.yaml", "c.json", "d.toml", "e.conf", ".hidden.ini", "f.txt", "g.ini~"):
        (tmp_path / name).write_text("")
    (tmp_path / "sub.ini").mkdir()
    (tmp_path / "dead.ini").symlink_to(tmp_path / "nowhere")
    (tmp_path / "link.ini").symlink_to(tmp_path / "f.txt")

    def names(*places: str, **options: object) -> list[str]:
        return sorted(path.rpartition("/")[2] for path in scan(places, **options))  # type: ignore[arg-type]

    here = str(tmp_path)
    assert names(here) == ["a.ini", "b.yaml", "c.json", "d.toml", "link.ini"]
    assert names(here, further=["conf"]) == ["a.ini", "b.yaml", "c.json", "d.toml", "e.conf", "link.ini"]
    assert names(f"{here}/*.ini") == ["a.ini", "link.ini"]
    assert names(f"{here}/nowhere") == []
    before, link = scan([here]), scan([here], follow=False)
    (tmp_path / "f.txt").write_text("changed")
    (tmp_path / "f.txt").touch()
    after = scan([here])
    path = f"{here}/link.ini"
    assert before[path] != after[path]
    assert link[path] == scan([here], follow=False)[path]
