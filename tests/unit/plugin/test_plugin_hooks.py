"""What plugins register, and how it is called."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from m2serve.endpoint import StatsAddress
from m2serve.errors import ConfigError
from m2serve.plugin.hooks import MOST_FAILURES, Hooks, Registrar


@pytest.fixture
def hooks() -> Hooks:
    return Hooks()


@pytest.fixture
def registrar(hooks: Hooks) -> Registrar:
    return Registrar("mine", hooks)


def test_arguments_match_by_name(hooks: Hooks, registrar: Registrar) -> None:
    seen: list[Any] = []
    registrar.on("gone", lambda pid, worker: seen.append((pid, worker)))
    registrar.on("gone", lambda **everything: seen.append(everything))
    registrar.on("gone", lambda: seen.append("nothing"))
    registrar.on("gone", lambda reason, more=7: seen.append((reason, more)))
    hooks("gone", worker=1, key=9, pid=77, reason="exit 0")
    assert seen == [(77, 1), {"worker": 1, "key": 9, "pid": 77, "reason": "exit 0"}, "nothing", ("exit 0", 7)]
    hooks("start")  # nobody wants that one


def test_what_cannot_be_called_is_refused(registrar: Registrar) -> None:
    with pytest.raises(ConfigError, match="'lunch' is no moment; expected one of start, "):
        registrar.on("lunch", lambda: None)
    with pytest.raises(ConfigError, match="fork has no argument 'pid'; it has: worker, key"):
        registrar.on("fork", lambda pid: None)
    with pytest.raises(ConfigError, match="start has no argument 'settings'; it has: none"):
        registrar.on("start", lambda settings: None)
    with pytest.raises(ConfigError, match="more than 0 seconds"):
        registrar.every(0, print)


def test_requests_cost_nothing_where_nobody_wants_them(hooks: Hooks, registrar: Registrar) -> None:
    registrar.on("fork", lambda: None)
    assert hooks.per_request() is None


def test_the_end_of_a_request_has_arguments_by_position(hooks: Hooks, registrar: Registrar) -> None:
    seen: list[Any] = []
    registrar.on("request_end", lambda nanoseconds, status: seen.append((nanoseconds, status)))
    registrar.on("request_end", lambda more=1, *, core, request: seen.append((core, request, more)))
    registrar.on("request_end", lambda **everything: seen.append(sorted(everything)))
    ended = hooks.per_request()
    assert ended is not None
    ended(3, 200, 1500, 10, "it")
    assert seen == [(1500, 200), (3, "it", 1), ["core", "nanoseconds", "request", "sent", "status"]]


def test_a_failure_is_blamed_and_harms_nobody(
    hooks: Hooks, registrar: Registrar, caplog: pytest.LogCaptureFixture
) -> None:
    seen: list[str] = []
    registrar.on("ready", lambda: 1 / 0)
    registrar.on("ready", lambda: (_ for _ in ()).throw(SystemExit(3)))
    registrar.on("ready", lambda: seen.append("called"))
    with caplog.at_level(logging.ERROR, "m2serve.plugin"):
        hooks("ready", worker=1)
    assert seen == ["called"]
    assert [record.getMessage() for record in caplog.records] == ["plugin mine: ready failed"] * 2
    assert "ZeroDivisionError" in caplog.text


def test_who_always_fails_is_left_alone(hooks: Hooks, registrar: Registrar, caplog: pytest.LogCaptureFixture) -> None:
    calls: list[int] = []

    def fail() -> None:
        calls.append(1)
        raise ValueError("again")

    registrar.on("request_end", fail)
    ended = hooks.per_request()
    assert ended is not None
    with caplog.at_level(logging.ERROR, "m2serve.plugin"):
        for _ in range(MOST_FAILURES + 5):
            ended(0, 200, 1, 1, None)
    assert len(calls) == MOST_FAILURES
    assert caplog.records[-1].getMessage() == "plugin mine: request_end is not called any more in this process"


def test_ticks_and_pages(hooks: Hooks, registrar: Registrar) -> None:
    registrar.every(2.5, len)
    registrar.page(StatsAddress(path="/p"), lambda path, snapshot: ("text/plain", b"x"))
    assert [(tick.seconds, tick.call.plugin) for tick in hooks.ticks] == [(2.5, "mine")]
    assert [(page.address.path, page.call.run("/", None)) for page in hooks.pages] == [("/p", ("text/plain", b"x"))]
