"""Attached daemons: which of them end the server, which begin anew, and which outlive it."""

from __future__ import annotations

import os

import pytest
from boards import NOW, READY, STARTING, Maker

from m2serve.config.daemonlines import Mule
from m2serve.config.settings import Settings
from m2serve.config.table import BY_NAME
from m2serve.ids import Seconds
from m2serve.master.actions import Order, Stop
from m2serve.master.board import Slot, StopOrder
from m2serve.master.child import ChildKind, ChildState
from m2serve.master.daemons import DaemonTouch
from m2serve.master.policies import boot, daemons, respawn, stop
from m2serve.master.programs import Program, Smart, attached, mules, smart
from m2serve.master.smart import SmartDaemons, Step, Watch, living


def daemon(make, **facts):
    slot = Slot(ChildKind.DAEMON, "daemon 1", **facts)
    slot.child = make.child(ChildKind.DAEMON, "daemon 1", READY)
    make.board.slots.append(slot)
    return slot


def test_one_that_ends_takes_the_server_along():
    make = Maker()
    slot = daemon(make, control=True)
    assert daemons.decide(make.board, NOW) == []
    slot.died = True
    (order,) = daemons.decide(make.board, NOW)
    assert isinstance(order, Order)
    assert order.order.reason == "daemon 1 has ended, a control daemon"
    assert order.order.deadline == NOW + make.board.mercy
    make.board.stop = order.order
    assert daemons.decide(make.board, NOW) == []


def test_one_that_is_to_begin_anew_is_told_once():
    make = Maker()
    make.board.patience = Seconds(5.0)
    slot = daemon(make)
    slot.renew = "reload"
    assert daemons.decide(make.board, NOW) == [Stop(slot.child, "reload", Seconds(NOW + 5), reload=True)]
    slot.child.move(ChildState.STOPPING, "reload")
    assert daemons.decide(make.board, NOW) == []


def test_mules_have_a_mercy_of_their_own():
    make = Maker()
    make.board.patience = Seconds(60.0)
    (mule,) = mules(Settings(mule=(Mule("a.py"),), mule_reload_mercy=Seconds(5.0)))
    slot = daemon(make)
    slot.child.program, slot.renew = mule, "reload"
    assert daemons.decide(make.board, NOW) == [Stop(slot.child, "reload", Seconds(NOW + 5), reload=True)]
    make.board.stop = StopOrder("TERM", Seconds(NOW + 60), patience=Seconds(60.0), patient=True)
    assert stop.decide(make.board, NOW) == [Stop(slot.child, "TERM", Seconds(NOW + 5))]
    make.board.stop = StopOrder("INT", Seconds(NOW + 1), patience=Seconds(1.0))
    assert stop.decide(make.board, NOW) == [Stop(slot.child, "INT", Seconds(NOW + 1))]


def test_ours_do_not_wait_for_it():
    make = Maker()
    slot = daemon(make)
    slot.child.state = STARTING
    dispatcher = make.dispatcher(None)
    assert [action.slot for action in respawn.decide(make.board, NOW)] == [dispatcher]
    slot.short_lives = 99
    assert boot.decide(make.board, NOW) == []


def test_its_pause_may_be_longer():
    assert respawn.delay_after(99) == respawn.LONGEST_DELAY
    assert respawn.delay_after(99, Seconds(60.0)) == 60


# --- what the options say -------------------------------------------------------------


def test_programs_of_the_settings(monkeypatch):
    monkeypatch.chdir("/")
    from_lines = [("attach_daemon", "a"), ("attach_control_daemon", "b"), ("attach_daemon2", "cmd=c,pidfile=c.pid")]
    from_lines += [("smart_attach_daemon", "d.pid d"), ("smart_attach_daemon2", "/run/e.pid e")]
    settings = parsed(from_lines)
    assert [(one.name, one.command, one.control) for one in attached(settings)] == [
        ("daemon 1", "a", False),
        ("daemon 2", "b", True),
    ]
    assert [(one.program.command, one.pidfile, one.foreground) for one in smart(settings)] == [
        ("c", "/c.pid", False),
        ("d", "/d.pid", False),
        ("e", "/run/e.pid", True),
    ]
    assert attached(settings)[0].argv == ("/bin/sh", "-c", "a")
    assert [(one.name, one.script) for one in mules(Settings(mule=(Mule(), Mule("a.py")), mules=1))] == [
        ("mule 1", ""),
        ("mule 2", "a.py"),
        ("mule 3", ""),
    ]


def parsed(lines):
    return Settings(**{name: (BY_NAME[name.replace("_", "-")].kind.parse(text),) for name, text in lines})


