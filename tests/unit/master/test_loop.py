"""The master's loop, with everything around it told by the test."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from m2serve.master import loop
from m2serve.master.signals import Caught, Event


class Signals:
    pending = False

    def __init__(self, *caught):
        self.caught = list(caught)

    def take(self):
        return self.caught.pop(0) if self.caught else None

    def fileno(self):
        return -1


@pytest.mark.parametrize("event", [Event.CHLD, Event.USR1])
def test_nobody_sleeps_over_a_death_behind_the_reaping(monkeypatch, event):
    """The CHLD of who dies between reaping and taking a signal is taken in the same turn: it must not be the end."""
    turns = []

    def wait(wakeup, children, attachments, due, now):
        turns.append(due)
        actor.finished = 0 if due is None else None
        return [], []

    monkeypatch.setattr(loop, "wait", wait)
    monkeypatch.setattr(loop, "reap", lambda: turns.append("reap") or [])
    monkeypatch.setattr(loop, "clock", lambda: 5.0)
    monkeypatch.setattr(loop, "_POLICIES", ())
    monkeypatch.setattr(loop.Loop, "_due", lambda self, now: None)
    actor = SimpleNamespace(finished=None, daemons=[])
    commands = SimpleNamespace(signal=lambda caught, now: None)
    board = SimpleNamespace(slots=[], children=[], generations=[], stop=None)
    assert loop.Loop(board, actor, None, Signals(Caught(event, "it")), None, commands).run() == 0
    assert turns == ["reap", 5.0, "reap", None, "reap"], "reaped again before the sleep"
