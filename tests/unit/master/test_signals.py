"""What each signal means."""

from __future__ import annotations

import signal

import pytest

from m2serve.master.signals import HANDLED, Caught, Event, describe


@pytest.mark.parametrize(
    ("number", "caught"),
    [
        (signal.SIGTERM, Caught(Event.TERM, "SIGTERM")),
        (signal.SIGHUP, Caught(Event.HUP, "SIGHUP")),
        (signal.SIGCHLD, Caught(Event.CHLD, "SIGCHLD")),
        (signal.SIGUSR2, Caught(Event.USR2, "SIGUSR2")),
        (signal.SIGRTMIN + 3, Caught(Event.OTHER, f"signal {signal.SIGRTMIN + 3}")),
    ],
)
def test_names_and_meanings(number, caught):
    assert describe(number) == caught


def test_only_faults_and_the_uncatchable_are_left_alone():
    assert {signal.SIGUSR2, signal.SIGALRM, signal.SIGTSTP, signal.SIGIO, signal.SIGRTMAX} <= HANDLED
    assert not {signal.SIGKILL, signal.SIGSTOP, signal.SIGSEGV} & HANDLED