# --- smart ones -----------------------------------------------------------------------


@pytest.fixture
def watch():
    return Watch(Smart(Program("smart daemon 1", ("x",), "x"), "/run/x.pid", True, Seconds(10.0)))


def test_it_is_started_when_it_is_not_there(watch):
    assert watch.see(0, NOW) is Step.START
    assert watch.see(0, Seconds(NOW + 9)) is Step.NOTHING, "it may be about to write its file"
    assert watch.see(77, Seconds(NOW + 9)) is Step.NOTHING
    assert watch.see(77, Seconds(NOW + 99)) is Step.NOTHING
    assert (watch.pid, watch.starts) == (77, 1)


def test_it_is_left_alone_when_it_is(watch):
    assert watch.see(77, NOW) is Step.NOTHING
    assert watch.starts == 0


def test_it_may_come_back_by_itself(watch):
    watch.see(77, NOW)
    assert watch.see(0, Seconds(NOW + 1)) is Step.NOTHING
    assert watch.see(78, Seconds(NOW + 5)) is Step.NOTHING
    assert watch.see(0, Seconds(NOW + 20)) is Step.NOTHING
    assert watch.see(0, Seconds(NOW + 29)) is Step.NOTHING
    assert watch.see(0, Seconds(NOW + 30)) is Step.START
    assert watch.see(0, Seconds(NOW + 39)) is Step.NOTHING
    assert watch.see(0, Seconds(NOW + 40)) is Step.START


def test_they_are_looked_at_once_a_second_and_not_during_a_stop(watch):
    make, started = Maker(), []
    looks = []
    daemons = SmartDaemons(make.board, [watch], started.append, lambda path: looks.append(path) or 0)
    daemons.turn(NOW)
    daemons.turn(Seconds(NOW + 0.5))
    assert started == [watch.smart]
    assert looks == ["/run/x.pid"]
    assert daemons.due(NOW) == NOW + 1
    make.board.stop = StopOrder("SIGTERM", NOW)
    daemons.turn(Seconds(NOW + 60))
    assert len(looks) == 1
    assert daemons.due(NOW) is None


def test_a_start_that_fails_is_tried_again(watch, caplog):
    def refuse(smart):
        raise BlockingIOError(11, "Resource temporarily unavailable")

    SmartDaemons(Maker().board, [watch], refuse, lambda path: 0).turn(NOW)
    assert "smart daemon 1 cannot be started" in caplog.text


def test_who_lives(tmp_path, monkeypatch):
    path = tmp_path / "pid"
    assert living(str(path)) == 0
    path.write_text("garbage")
    assert living(str(path)) == 0
    path.write_text(f"{os.getpid()}\n")
    assert living(str(path)) == os.getpid()

    def kill(pid, number):
        raise errors[0]

    monkeypatch.setattr(os, "kill", kill)
    errors = [PermissionError(1, "")]
    assert living(str(path)) == os.getpid(), "somebody else's, but it lives"
    errors[0] = ProcessLookupError(3, "")
    assert living(str(path)) == 0


# --- touch ----------------------------------------------------------------------------


def test_a_touched_file_begins_all_mules_anew(tmp_path):
    make = Maker()
    slot = daemon(make)
    file = tmp_path / "file"
    program = Program("mule 1", (), "jobs.py", script="jobs.py", number=1)
    touch = DaemonTouch.of(make.board, [program], [], [str(file)])
    assert not touch.turn(NOW)
    file.touch()
    assert touch.turn(Seconds(NOW + 1))
    assert slot.renew == f"touch {file}"
    assert DaemonTouch.of(make.board, [Program("daemon 1", ("x",), "x")], [], [str(file)]).due(NOW) is None


def test_a_touched_file_begins_its_daemon_anew(tmp_path, watch, monkeypatch):
    make = Maker()
    slot = daemon(make)
    one, two = tmp_path / "one", tmp_path / "two"
    one.touch()
    smart_one = Watch(Smart(Program("s", ("x",), "x", touch=str(two)), "/p", True, Seconds(1.0)), pid=77)
    touch = DaemonTouch.of(make.board, [Program("daemon 1", ("x",), "x", touch=str(one))], [smart_one, watch])
    killed = []
    monkeypatch.setattr(os, "kill", lambda pid, number: killed.append(pid))
    assert not touch.turn(NOW)
    os.utime(one, (5, 5))
    two.touch()
    assert not touch.turn(Seconds(NOW + 0.5)), "once a second"
    assert touch.turn(Seconds(NOW + 1))
    assert slot.renew == f"touch {one}"
    assert killed == [77]
    assert not touch.turn(Seconds(NOW + 2))
