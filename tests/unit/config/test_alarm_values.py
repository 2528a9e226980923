"""Alarms as the files have them."""

from __future__ import annotations

import pytest

from m2serve.config.alarms import Alarm, AlarmFd, AlarmRule
from m2serve.config.outside import Outside
from m2serve.config.settings import examine
from m2serve.errors import ConfigError

_SERVES = "[uwsgi]\nzeromq = tcp://127.0.0.1:1,tcp://127.0.0.1:2\nmodule = app\n"


def problems(text: str) -> tuple[str, ...]:
    return examine(["--ini", "a.ini"], {}, Outside(read_file=lambda path: _SERVES + text), "/").problems


def test_alarms_and_rules() -> None:
    alarm = Alarm.parse("boss cmd:mail -s 'it burns' boss@example.org")
    assert alarm == ("boss", "cmd", "mail -s 'it burns' boss@example.org")
    assert str(alarm) == "boss cmd:mail -s 'it burns' boss@example.org"
    assert Alarm.parse("here log:").done_here
    assert not Alarm.parse("far curl:http://x").done_here
    rule = AlarmRule.parse("boss,here ^E .* failed$")
    assert rule.names == ("boss", "here")
    assert str(rule) == "boss,here ^E .* failed$"


@pytest.mark.parametrize("text", ["", "boss", "boss cmd:", "bo/ss cmd:x", "boss pigeon:x", "boss cmd"])
def test_alarms_that_are_none(text: str) -> None:
    with pytest.raises(ConfigError, match="expected"):
        Alarm.parse(text)


def test_descriptors() -> None:
    assert AlarmFd.parse("boss 7 it burns") == ("boss", 7, 1, "it burns")
    event = AlarmFd.parse(" boss  0:8  it  burns ")
    assert event == ("boss", 0, 8, "it  burns")
    assert str(event) == "boss 0:8 it  burns"
    # uWSGI wants a text, too
    for text in ("", "boss", "boss 7", "boss 7:0 x", "boss x y", "boss -1 x", "boss 7: x", "bo/ss 7 x", "boss 7:x y"):
        with pytest.raises(ConfigError, match="expected NAME FD TEXT"):
            AlarmFd.parse(text)


@pytest.mark.parametrize("text", ["", "boss", "boss (", "bo/ss x", ",boss x"])
def test_rules_that_are_none(text: str) -> None:
    with pytest.raises(ConfigError, match="expected"):
        AlarmRule.parse(text)


def test_a_rule_names_an_alarm() -> None:
    assert problems("alarm = boss cmd:x\nlog-alarm = boss x\nbacklog-alarm = boss\nsegfault-alarm = boss\n") == ()
    for line in (
        "alarm-log = a,b x",
        "alarm-not-log = b x",
        "alarm-backlog = b",
        "alarm-segfault = b",
        "alarm-fd = b 0 x",
    ):
        found = problems(f"alarm = a cmd:x\n{line}\n")
        assert len(found) == 1, line
        assert "'b': expected the name of an alarm, as in alarm = b cmd:COMMAND" in found[0]


def test_a_way_to_tell_that_is_not_here() -> None:
    text = f"{_SERVES}alarm = far curl:http://x\n"
    warnings = examine(["--ini", "a.ini"], {}, Outside(read_file=lambda path: text), "/").settings.warnings
    assert any("nobody is told by curl: expected cmd or log" in one for one in warnings)
