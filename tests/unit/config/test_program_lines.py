"""Commands of cron and attached daemons, as the options name them."""

from __future__ import annotations

import signal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from m2serve.config.crons import CronLine, KeyedCronLine, UniqueCronLine
from m2serve.config.daemonlines import (
    ControlDaemonLine,
    DaemonLine,
    KeyedDaemonLine,
    Mule,
    SmartDaemonLine,
    SmartForegroundLine,
)
from m2serve.errors import ConfigError

TERM, HUP, KILL = int(signal.SIGTERM), int(signal.SIGHUP), int(signal.SIGKILL)
CRONS = (CronLine, UniqueCronLine, KeyedCronLine)
DAEMONS = (DaemonLine, ControlDaemonLine, KeyedDaemonLine, SmartDaemonLine, SmartForegroundLine)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("0 3 -1 -1 -1 /bin/true x", (0, 3, -1, -1, -1, "/bin/true x", False, 0)),
        ("  -5\t-1 -1 -1 7  echo  'a b' ", (-5, -1, -1, -1, 0, "echo  'a b' ", False, 0)),
        ("59 23 31 12 6 x", (59, 23, 31, 12, 6, "x", False, 0)),
    ],
)
def test_a_time_and_a_command(text: str, line: tuple[object, ...]) -> None:
    assert CronLine.parse(text)[:8] == line
    assert str(CronLine.parse(text)) == text
    assert UniqueCronLine.parse(text).unique


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("minute=-15,unique=1 /srv/x sync", (-15, -1, -1, -1, -1, "/srv/x sync", True, 0)),
        ("hour=2,day=1,month=3,week=7,harakiri=60 x", (-1, 2, 1, 3, 0, "x", False, 60)),
    ],
)
def test_a_time_with_keys(text: str, line: tuple[object, ...]) -> None:
    assert KeyedCronLine.parse(text)[:8] == line
    assert str(KeyedCronLine.parse(text)) == text


@pytest.mark.parametrize("text", ["", "x", "1 2 3 4 x", "1 2 3 4 5", "1 2 3 4 x y", "1.5 2 3 4 5 x", "1 2 3 4 5 x\0"])
def test_what_is_no_time(text: str) -> None:
    with pytest.raises(ConfigError, match="five numbers"):
        CronLine.parse(text)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("60 -1 -1 -1 -1 x", "minute 60: expected 0 to 59"),
        ("-1 24 -1 -1 -1 x", "hour 24: expected 0 to 23"),
        ("-1 -1 0 -1 -1 x", "day 0: expected 1 to 31"),
        ("-1 -1 -1 13 -1 x", "month 13: expected 1 to 12"),
        ("-1 -1 -1 -1 8 x", "week 8: expected 0 to 7"),
    ],
)
def test_a_time_that_never_comes(text: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        CronLine.parse(text)


@pytest.mark.parametrize("text", ["", "x", "minute=1", "minute=x y", "minutes=1 x", "unique=yes x", "legion=a x"])
def test_what_is_no_time_with_keys(text: str) -> None:
    with pytest.raises(ConfigError, match="expected"):
        KeyedCronLine.parse(text)


def test_attached_daemons() -> None:
    assert DaemonLine.parse(" celery -A x ")[:3] == ("celery -A x", "", True)
    assert ControlDaemonLine.parse("x").control
    assert SmartDaemonLine.parse("/run/x.pid x -d")[:3] == ("x -d", "/run/x.pid", False)
    assert SmartForegroundLine.parse("/run/x.pid x")[:3] == ("x", "/run/x.pid", True)
    line = DaemonLine.parse("x")
    assert (line.stop_signal, line.reload_signal, line.frequency, line.control) == (TERM, 0, 10, False)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("cmd=x y", DaemonLine("x y")),
        ('exec="x, y",stopsignal=9,reloadsignal=SIGHUP', DaemonLine("x, y", stop_signal=KILL, reload_signal=HUP)),
        ("command=x,pidfile=/p", DaemonLine("x", "/p", foreground=False)),
        ("cmd=x,pidfile=/p,daemonize=1,freq=3", DaemonLine("x", "/p", frequency=3)),
        (
            "cmd=x,touch=/t,uid=u,gid=g,chdir=/c,max_throttle=60,control=1",
            DaemonLine("x", touch="/t", uid="u", gid="g", chdir="/c", longest_pause=60, control=True),
        ),
    ],
)
def test_a_daemon_with_keys(text: str, expected: DaemonLine) -> None:
    assert KeyedDaemonLine.parse(text) == expected._replace(text=text)
    assert str(KeyedDaemonLine.parse(text)) == text


@pytest.mark.parametrize(
    ("kind", "text", "words"),
    [
        (DaemonLine, " ", "expected a command"),
        (SmartDaemonLine, "/run/x.pid", "expected the path of a pid file and, behind a blank, a command"),
        (KeyedDaemonLine, "", "expected a command"),
        (KeyedDaemonLine, "celery -A x", "expected NAME=VALUE"),
        (KeyedDaemonLine, "cmd=x,stopsignal=TURM", "expected the number or the name of a signal"),
        (KeyedDaemonLine, "cmd=x,freq=often", "expected a whole number"),
        (KeyedDaemonLine, "cmd=x,ns_pid=1", "has no such thing"),
    ],
)
def test_what_is_no_daemon(kind: type[DaemonLine], text: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        kind.parse(text)


@given(st.text(), st.sampled_from((*CRONS, *DAEMONS)))
def test_anything_is_a_line_or_a_mistake(text: str, kind: type[CronLine] | type[DaemonLine]) -> None:
    try:
        assert str(kind.parse(text)) == text
    except ConfigError as error:
        assert str(error)


@pytest.mark.parametrize(("text", "script"), [("a.py", "a.py"), (" a:b ", "a:b"), ("true", ""), ("", ""), ("1", "")])
def test_a_mule_has_a_script_or_nothing_to_do(text: str, script: str) -> None:
    assert Mule.parse(text) == script
