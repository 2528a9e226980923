"""How a process was started."""

from __future__ import annotations

import os
import sys

import pytest

from m2serve.system.start import Start


@pytest.fixture
def started(monkeypatch, tmp_path):
    def start(original, arguments):
        monkeypatch.setattr(sys, "orig_argv", original)
        monkeypatch.setattr(sys, "argv", arguments)
        return Start.of_this_process()

    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("PWD", raising=False)
    return start


@pytest.mark.parametrize("program", [["-m", "m2serve"], ["-X", "dev", "-m", "m2serve"], ["/usr/bin/m2serve"]])
def test_the_program_and_its_arguments(started, tmp_path, program):
    start = started(["python", *program, "app.ini", "-p", "2"], [program[-1], "app.ini", "-p", "2"])
    assert start is not None
    # Whatever name it was called by: the search for it might find another one by now.
    assert start.program == (sys.executable, *program)
    assert start.arguments == ("app.ini", "-p", "2")
    assert start.environment == dict(os.environ)
    assert start.directory == str(tmp_path)


def test_the_name_by_which_the_directory_was_reached(started, tmp_path, monkeypatch):
    release = tmp_path / "release-1"
    release.mkdir()
    (tmp_path / "current").symlink_to("release-1")
    monkeypatch.chdir(tmp_path / "current")
    for name, expected in [("current", "current"), ("release-1", "release-1"), ("", "release-1")]:
        monkeypatch.setenv("PWD", str(tmp_path / name))
        assert started(["python", "-m", "m2serve"], ["m2serve"]).directory == str(tmp_path / expected)
    monkeypatch.setenv("PWD", "current")
    assert started(["python", "-m", "m2serve"], ["m2serve"]).directory == str(release)


def test_it_cannot_be_told(started, monkeypatch, tmp_path):
    assert started(["python", "-c", "…"], ["-c", "something else"]) is None
    assert started(["python"], [""]) is None
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    assert started(["python", "-m", "m2serve"], ["m2serve"]) is None


def test_the_same_again_with_another_level(started, monkeypatch):
    executed = []
    monkeypatch.setattr(os, "execve", lambda *command: executed.append(command))
    start = started(["python", "-X", "dev", "-m", "m2serve", "app.ini"], ["m2serve", "app.ini"])
    start.again(2)
    command = (sys.executable, "-OO", "-X", "dev", "-m", "m2serve", "app.ini")
    assert executed == [(sys.executable, command, dict(os.environ))]
