"""What the number of workers can be told by hand, and when it cannot."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from boards import NOW, READY, Maker

from m2serve.master.board import StopOrder
from m2serve.master.commands import Command, Commands
from m2serve.master.crowd import Crowd
from m2serve.master.signals import Caught, Event


@pytest.fixture
def board():
    maker = Maker()
    maker.generation(1, READY, READY)
    board = maker.board
    board.crowd, board.wanted, board.served = Crowd(most=3, least=1, initial=2), 2, True
    return board


@pytest.fixture
def told(board, caplog):
    """Give one command; what the log said to it."""
    commands = Commands(SimpleNamespace(), board, None)

    def obey(command):
        caplog.clear()
        commands.obey(command, "test", NOW)
        return caplog.text

    return obey


def test_one_more_and_one_less_within_the_bounds(board, told):
    assert "test: 3 workers wanted" in told(Command.MORE)
    assert "changes nothing: 3 workers are wanted, at most so many" in told(Command.MORE)
    told(Command.FEWER), told(Command.FEWER)
    assert board.wanted == 1
    assert "changes nothing: 1 workers are wanted, at least so many" in told(Command.FEWER)


def test_asleep_one_more_wakes_and_one_less_is_nothing(board, told):
    assert "all workers leave" in told(Command.SLEEP)
    assert (board.asleep, board.wanted) == (True, 0)
    assert "changes nothing" in told(Command.SLEEP)
    assert "changes nothing: there is no worker" in told(Command.FEWER)
    assert (board.asleep, board.wanted) == (True, 0)
    told(Command.MORE)
    assert (board.asleep, board.wanted) == (False, 1)


def test_a_pause_and_its_end(board, told):
    assert "paused" in told(Command.PAUSE)
    assert board.paused
    assert "going on" in told(Command.PAUSE)
    assert not board.paused


@pytest.mark.parametrize("command", [Command.MORE, Command.FEWER, Command.PAUSE, Command.SLEEP])
def test_nothing_of_it_while_stopping(board, told, command):
    board.stop = StopOrder("SIGTERM", NOW)
    assert "changes nothing" in told(command)
    assert (board.wanted, board.paused, board.asleep) == (2, False, False)


@pytest.mark.parametrize("why", ["direct", "not served yet"])
def test_none_leaves_whom_nobody_could_call(board, told, why):
    board.dispatched, board.served = why != "direct", why == "direct"
    assert "changes nothing" in told(Command.SLEEP)
    assert ("changes nothing" in told(Command.PAUSE)) == (why == "direct")


@pytest.mark.parametrize(("event", "wanted"), [(Event.TTIN, 3), (Event.TTOU, 1)])
def test_signals(board, event, wanted):
    Commands(SimpleNamespace(die_on_term=True), board, None).signal(Caught(event, f"SIG{event.name}"), NOW)
    assert board.wanted == wanted
