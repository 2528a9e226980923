"""An upgrade, step by step, with nothing executed."""

from __future__ import annotations

import os
import signal
from types import SimpleNamespace

import pytest
from boards import NOW, Maker

from m2serve.errors import ExitCode
from m2serve.ids import Seconds
from m2serve.master import upgrade as upgrades
from m2serve.master.actions import Kill
from m2serve.master.board import StopOrder
from m2serve.master.child import Child, ChildKind, ChildState
from m2serve.master.upgrade import QUIET_SECONDS, TRIAL_SECONDS, Upgrade
from m2serve.system.start import Start

START = Start(("/usr/bin/python3", "-m", "m2serve"), ("app.ini", "-p", "2"), {"PATH": "/bin"}, "/")


class Actor:
    """Starts nothing; ``output`` is the other end of what the trial prints."""

    def __init__(self):
        self.started = []
        self.done = []
        self.error = None

    def try_program(self, argv, environment, directory, state, now):
        if self.error is not None:
            raise self.error
        os.fstat(state)
        assert environment.pop(upgrades.heritage.VARIABLE) == str(state)
        self.started.append((argv, environment, directory))
        reader, self.output = os.pipe()
        os.set_blocking(reader, False)
        return Child(ChildKind.TRIAL, 1, "trial", state=ChildState.STARTING), reader

    def perform(self, action, now):
        self.done.append(action)
        action.child.state = ChildState.KILLED


class House:
    def __init__(self, monkeypatch):
        self.board = Maker().board
        self.board.served = True
        self.actor = Actor()
        self.left = SimpleNamespace(fds=lambda: iter(()))
        self.estate = SimpleNamespace(
            board=self.board, actor=self.actor, settled=True, write=lambda master: self.left, node=None
        )
        self.signals = SimpleNamespace(pending=False)
        self.said = []
        service = SimpleNamespace(last_words=lambda: self.said.append("alive"))
        self.upgrade = Upgrade(self.estate, self.signals, service, START)
        self.executed = []
        monkeypatch.setattr(upgrades.heritage, "store", lambda left: os.memfd_create("test"))
        monkeypatch.setattr(os, "execve", self.execve)

    def execve(self, path, argv, environment):
        blocked = signal.pthread_sigmask(signal.SIG_BLOCK, ())
        assert {signal.SIGHUP, signal.SIGTERM, signal.SIGCHLD, signal.SIGUSR2} <= blocked
        (state,) = [int(value) for name, value in environment.items() if name == upgrades.heritage.VARIABLE]
        assert os.get_inheritable(state)
        self.executed.append((path, argv, environment, os.getcwd()))
        raise OSError(2, "No such file or directory")

    def turn(self, now=NOW):
        return self.upgrade.turn(now)

    def end_trial(self, code, said=b""):
        os.write(self.actor.output, said)
        os.close(self.actor.output)
        trial = self.upgrade._trial
        trial.state, trial.code, trial.ended = ChildState.DEAD, code, f"exit code {code}"

    def begin(self):
        self.board.upgrade_wanted = True
        self.turn()


@pytest.fixture
def house(monkeypatch):
    house = House(monkeypatch)
    yield house
    house.upgrade.close()


def test_nothing_happens_unasked(house):
    assert not house.turn()
    assert house.upgrade.due(NOW) is None
    assert house.actor.started == []


def test_the_trial_is_the_same_command_with_a_question(house):
    house.begin()
    command = ("/usr/bin/python3", "-m", "m2serve", "--check", "app.ini", "-p", "2")
    assert house.actor.started == [(command, {"PATH": "/bin"}, "/")]
    assert house.upgrade.due(NOW) == NOW + TRIAL_SECONDS
    assert not house.turn()
    house.end_trial(ExitCode.CONFIG)


