"""Whom the master tells, and how often."""

from __future__ import annotations

import os
import select
import socket
from typing import TYPE_CHECKING

import pytest

from m2serve.config.settings import load
from m2serve.ids import Seconds
from m2serve.master import alarms as module
from m2serve.master.alarms import Alarms

if TYPE_CHECKING:
    from collections.abc import Iterator

    from m2serve.master.programs import Program

OPTIONS = ("--zeromq", "tcp://127.0.0.1:1,tcp://127.0.0.1:2", "--module", "app", "--alarm-freq", "5")
ALARMS = ("--alarm", "a cmd:mail boss", "--alarm", "b log:look here", "--alarm", "c curl:http://x")


class Told:
    def __init__(self, *users: int, options: tuple[str, ...] = ALARMS) -> None:
        self.programs: list[Program] = []
        self.alarms = Alarms(load([*OPTIONS, *options], {}), self._told, users)

    def _told(self, program: Program, now: Seconds) -> None:
        self.programs.append(program)

    @property
    def texts(self) -> list[bytes]:
        return [one.stdin for one in self.programs]


def at(number: float) -> Seconds:
    return Seconds(number)


def test_a_command_gets_the_text() -> None:
    told = Told()
    told.alarms.heard("a", b"it burns\n")
    assert told.alarms.due(at(100)) == 0
    told.alarms.turn(at(100))
    assert told.texts == [b"it burns\n"]
    assert (told.programs[0].name, told.programs[0].argv[-1]) == ("alarm a", "mail boss")
    assert told.alarms.due(at(100)) is None


def test_not_more_often_than_is_wanted() -> None:
    told = Told()
    for now, text in ((100.0, b"one"), (101.0, b"two"), (102.0, b"three"), (103.0, b"four")):
        told.alarms.heard("a", text)
        told.alarms.turn(at(now))
    assert told.texts == [b"one\n"]
    assert told.alarms.due(at(103)) == 105
    told.alarms.turn(at(105))
    assert told.texts == [b"one\n", b"four\nand 2 before it\n"]
    told.alarms.turn(at(120))
    assert len(told.texts) == 2


def test_the_log_is_told(caplog: pytest.LogCaptureFixture) -> None:
    told = Told()
    told.alarms.heard("b", b"it burns\n")
    told.alarms.turn(at(100))
    assert caplog.messages == ["b: look here it burns"]
    assert told.programs == []


def test_names_that_nobody_knows() -> None:
    told = Told()
    for name in ("other", "c", ""):
        told.alarms.heard(name, b"x")
    told.alarms.turn(at(100))
    assert told.programs == []


@pytest.fixture
def own_address(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    address = f"\0{tmp_path_factory.mktemp('alarms')}"
    monkeypatch.setattr(module, "alarm_address", lambda pid: address)
    yield address


def deliver(told: Told, address: str) -> None:
    (fd, events), *_ = told.alarms.polled().items()
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.sendto(b"a\0it burns", address)
    poller = select.poll()
    poller.register(fd, events)
    assert poller.poll(10_000)
    told.alarms.ready(fd, at(100))
    told.alarms.turn(at(100))


def test_processes_of_ours_are_believed(own_address: str) -> None:

    told = Told(os.getuid())
    told.alarms.open()
    deliver(told, own_address)
    assert told.texts == [b"it burns\n"]
    told.alarms.close()
    assert told.alarms.polled() == {}


def test_those_of_others_are_not(own_address: str) -> None:
    told = Told(987654321)
    told.alarms.open()
    deliver(told, own_address)
    assert told.texts == []
    told.alarms.close()


def test_an_address_that_is_taken(own_address: str, caplog: pytest.LogCaptureFixture) -> None:
    first, second = Told(), Told()
    first.alarms.open()
    second.alarms.open()
    assert second.alarms.polled() == {}
    assert "no alarm will be raised" in caplog.text
    first.alarms.abandon()
    assert first.alarms.polled() == {}


def test_without_alarms_nothing_is_open(own_address: str) -> None:
    told = Told(options=())
    told.alarms.open()
    assert told.alarms.polled() == {}
