"""Watched files, with a clock and a file system of the test's."""

from __future__ import annotations

import os

import pytest
from boards import NOW, Commands

from m2serve.config.deeds import Deed, TouchedCommand, TouchedDeed
from m2serve.config.settings import Settings
from m2serve.errors import ConfigError
from m2serve.ids import Seconds
from m2serve.master.commands import Command
from m2serve.master.touch import PERIOD, Touch, Watched, identity, latest_inside, watched


@pytest.fixture
def commands():
    return Commands()


@pytest.fixture
def files():
    return {"/here": (1, 1, 1)}


@pytest.fixture
def touch(commands, files):
    watch = [Watched("/here", Command.RELOAD, "touch-reload"), Watched("/later", Command.CHAIN_RELOAD, "touch-chain")]
    made = Touch(watch, commands, files.get)
    made.begin(NOW)
    return made


def after(periods):
    return Seconds(NOW + periods * PERIOD)


def test_what_lies_in_a_directory_counts_too(tmp_path, commands):
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "a.py").write_text("1")
    touch = Touch([Watched(str(tmp_path / "code"), Command.RELOAD, "fs-reload", inside=True)], commands)
    touch.begin(NOW)
    assert not touch.turn(after(1))
    os.utime(tmp_path / "code" / "a.py", ns=(1, 2**62))
    assert touch.turn(after(2))
    (tmp_path / "code" / "b.py").write_text("2")
    assert touch.turn(after(3))
    (tmp_path / "code" / "b.py").unlink()
    assert touch.turn(after(4))
    assert not touch.turn(after(5))
    assert latest_inside(str(tmp_path / "nowhere")) is None
    assert latest_inside(str(tmp_path / "code" / "a.py")) == identity(str(tmp_path / "code" / "a.py"))


def test_what_is_no_command_to_the_master(commands, files):
    done = []
    deed = Deed.parse("exec:make")
    watch = [Watched("/here", deed, "hook-touch"), Watched("/here", Command.RELOAD, "touch-reload")]
    touch = Touch(watch, commands, files.get, lambda *what: done.append(what))
    touch.begin(NOW)
    files["/here"] = (1, 1, 2)
    assert touch.turn(after(1))
    assert done == [(deed, "hook-touch /here", after(1))]
    assert commands.obeyed == [(Command.RELOAD, "touch-reload /here")]


def test_nothing_changes_nothing(touch, commands):
    assert touch.due(NOW) == after(1)
    assert not touch.turn(after(1))
    assert commands.obeyed == []
    assert touch.due(after(1)) == after(2)


@pytest.mark.parametrize("new", [(1, 1, 2), (1, 2, 1), (2, 1, 1), (1, 1, 0)])
def test_a_change_is_a_command_once(touch, commands, files, new):
    files["/here"] = new
    assert not touch.turn(after(0.5)), "too early to look"
    assert touch.turn(after(1))
    assert commands.obeyed == [(Command.RELOAD, "touch-reload /here")]
    assert not touch.turn(after(2))


def test_a_birth_counts_a_death_does_not(touch, commands, files, caplog):
    files["/later"] = (1, 7, 7)
    assert touch.turn(after(1))
    assert commands.obeyed == [(Command.CHAIN_RELOAD, "touch-chain /later")]
    del files["/later"]
    assert not touch.turn(after(2))
    files["/later"] = (1, 7, 7)
    assert touch.turn(after(3))


def test_one_warning_for_a_file_that_is_not_there(touch, caplog):
    touch.begin(NOW)
    assert caplog.text.count("/later does not exist yet; its birth will count") == 1
    touch.turn(after(1))
    assert caplog.text.count("/later") == 1


def test_two_files_of_one_command_are_one_command(commands, files):
    touch = Touch([Watched("/a", Command.RELOAD, "a"), Watched("/b", Command.RELOAD, "b")], commands, files.get)
    touch.begin(NOW)
    files.update({"/a": (1, 1, 1), "/b": (1, 1, 2)})
    touch.turn(after(1))
    assert commands.obeyed == [(Command.RELOAD, "a /a")]


def test_without_files_nobody_wakes(commands):
    assert Touch([], commands).due(NOW) is None


def test_what_the_options_mean():
    settings = Settings(touch_reload=("/a",), touch_chain_reload=("/b", "c"), touch_logreopen=("/d",))
    assert [(one.path, one.command) for one in watched(settings)] == [
        ("/a", Command.RELOAD),
        ("/b", Command.CHAIN_RELOAD),
        (os.path.abspath("c"), Command.CHAIN_RELOAD),
        ("/d", Command.REOPEN_LOG),
    ]


def test_files_with_something_to_do():
    settings = Settings(
        fs_reload=("/a",),
        fs_brutal_reload=("/b",),
        touch_exec=(TouchedCommand.parse("/c make all"),),
        hook_touch=(TouchedDeed.parse("/d unlink:/x"),),
    )
    assert [(one.path, one.command, one.inside) for one in watched(settings)] == [
        ("/a", Command.RELOAD, True),
        ("/b", Command.BRUTAL_RELOAD, True),
        ("/c", Deed("exec", ("make all",)), False),
        ("/d", Deed("unlink", ("/x",)), False),
    ]
    assert settings.hook_touch[0].done_here
    assert not TouchedDeed.parse("/d rpc:x").done_here
    assert (str(settings.touch_exec[0]), str(settings.hook_touch[0])) == ("/c make all", "/d unlink:/x")
    for parse, text in ((TouchedCommand.parse, "/c"), (TouchedDeed.parse, "/d"), (TouchedDeed.parse, "/d what:x")):
        with pytest.raises(ConfigError, match="expected"):
            parse(text)


def test_the_real_file_system(tmp_path):
    path = tmp_path / "file"
    assert identity(str(path)) is None
    path.touch()
    first = identity(str(path))
    other = tmp_path / "other"
    other.touch()
    os.utime(other, ns=(first[2], first[2]))
    other.rename(path)
    assert identity(str(path)) != first, "another file of the same age"
    os.utime(path, ns=(1, 1))
    assert identity(str(path))[2] == 1
