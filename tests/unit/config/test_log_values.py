"""Loggers, encoders and routes as the files have them."""

from __future__ import annotations

import time

import pytest

from m2serve.config.log_values import (
    LogDate,
    LogEncoder,
    LogRoute,
    LogTarget,
    RsyslogTarget,
    SyslogTarget,
    ZeromqTarget,
    remote,
)
from m2serve.config.outside import Outside
from m2serve.config.settings import examine, load
from m2serve.errors import ConfigError

_SERVES = ("--zeromq", "tcp://127.0.0.1:1,tcp://127.0.0.1:2", "--module", "app")


@pytest.mark.parametrize(
    ("text", "name", "driver", "argument"),
    [
        ("zeromq:tcp://127.0.0.1:9000", "", "zeromq", "tcp://127.0.0.1:9000"),
        ("zmq:ipc:///run/log", "", "zeromq", "ipc:///run/log"),
        ("audit file:/var/log/a b", "audit", "file", "/var/log/a b"),
        ("my-log.2 syslog", "my-log.2", "syslog", ""),
        ("rsyslog:10.0.0.1", "", "rsyslog", "10.0.0.1"),
        ("systemd", "", "systemd", ""),
        ("stdout:", "", "stdio", ""),
    ],
)
def test_targets(text: str, name: str, driver: str, argument: str) -> None:
    target = LogTarget.parse(text)
    assert (target.name, target.driver, target.argument) == (name, driver, argument)
    assert str(target) == text


@pytest.mark.parametrize("text", ["zeromq:", "zeromq:nowhere", "rsyslog:host:port", "rsyslog::514", "a b file:/x"])
def test_targets_that_are_none(text: str) -> None:
    with pytest.raises(ConfigError, match="expected"):
        LogTarget.parse(text)


def test_a_remote_syslog() -> None:
    assert remote("10.0.0.1") == ("10.0.0.1", 514, "")
    assert remote("10.0.0.1:1514,shop") == ("10.0.0.1", 1514, "shop")
    assert remote("::1") == ("::1", 514, "")


def test_options_of_one_driver() -> None:
    assert SyslogTarget.parse("").target() == LogTarget.parse("syslog:")
    assert RsyslogTarget.parse("h:1").target().driver == "rsyslog"
    assert str(ZeromqTarget.parse("tcp://h:1")) == "tcp://h:1"
    with pytest.raises(ConfigError):
        ZeromqTarget.parse("h:1")


@pytest.mark.parametrize(
    ("text", "kind", "target", "argument"),
    [
        ("nl", "nl", "", ""),
        ("prefix [shop]", "prefix", "", "[shop]"),
        ('json {"at": ${unix}, "said": "${msg}"}', "json", "", '{"at": ${unix}, "said": "${msg}"}'),
        ("format:audit ${strftime:%Y} ${msgnl}", "format", "audit", "${strftime:%Y} ${msgnl}"),
        ("gzip", "gzip", "", ""),
        ("compress:audit", "compress", "audit", ""),
        ("msgpack map:2|str:a b|unix|nil|msgbin", "msgpack", "", "map:2|str:a b|unix|nil|msgbin"),
        (
            "msgpack strftime:%H:%M|int:-9223372036854775807|float:-1e3",
            "msgpack",
            "",
            "strftime:%H:%M|int:-9223372036854775807|float:-1e3",
        ),
    ],
)
def test_encoders(text: str, kind: str, target: str, argument: str) -> None:
    encoder = LogEncoder.parse(text)
    assert encoder == (kind, argument, target)
    assert str(encoder) == text


@pytest.mark.parametrize(
    "text",
    [
        *(
            "",
            "gunzip",
            "json",
            "format",
            "json ${message}",
            "format ${}",
            "msgpack",
            "msgpack map|nil",
            "msgpack nil|",
        ),
        *("msgpack map:-1", "msgpack map:4294967296", "msgpack int:x", "msgpack int:9223372036854775808"),
        *("msgpack float:x", "msgpack float:1e40", "msgpack strftime", "msgpack nil:x", "msgpack bogus"),
    ],
)
def test_encoders_that_are_none(text: str) -> None:
    with pytest.raises(ConfigError, match="expected"):
        LogEncoder.parse(text)


@pytest.mark.parametrize(
    ("text", "kept", "on"),
    [
        ("", "true", True),
        ("true", "true", True),
        ("1", "true", True),
        ("Off", "false", False),
        ("0", "false", False),
        ("%H:%M", "%H:%M", True),
        ("now ", "now ", True),
    ],
)
def test_dates(text: str, kept: str, on: bool) -> None:
    date = LogDate.parse(text)
    assert (str(date), bool(date)) == (kept, on)


def test_a_date_that_is_none() -> None:
    with pytest.raises(ConfigError, match="expected true, or a text for strftime"):
        LogDate.parse("%Y\0")


def test_moments(monkeypatch: pytest.MonkeyPatch) -> None:
    moment = time.mktime((2026, 11, 1, 13, 46, 9, 0, 0, -1))
    assert LogDate.parse("true").of(moment) == "Sun Nov  1 13:46:09 2026"
    assert LogDate.parse("at %d.%m. %H:%M").of(moment) == "at 01.11. 13:46"


def test_percents_are_doubled_in_a_file_and_not_on_the_command_line() -> None:
    world = Outside(read_file=lambda path: "[uwsgi]\nmodule = a\nhttp = :1\nlogdate = %%d %%H\n")
    assert examine(["a.ini"], {}, world, "/").settings.log_date == "%d %H"
    assert examine(["--log-date", "a.ini"], {}, world, "/").settings.log_date == "%d %H"
    assert examine(["a.ini", "--log-date", "%Y"], {}, world, "/").settings.log_date == "%Y"
    assert examine(["a.ini", "--log-date", "--master"], {}, world, "/").settings.log_date == "true"
    assert examine(["a.ini", "--log-date=false"], {}, world, "/").settings.log_date == "false"


def test_brackets_in_brackets_are_brackets() -> None:
    route = LogRoute.parse("audit [[a]")
    assert route.pattern.regexp.search("[")


def test_routes() -> None:
    route = LogRoute.parse(r"audit ^login \d+")
    assert route.target == "audit"
    assert route.pattern.regexp.search("login 7")
    assert str(route) == r"audit ^login \d+"
    for text in ("audit", "", "audit ("):
        with pytest.raises(ConfigError, match="expected"):
            LogRoute.parse(text)


def test_a_route_names_a_logger() -> None:
    names = ("--logger", "audit file:/tmp/a", "--log-encoder", "nl:audit", "--log-route", "audit login")
    assert load([*_SERVES, *names], {}).log_route[0].target == "audit"
    with pytest.raises(ConfigError, match="log-req-route: 'audit': expected the name of a logger, as in req-logger"):
        load([*_SERVES, *names, "--log-req-route", "audit x"], {})
    with pytest.raises(ConfigError, match="log-encoder: 'other'"):
        load([*_SERVES, *names, "--log-encoder", "nl:other"], {})
