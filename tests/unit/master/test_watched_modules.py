"""Watched modules: what changes is a reload, one for all that changed."""

from __future__ import annotations

import pytest
from boards import NOW, Commands, Maker

from m2serve.ids import Seconds
from m2serve.master.autoreload import Autoreload
from m2serve.master.commands import Command


class Disk(dict):
    """Paths and identities; a path that is not there has none."""

    def look(self, path):
        return self.get(path)


@pytest.fixture
def disk():
    return Disk({"/a.py": (1, 1, 1), "/b.py": (1, 2, 1)})


@pytest.fixture
def watch(disk):
    board = Maker().board
    board.sources |= disk.keys()
    watching = Autoreload(Seconds(1.0), board, Commands(), disk.look)
    assert not watching.turn(NOW)
    return watching


def at(seconds):
    return Seconds(NOW + seconds)


def test_nothing_changes(watch):
    assert not watch.turn(at(5))
    assert watch.commands.obeyed == []


def test_one_reload_for_all_that_changed(watch, disk):
    disk["/a.py"] = (1, 1, 2)
    disk["/b.py"] = (1, 3, 1)
    assert not watch.turn(at(0.5)), "not before its time"
    assert watch.turn(at(1))
    [(command, source)] = watch.commands.obeyed
    assert command is Command.RELOAD
    assert source.startswith("py-autoreload, ")
    assert source.endswith("a.py has changed and 1 more") or source.endswith("b.py has changed and 1 more")
    assert not watch.turn(at(2)), "once"


def test_an_editor_takes_the_file_away_for_a_moment(watch, disk):
    before = disk.pop("/a.py")
    assert not watch.turn(at(1))
    disk["/a.py"] = before
    assert not watch.turn(at(2)), "it is what it was"
    del disk["/a.py"]
    assert not watch.turn(at(3))
    disk["/a.py"] = (1, 9, 3)
    assert watch.turn(at(4))


def test_a_file_counts_from_when_it_is_named(watch, disk):
    disk["/c.py"] = (1, 4, 1)
    watch.board.sources.add("/c.py")
    assert not watch.turn(at(0.1))
    disk["/c.py"] = (1, 4, 2)
    assert watch.turn(at(1))


def test_it_sleeps_as_long_as_nothing_is_named(watch):
    assert watch.due(at(0)) == at(1)
    assert Autoreload(Seconds(1.0), Maker().board, Commands()).due(at(0)) is None
