"""The master's FIFO: letters, slots, writers that come and go."""

from __future__ import annotations

import os
import select
import stat

import pytest
from boards import NOW, Commands

from m2serve.errors import ConfigError
from m2serve.master.commands import Command
from m2serve.master.fifo import ABSENT, LETTERS, Fifo


@pytest.fixture
def fifo(tmp_path):
    made = Fifo([str(tmp_path / "zero"), str(tmp_path / "one")], Commands())
    made.open()
    yield made
    made.close()


def readable(fifo):
    poller = select.poll()
    for fd, wanted in fifo.polled().items():
        poller.register(fd, wanted)
    return bool(poller.poll(0))


def say(fifo, text):
    (fd,) = fifo.polled()
    writer = os.open(f"/proc/self/fd/{fd}", os.O_WRONLY | os.O_NONBLOCK)
    os.write(writer, text)
    os.close(writer)
    assert readable(fifo)
    fifo.ready(fd, NOW)


def test_it_is_ours_alone_and_survives_its_writers(fifo, tmp_path):
    there = os.stat(tmp_path / "zero")
    assert stat.S_ISFIFO(there.st_mode)
    assert stat.S_IMODE(there.st_mode) == 0o600
    for _ in range(3):
        say(fifo, b"r")
        assert not readable(fifo), "no end of file"
    assert fifo.commands.obeyed == [(Command.RELOAD, "fifo r")] * 3
    fifo.ready(*fifo.polled(), NOW)


def test_several_letters_in_one_write(fifo):
    say(fifo, b"c\nP q\n")
    assert [command for command, _ in fifo.commands.obeyed] == [Command.CHAIN_RELOAD, Command.PIDFILES, Command.STOP]


def test_every_letter_of_uwsgi_is_known():
    assert set(LETTERS) | set(ABSENT) == set("rRwWqQcpCs+-lLPfSBE")
    assert not set(LETTERS) & set(ABSENT)


def test_letters_without_meaning_here_and_garbage_are_answered_in_the_log(fifo, caplog):
    say(fifo, b"S\xffx\0")
    assert "fifo S changes nothing: there are no subscriptions" in caplog.text
    assert "fifo: 3 bytes are no commands: '\xffx\\x00'" in caplog.text
    assert fifo.commands.obeyed == []


def test_a_digit_changes_to_another_slot(fifo, tmp_path, caplog):
    say(fifo, b"1")
    assert not (tmp_path / "zero").exists()
    say(fifo, b"r")
    assert (tmp_path / "one").exists()
    say(fifo, b"7")
    assert "fifo 7 changes nothing: there are 2 slots" in caplog.text
    (tmp_path / "zero").write_text("something else")
    say(fifo, b"0")
    assert "fifo 0 changes nothing: master-fifo" in caplog.text
    say(fifo, b"r")
    assert len(fifo.commands.obeyed) == 2


def test_a_left_over_one_is_replaced_and_nothing_else(tmp_path):
    path = tmp_path / "fifo"
    os.mkfifo(path)
    fifo = Fifo([str(path)], Commands())
    fifo.open()
    fifo.close()
    assert not path.exists()
    path.write_text("precious")
    with pytest.raises(ConfigError, match="something lies there that is no FIFO"):
        fifo.open()
    assert path.read_text() == "precious"


def test_the_one_of_another_server_stays(fifo, tmp_path):
    (tmp_path / "zero").unlink()
    os.mkfifo(tmp_path / "zero")
    fifo.close()
    assert (tmp_path / "zero").exists()
    assert fifo.polled() == {}


def test_without_paths_there_is_none():
    fifo = Fifo([], Commands())
    fifo.open()
    assert fifo.polled() == {}
