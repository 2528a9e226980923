"""What statsd is told."""

from __future__ import annotations

import importlib
from types import ModuleType, SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from m2serve.endpoint import ListenAddress
from m2serve.errors import ConfigError
from m2serve.ids import Seconds
from m2serve.observe.snapshot import Core, Dispatcher, Life, RunningRequest, Snapshot, Totals, Worker
from m2serve.plugin.loader import find, set_up

if TYPE_CHECKING:
    from m2serve.plugin.hooks import Hooks

ANSWERED = {"400": 0, "503": 2}
BUSY = RunningRequest("GET", "/", "id", 0.0, 5)


@pytest.fixture
def statsd() -> ModuleType:
    assert find("statsd", [], importable=False) is not None
    return importlib.import_module("m2serve_plugins.statsd")


def state(*cores: Core, past: int = 0, spawns: int = 1) -> Snapshot:
    life = Life(1, 7, 1, "ready", True, 0.0, 1.0, 5000, 9000, cores, ())
    worker = Worker(1, spawns, Totals(past), (life,))
    dispatcher = Dispatcher(8, "ready", 1, 12, 3, 0, 1, 0, 2500, ANSWERED, 0, 4)
    return Snapshot("x", 1, 0, 0, "/", 0.0, 1, False, 10, (worker,), (), (), dispatcher)


def told(pusher: Any, snapshot: Snapshot) -> dict[str, str]:
    return dict(line.split(":") for line in pusher.lines(snapshot))


def test_counters_are_what_is_new(statsd: ModuleType) -> None:
    pusher = statsd.Pusher(2, ("127.0.0.1", 1), "shop")
    first = told(pusher, state(Core(requests=3, sent=100), Core(requests=2), past=10))
    assert first["shop.worker.1.requests"] == "15|c"
    assert first["shop.worker.1.tx"] == "100|c"
    assert first["shop.dispatcher.requests"] == "12|c"
    assert first["shop.dispatcher.answered.503"] == "2|c"
    assert "shop.worker.1.exceptions" not in first
    again = told(pusher, state(Core(requests=3, sent=100), Core(requests=2), past=10))
    assert not [name for name, value in again.items() if value.endswith("|c")]
    # One life is over, another has begun.
    later = told(pusher, state(Core(requests=1), past=15, spawns=2))
    assert (later["shop.worker.1.requests"], later["shop.worker.1.spawns"]) == ("1|c", "1|c")


def test_a_counter_never_goes_back(statsd: ModuleType) -> None:
    pusher = statsd.Pusher(2, ("127.0.0.1", 1), "m")
    told(pusher, state(Core(requests=9)))
    assert "m.worker.1.requests" not in told(pusher, state(Core(requests=4)))
    assert told(pusher, state(Core(requests=10)))["m.worker.1.requests"] == "1|c"


def test_gauges_and_timers(statsd: ModuleType) -> None:
    pusher = statsd.Pusher(2, ("127.0.0.1", 1), "m")
    found = told(pusher, state(Core(requests=1, average=1500, request=BUSY), Core(requests=2, average=500), Core()))
    assert found["m.worker.1.run_time"] == "1.000|ms"
    assert found["m.dispatcher.queue_time"] == "2.500|ms"
    assert (found["m.busy_threads"], found["m.ready_workers"], found["m.worker.1.rss"]) == ("1|g", "1|g", "5000|g")
    assert (found["m.dispatcher.queue"], found["m.dispatcher.running"]) == ("3|g", "1|g")


def test_datagrams_fit(statsd: ModuleType) -> None:
    lines = [f"name.{number}:{'1' * (number % 50)}|c" for number in range(400)]
    found = list(statsd.datagrams(lines))
    assert b"\n".join(found).decode().split("\n") == lines
    assert all(len(data) <= 1432 for data in found)
    assert len(found) < 12
    assert list(statsd.datagrams([])) == []


def options(**changes: Any) -> SimpleNamespace:
    given = {"statsd_address": None, "statsd_prefix": "m2serve", "statsd_period": Seconds(3)}
    return SimpleNamespace(**{**given, **changes})


def prepare(given: SimpleNamespace, *pushes: str) -> Hooks:
    plugin = find("statsd", [], importable=False)
    assert plugin is not None
    return set_up([(plugin, given, "a.ini:9")], SimpleNamespace(stats_push=pushes, stats_pusher_default_freq=7))


def test_where_it_is_sent() -> None:
    hooks = prepare(
        options(statsd_address=ListenAddress("127.0.0.1", 8125), statsd_period=Seconds(0.5)),
        "statsd:127.0.0.1:8126",
        "statsd:127.0.0.1:8127,my shop",
        "mongodb:elsewhere",
    )
    pushers = [tick.call.function.__self__ for tick in hooks.ticks]  # type: ignore[attr-defined]
    assert [(tick.seconds, one.address[1], one.prefix) for tick, one in zip(hooks.ticks, pushers, strict=True)] == [
        (0.5, 8125, "m2serve"),
        (7, 8126, "uwsgi"),
        (7, 8127, "my_shop"),
    ]


@pytest.mark.parametrize(
    ("given", "pushes", "expected"),
    [
        (options(), (), "a.ini:9: plugin statsd: expected statsd-address"),
        (options(), ("statsd:127.0.0.1",), "has no port"),
        (options(statsd_address=ListenAddress("127.0.0.1", 1), statsd_period=Seconds(0)), (), "0.1 s or more"),
    ],
)
def test_what_is_refused(given: SimpleNamespace, pushes: tuple[str, ...], expected: str) -> None:
    with pytest.raises(ConfigError, match=expected):
        prepare(given, *pushes)
