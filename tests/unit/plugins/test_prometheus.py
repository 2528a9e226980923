"""Metrics for Prometheus, without a server."""

from __future__ import annotations

import importlib
import sys
from typing import TYPE_CHECKING, Any

import pytest

from m2serve.errors import ConfigError
from m2serve.observe.snapshot import (
    QUEUE_BOUNDS,
    App,
    Core,
    Dispatcher,
    Life,
    RunningRequest,
    Snapshot,
    Socket,
    Totals,
    Worker,
)
from m2serve.plugin.loader import find, set_up

if TYPE_CHECKING:
    from collections.abc import Callable

parser = pytest.importorskip("prometheus_client.parser")

BUSY = RunningRequest("GET", "/", "id", 0.0, 5)
CORES = (Core(requests=3, busy=2_500_000, sent=100, average=1500, request=BUSY), Core(requests=2, exceptions=1))


def state() -> Snapshot:
    life = Life(1, 7, 1, "ready", True, 0.0, 1.0, 5000, 9000, CORES, (App("/shop", 5, 1),))
    workers = (Worker(1, 2, Totals(10), (life,)), Worker(2, 0, Totals(), ()))
    waits = (6, 0, 4, *[0] * (len(QUEUE_BOUNDS) - 2))
    dispatcher = Dispatcher(
        8, "ready", 1, 10, 3, 0, 1, 0, 2500, {"400": 0, "503": 2}, 0, 4, waited=20_000_000, waits=waits
    )
    sockets = (Socket("tcp://127.0.0.1:1", 1, 3, 0),)
    return Snapshot("0.1", 1, 0, 0, "/", 0.0, 1, False, 10, workers, sockets, (), dispatcher)


@pytest.fixture
def tally() -> Any:
    assert find("prometheus", [], importable=False) is not None
    return importlib.import_module("m2serve_plugins.prometheus.tally")


@pytest.fixture
def render(tally: Any) -> Callable[..., dict[str, float]]:
    module = importlib.import_module("m2serve_plugins.prometheus.metrics")

    def read(totals: Any, **options: Any) -> dict[str, float]:
        """Each sample with its labels, the one that all of uWSGI's have apart."""
        kind, text = module.render(state(), totals, uri="here", **{"cores": False, **options})
        assert kind.startswith("text/plain; version=0.0.4")
        found = {}
        for family in parser.text_string_to_metric_families(text.decode()):
            for sample in family.samples:
                labels = dict(sample.labels)
                assert (labels.pop("stats_uri", None) == "here") == sample.name.startswith("uwsgi_")
                shown = ",".join(f"{key}={value}" for key, value in sorted(labels.items()))
                found[f"{sample.name}{{{shown}}}" if shown else sample.name] = sample.value
        return found

    return read


def test_names_and_labels_are_those_of_the_exporter(render: Callable[..., dict[str, float]], tally: Any) -> None:
    found = render(tally.RunTimes(1).total())
    assert found["uwsgi_listen_queue_length"] == 3
    assert found["uwsgi_listen_queue_errors"] == 2
    assert found["uwsgi_workers"] == 2
    assert found["uwsgi_socket_queue_length{name=tcp://127.0.0.1:1,proto=zeromq}"] == 3
    assert found["uwsgi_worker_requests_total{worker_id=1}"] == 15
    assert found["uwsgi_worker_delta_requests{worker_id=1}"] == 5
    assert found["uwsgi_worker_exceptions_total{worker_id=1}"] == 1
    assert found["uwsgi_worker_running_time_seconds{worker_id=1}"] == 2.5
    assert found["uwsgi_worker_transmitted_bytes_total{worker_id=1}"] == 100
    assert found["uwsgi_worker_rss_bytes{worker_id=1}"] == 5000
    assert found["uwsgi_worker_respawn_count_total{worker_id=1}"] == 2
    assert [found[f"uwsgi_worker_{status}{{worker_id=1}}"] for status in ("busy", "idle", "cheap")] == [1, 0, 0]
    assert [found[f"uwsgi_worker_{status}{{worker_id=2}}"] for status in ("busy", "idle", "cheap")] == [0, 0, 1]
    assert found["uwsgi_worker_cores{worker_id=1}"] == 2
    assert found["uwsgi_worker_app_requests_total{app_id=0,chdir=,mountpoint=/shop,worker_id=1}"] == 5
    assert not [name for name in found if name.startswith("uwsgi_worker_core_")]


