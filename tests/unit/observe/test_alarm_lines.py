"""Which lines raise an alarm."""

from __future__ import annotations

import os
import socket

from m2serve.config.log_values import LogTarget
from m2serve.config.settings import Settings, load
from m2serve.observe.alarms import AlarmLines, Sender
from m2serve.observe.encoders import Said
from m2serve.observe.lines import Lines, Outlet
from m2serve.observe.sinks import StandardError, alarm_address


def settings(*options: str) -> Settings:
    return load(["--zeromq", "tcp://127.0.0.1:1,tcp://127.0.0.1:2", "--module", "app", *options], {})


ALARMS = ("--alarm", "a cmd:x", "--alarm", "b cmd:y")


def raised(made: Settings, *lines: str, logger: str = "worker") -> list[tuple[str, bytes]]:
    got: list[tuple[str, bytes]] = []
    looks = AlarmLines(made, lambda name, text: got.append((name, text)))
    for line in lines:
        looks.look(Said.plain(line.encode() + b"\n", logger, 1), line)
    return got


def test_lines_that_match() -> None:
    made = settings(*ALARMS, "--alarm-log", "a,b burns", "--alarm-not-log", "b toast", "--alarm-log", "a ^it")
    assert raised(made, "it burns", "toast burns", "all is well") == [
        ("a", b"it burns"),
        ("b", b"it burns"),
        ("a", b"toast burns"),
    ]


def test_what_the_server_says_itself() -> None:
    made = settings(*ALARMS, "--alarm-segfault", "a", "--alarm-backlog", "b")
    died = "ERROR master: worker 1 (pid: 7) died: killed by signal 11, SIGSEGV; respawn in 0.0 s"
    full = "WARNING dispatcher: request answered 503 reason=1000 requests wait already (queue-limit)"
    assert [name for name, _ in raised(made, died, full)] == ["a", "b"]


def test_an_alarm_does_not_raise_itself() -> None:
    made = settings(*ALARMS, "--alarm-log", "a .")
    assert raised(made, "alarm a (pid: 7) started", logger="alarm a") == []


def test_nobody_wants_to_be_told() -> None:
    assert AlarmLines.of(settings()) is None
    assert AlarmLines.of(settings(*ALARMS)) is None
    looks = AlarmLines.of(settings(*ALARMS, "--alarm-segfault", "a"))
    assert looks is not None
    assert isinstance(looks.send, Sender)
    looks.send.close()


def test_lines_that_are_not_logged_raise_too() -> None:
    made = settings(*ALARMS, "--alarm-log", "a burns", "--log-drain", "burns")
    got: list[str] = []
    looks = AlarmLines(made, lambda name, text: got.append(name))
    lines = Lines([Outlet(LogTarget("x", "", "", "unused"), StandardError(), ())], drop=made.log_drain, alarms=looks)
    lines.write(b"it burns\n")
    assert got == ["a"]


def test_the_master_is_told() -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as master:
        master.bind(alarm_address(os.getpid()))
        master.settimeout(10)
        send = Sender(os.getpid())
        send("a", b"it burns")
        assert master.recv(1000) == b"a\0it burns"
    send("a", b"nobody hears this")
    send.close()