def test_an_execution_that_fails_changes_nothing(house, caplog):
    here, blocked = os.getcwd(), signal.pthread_sigmask(signal.SIG_BLOCK, ())
    house.begin()
    house.end_trial(ExitCode.TAKES_OVER, b"m2serve 2.0 can go on\n")
    assert house.turn()
    before = len(os.listdir("/proc/self/fd"))
    assert house.turn()
    ((path, argv, environment, directory),) = house.executed
    assert (path, argv[1:], directory) == ("/usr/bin/python3", ("-m", "m2serve", "app.ini", "-p", "2"), "/")
    assert environment["PATH"] == "/bin"
    assert house.said == ["alive"]
    assert "upgrade given up: it cannot be executed: [Errno 2]" in caplog.text
    assert not house.board.upgrade_wanted
    assert house.board.last_reload.startswith("upgrade given up")
    assert os.getcwd() == here
    assert signal.pthread_sigmask(signal.SIG_BLOCK, ()) == blocked
    assert len(os.listdir("/proc/self/fd")) == before
    house.begin()
    assert len(house.actor.started) == 2, "it may be tried again"
    house.end_trial(ExitCode.CONFIG)


@pytest.mark.parametrize(
    ("code", "said", "reason"),
    [
        (
            ExitCode.CONFIG,
            b"noise\nm2serve: app.ini:3: processes: expected 1 or more\nm2serve: more\n",
            "app.ini:3: proc",
        ),
        (ExitCode.CONFIG, b"", "its trial ended: exit code 1"),
        (ExitCode.OK, b"all is well\n", "the new program knows no upgrade"),
        (127, b"", "its trial ended: exit code 127"),
    ],
)
def test_a_trial_that_fails_ends_it(house, caplog, code, said, reason):
    house.begin()
    house.end_trial(code, said)
    assert house.turn()
    assert f"upgrade given up: {reason}" in caplog.text
    for line in said.decode().splitlines():
        assert f"upgrade: {line}" in caplog.text
    assert house.executed == []
    assert not house.board.upgrade_wanted


def test_a_trial_that_says_nothing_is_killed(house, caplog):
    house.begin()
    late = Seconds(NOW + TRIAL_SECONDS)
    assert not house.turn(late)
    assert not house.turn(late)
    assert house.actor.done == [Kill(house.upgrade._trial, "no word within 60 s")]
    house.end_trial(-9)
    assert house.turn(late)
    assert "upgrade given up: its trial ended: exit code -9" in caplog.text


def test_a_program_that_cannot_be_started(house, caplog):
    house.actor.error = OSError(11, "no process to be had")
    house.begin()
    assert "it cannot be started: [Errno 11] no process to be had" in caplog.text
    assert not house.board.upgrade_wanted


def test_nobody_knows_how_it_was_started(house, caplog):
    house.upgrade.start = None
    house.begin()
    assert "upgrade given up: it is not known how this server was started" in caplog.text


def test_not_before_the_server_has_started(house, caplog):
    """Who started it may still wait to be told how that went."""
    house.board.served = False
    house.begin()
    assert "upgrade given up: the server has not started yet" in caplog.text
    assert house.actor.started == []


def test_a_stop_goes_before(house, caplog):
    house.begin()
    house.board.stop = StopOrder("SIGTERM", NOW)
    house.turn()
    assert house.actor.done == [Kill(house.upgrade._trial, "SIGTERM")]
    house.end_trial(ExitCode.TAKES_OVER)
    house.turn()
    house.turn()
    assert "upgrade given up: the server stops" in caplog.text
    assert house.executed == []


def test_what_is_half_said_is_waited_for(house, caplog):
    house.estate.settled = False
    house.begin()
    house.end_trial(ExitCode.TAKES_OVER)
    house.turn()
    assert not house.turn()
    assert NOW < house.upgrade.due(NOW) < NOW + 1
    assert house.executed == []
    house.turn(Seconds(NOW + QUIET_SECONDS))
    assert "upgrade given up: somebody does not read what the master says" in caplog.text


def test_signals_that_came_before_are_treated_before(house):
    house.begin()
    house.end_trial(ExitCode.TAKES_OVER)
    house.turn()
    house.signals.pending = True
    assert house.turn()
    assert house.executed == []
    house.signals.pending = False
    house.turn()
    assert len(house.executed) == 1