def test_metrics_of_threads_where_they_are_wanted(render: Callable[..., dict[str, float]], tally: Any) -> None:
    found = render(tally.RunTimes(1).total(), cores=True)
    assert found["uwsgi_worker_core_busy{core_id=0,worker_id=1}"] == 1
    assert found["uwsgi_worker_core_requests_total{core_id=1,worker_id=1}"] == 2


def test_histograms(render: Callable[..., dict[str, float]], tally: Any) -> None:
    times = tally.RunTimes(1)
    times.spawn(4)
    times.fork(4)
    for milliseconds, status in ((0.5, 200), (1, 204), (3, 404), (700, 500), (70_000, 200), (2, 999)):
        times.request_end(int(milliseconds * 1e6), status)
    found = render(times.total())
    assert found["m2serve_request_seconds_count"] == 6
    assert found["m2serve_request_seconds_sum"] == pytest.approx(70.7065)
    buckets = {
        bound: found[f"m2serve_request_seconds_bucket{{le={bound}}}"]
        for bound in ("0.001", "0.005", "1.0", "60.0", "+Inf")
    }
    assert buckets == {"0.001": 2, "0.005": 4, "1.0": 5, "60.0": 5, "+Inf": 6}
    codes = {code: found[f"m2serve_responses_total{{code={code}}}"] for code in ("1xx", "2xx", "3xx", "4xx", "5xx")}
    assert codes == {"1xx": 0, "2xx": 3, "3xx": 0, "4xx": 1, "5xx": 2}
    assert found["m2serve_queue_seconds_count"] == 10
    assert found["m2serve_queue_seconds_sum"] == pytest.approx(0.02)
    assert found[f"m2serve_queue_seconds_bucket{{le={QUEUE_BOUNDS[0]}}}"] == 6
    assert found["m2serve_queue_time_seconds"] == 0.0025
    assert found["m2serve_info{version=0.1}"] == 1
    assert found["m2serve_dispatcher_responses_total{code=503}"] == 2


def test_what_the_dead_have_counted_is_kept(tally: Any) -> None:
    times = tally.RunTimes(1)
    for key in (1, 2):
        times.spawn(key)
        times.fork(key)
        for _ in range(10 * key):
            times.request_end(5_000_000, 200)
    assert (sum(times.total().buckets), times.total().statuses[1]) == (30, 30)
    times.gone(1)
    assert sum(times.total().buckets) == 30
    times.gone(2)
    times.gone(99)
    assert (sum(times.total().buckets), times.total().nanoseconds) == (30, 150_000_000)


def test_rows_are_used_again_and_no_row_is_no_harm(tally: Any) -> None:
    times = tally.RunTimes(1)
    for key in range(1, 100):
        times.spawn(key)
        times.fork(key)
        times.request_end(1, 200)
        times.gone(key)
    assert sum(times.total().buckets) == 99
    for key in range(100, 200):
        times.spawn(key)
    times.fork(199)
    times.request_end(1, 200)
    assert sum(times.total().buckets) == 99


def test_the_applications_own_is_another_one() -> None:
    for name in [one for one in sys.modules if one.partition(".")[0] in ("prometheus_client", "m2serve_plugins")]:
        del sys.modules[name]
    assert find("prometheus", [], importable=False) is not None
    assert not [one for one in sys.modules if one.partition(".")[0] == "prometheus_client"]


def test_it_wants_an_address() -> None:
    plugin = find("prometheus", [], importable=False)
    assert plugin is not None and plugin.options is not None
    with pytest.raises(ConfigError, match=r"a\.ini:2: plugin prometheus: expected prometheus-address"):
        set_up([(plugin, plugin.options(), "a.ini:2")], None)
