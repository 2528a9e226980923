"""Pid files: when they are written, what is in them, when they go."""

from __future__ import annotations

import os

import pytest
from boards import NOW, Maker

from m2serve.errors import ConfigError
from m2serve.master import pidfile
from m2serve.master.pidfile import PidFiles


@pytest.fixture
def board():
    return Maker().board


@pytest.fixture
def files(tmp_path, board):
    return PidFiles(str(tmp_path / "first"), str(tmp_path / "safe"), board)


def test_the_first_is_written_at_once_and_the_safe_one_when_all_is_well(tmp_path, board, files):
    files.write_first()
    assert (tmp_path / "first").read_bytes() == b"%d\n" % os.getpid()
    assert not files.turn(NOW)
    files.write_again()
    assert not (tmp_path / "safe").exists()
    board.served = True
    files.turn(NOW)
    assert pidfile.read(str(tmp_path / "safe")) == os.getpid()
    (tmp_path / "safe").unlink()
    files.turn(NOW)
    assert not (tmp_path / "safe").exists(), "once is enough"
    files.write_again()
    assert (tmp_path / "safe").exists()


def test_they_go_at_exit_unless_another_server_has_taken_them(tmp_path, board, files, monkeypatch):
    files.write_first()
    board.served = True
    files.turn(NOW)
    (tmp_path / "safe").write_text("1\n")
    monkeypatch.chdir("/")
    files.remove()
    assert [path.name for path in tmp_path.iterdir()] == ["safe"]


def test_what_is_there_is_overwritten_whole(tmp_path, files):
    (tmp_path / "first").write_text("999999999 and more\n")
    files.write_first()
    assert pidfile.read(str(tmp_path / "first")) == os.getpid()


def test_one_that_cannot_be_written(tmp_path, board, caplog):
    files = PidFiles(str(tmp_path / "no" / "first"), str(tmp_path / "no" / "safe"), board)
    with pytest.raises(ConfigError, match=r"pidfile '.*/no/first' cannot be written: No such file"):
        files.write_first()
    board.served = True
    files.turn(NOW)
    assert "cannot be written: No such file" in caplog.text
    files.remove()


def test_one_for_root_and_one_for_the_user(tmp_path, board):
    given = []
    files = PidFiles(str(tmp_path / "first"), None, board, str(tmp_path / "second"), given.append)
    files.write_first()
    assert [path.name for path in tmp_path.iterdir()] == ["first"]
    assert given == [str(tmp_path / "first")], "so that the user can empty it"
    files.write_second()
    assert pidfile.read(str(tmp_path / "second")) == os.getpid()
    files.remove()
    assert list(tmp_path.iterdir()) == []


def test_one_that_cannot_be_removed_is_emptied(tmp_path, files, monkeypatch):
    files.write_first()

    def refuse(path):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "unlink", refuse)
    files.remove()
    assert (tmp_path / "first").read_bytes() == b""


@pytest.mark.parametrize("text", ["", "x", "-1", "0", "1234567890", "12 13"])
def test_garbage_is_no_pid(tmp_path, text):
    (tmp_path / "pid").write_text(text)
    with pytest.raises(ValueError, match="is no pid"):
        pidfile.read(str(tmp_path / "pid"))
