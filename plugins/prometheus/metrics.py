"""From a snapshot to Prometheus' text, with the classes of prometheus_client."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
)

from m2serve.observe.snapshot import QUEUE_BOUNDS
from m2serve.observe.stats import document

from .tally import BOUNDS, CLASSES

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from m2serve.observe.snapshot import Dispatcher, Snapshot

    from .tally import Totals

TYPE = "text/plain; version=0.0.4; charset=utf-8"
STATUSES = ("busy", "idle", "cheap")

_MAIN = {
    "listen_queue_length": (
        "listen_queue",
        "Requests that wait for a thread, or connections that wait for a worker: the longest of these queues.",
    ),
    "listen_queue_errors": (
        "listen_queue_errors",
        "Requests that were answered 503, and attempts to connect that found no room.",
    ),
    "signal_queue_length": ("signal_queue", "Always 0."),
}
_SOCKET = {
    "queue_length": (
        "queue",
        "Requests of this Mongrel2 that wait for a thread; connections at this socket that wait for a worker.",
    ),
    "max_queue_length": ("max_queue", "How many may wait."),
    "shared": ("shared", "Always 0."),
    "can_offload": ("can_offload", "Always 0."),
}
_WORKER = {
    "accepting": ("accepting", 1, "Whether it serves."),
    "delta_requests": ("delta_requests", 1, "Requests of this life."),
    "signal_queue_length": ("signal_queue", 1, "Always 0."),
    "rss_bytes": ("rss", 1, "Resident memory."),
    "vsz_bytes": ("vsz", 1, "Address space."),
    "running_time_seconds": ("running_time", 1e6, "Time spent in requests."),
    "last_spawn_time_seconds": ("last_spawn", 1, "When it was started, since the epoch."),
    "average_response_time_seconds": ("avg_rt", 1e6, "Uneven mean of the last requests, as uWSGI has it."),
}
_WORKER_TOTALS = {
    "requests": ("requests", "Requests of all lives."),
    "exceptions": ("exceptions", "Requests in which the application raised."),
    "harakiri_count": ("harakiri_count", "Requests that took too long."),
    "signals": ("signals", "Always 0."),
    "respawn_count": ("respawn_count", "Lives."),
    "transmitted_bytes": ("tx", "Bytes of answers."),
}
_APP_TOTALS = {"requests": "Requests of this life.", "exceptions": "Those in which it raised."}
_CORE_TOTALS = {
    "requests": "Requests of this life.",
    "static_requests": "Always 0.",
    "routed_requests": "Always 0.",
    "offloaded_requests": "Requests whose answers went on without the thread.",
    "write_errors": "Answers whose client had left.",
    "read_errors": "Bodies that did not come.",
}


class Collector:
    """The metrics of one moment."""

    def __init__(self, snapshot: Snapshot, times: Totals, *, cores: bool, uri: str) -> None:
        self._snapshot = snapshot
        self._times = times
        self._cores = cores
        self._uri = uri

    def collect(self) -> Iterator[Metric]:
        """All families."""
        found = document(self._snapshot)
        yield from self._main(found)
        for name, (key, text) in _SOCKET.items():
            yield self._gauge(f"socket_{name}", text, ("name", "proto"), found["sockets"], _socket, key)
        yield from self._workers(found["workers"])
        yield from _ours(self._snapshot, self._times)

    def _main(self, found: dict[str, Any]) -> Iterator[Metric]:
        for name, (key, text) in _MAIN.items():
            yield self._gauge(name, text, (), [found], lambda one: (), key)
        yield self._gauge("workers", "Workers.", (), [{"n": len(found["workers"])}], lambda one: (), "n")

    def _workers(self, workers: Sequence[dict[str, Any]]) -> Iterator[Metric]:
        labels = ("worker_id",)
        for name, (key, unit, text) in _WORKER.items():
            yield self._gauge(f"worker_{name}", text, labels, workers, _worker, key, unit)
        for name, (key, text) in _WORKER_TOTALS.items():
            yield self._counter(f"worker_{name}", text, labels, workers, _worker, key)
        for status in STATUSES:
            rows = [{"id": one["id"], "is": int(one["status"] == status)} for one in workers]
            yield self._gauge(f"worker_{status}", f"Whether it is {status}.", labels, rows, _worker, "is")
        for what in ("apps", "cores"):
            rows = [{"id": one["id"], "n": len(one[what])} for one in workers]
            yield self._gauge(f"worker_{what}", f"Number of {what}.", labels, rows, _worker, "n")
        apps = [{**app, "worker": one["id"]} for one in workers for app in one["apps"]]
        of_app = ("worker_id", "app_id", "mountpoint", "chdir")
        text = "Seconds until it was loaded."
        yield self._gauge("worker_app_startup_time_seconds", text, of_app, apps, _app, "startup_time")
        for name, text in _APP_TOTALS.items():
            yield self._counter(f"worker_app_{name}", text, of_app, apps, _app, name)
        if self._cores:
            cores = [{**core, "worker": one["id"]} for one in workers for core in one["cores"]]
            of_core = ("worker_id", "core_id")
            text = "Whether it is in a request."
            yield self._gauge("worker_core_busy", text, of_core, cores, _core, "in_request")
            for name, text in _CORE_TOTALS.items():
                yield self._counter(f"worker_core_{name}", text, of_core, cores, _core, name)

    def _gauge(
        self,
        name: str,
        text: str,
        labels: Sequence[str],
        rows: Iterable[dict[str, Any]],
        of: Any,
        key: str,
        unit: float = 1,
    ) -> Metric:
        family = GaugeMetricFamily(f"uwsgi_{name}", text, labels=["stats_uri", *labels])
        for row in rows:
            family.add_metric([self._uri, *of(row)], row[key] / unit)
        return family

    def _counter(
        self, name: str, text: str, labels: Sequence[str], rows: Iterable[dict[str, Any]], of: Any, key: str
    ) -> Metric:
        family = CounterMetricFamily(f"uwsgi_{name}", text, labels=["stats_uri", *labels])
        for row in rows:
            family.add_metric([self._uri, *of(row)], row[key])
        return family


def render(snapshot: Snapshot, times: Totals, *, cores: bool, uri: str) -> tuple[str, bytes]:
    """Content type and text.

    Args:
        cores: with metrics of every thread.
        uri: for the label ``stats_uri`` that uWSGI's exporter gives to everything.
    """
    registry = CollectorRegistry(auto_describe=False)
    registry.register(Collector(snapshot, times, cores=cores, uri=uri))
    return TYPE, generate_latest(registry)


def _ours(snapshot: Snapshot, times: Totals) -> Iterator[Metric]:
    yield InfoMetricFamily("m2serve", "The server.", {"version": snapshot.version})
    yield GaugeMetricFamily("m2serve_generation", "The generation that serves.", snapshot.generation)
    yield GaugeMetricFamily("m2serve_reloading", "Whether a reload is going on.", int(snapshot.reloading))
    answers = CounterMetricFamily("m2serve_responses", "Answers of the application.", labels=["code"])
    for name, count in zip(CLASSES, times.statuses, strict=True):
        answers.add_metric([name], count)
    yield answers
    yield _histogram(
        "m2serve_request_seconds", "How long requests were in a worker.", BOUNDS, times.buckets, times.nanoseconds
    )
    if snapshot.doors:
        refused = sum(one.past.refused + sum(life.refused for life in one.lives) for one in snapshot.workers)
        yield CounterMetricFamily(
            "m2serve_door_refusals", "Requests that doors answered or dropped by themselves.", refused
        )
    if snapshot.dispatcher is not None:
        yield from _dispatcher(snapshot.dispatcher)


def _dispatcher(dispatcher: Dispatcher) -> Iterator[Metric]:
    text = "How long requests waited for a thread; those of a quarter of a second are counted with their mean."
    yield _histogram("m2serve_queue_seconds", text, QUEUE_BOUNDS, dispatcher.waits, dispatcher.waited)
    yield GaugeMetricFamily("m2serve_queue_time_seconds", "The same, a mean of the last.", dispatcher.queue_time / 1e6)
    yield CounterMetricFamily("m2serve_requests", "Requests handed out.", dispatcher.handed)
    yield GaugeMetricFamily("m2serve_requests_running", "Requests that run.", dispatcher.running)
    yield GaugeMetricFamily(
        "m2serve_requests_waiting",
        "Requests that wait for a thread, or connections that wait for a worker: the longest of these queues.",
        dispatcher.waiting,
    )
    yield GaugeMetricFamily("m2serve_answers_draining", "Answers that go on without a thread.", dispatcher.draining)
    own = CounterMetricFamily("m2serve_dispatcher_responses", "Answers of the dispatcher's own.", labels=["code"])
    for status, count in dispatcher.answered.items():
        own.add_metric([status], count)
    yield own
    yield CounterMetricFamily("m2serve_disconnects", "Clients that left.", dispatcher.disconnects)
    yield CounterMetricFamily("m2serve_bad_messages", "Messages that were no requests.", dispatcher.garbage)


def _histogram(name: str, text: str, bounds: Sequence[float], counts: Sequence[int], nanoseconds: int) -> Metric:
    """Prometheus wants each bucket to hold all before it."""
    buckets, below = [], 0
    for bound, count in zip((*map(str, bounds), "+Inf"), counts, strict=True):
        below += count
        buckets.append((bound, below))
    return HistogramMetricFamily(name, text, buckets=buckets, sum_value=nanoseconds / 1e9)


def _socket(row: dict[str, Any]) -> tuple[str, ...]:
    return row["name"], row["proto"]


def _worker(row: dict[str, Any]) -> tuple[str, ...]:
    return (str(row["id"]),)


def _app(row: dict[str, Any]) -> tuple[str, ...]:
    return str(row["worker"]), str(row["id"]), row["mountpoint"], row["chdir"]


def _core(row: dict[str, Any]) -> tuple[str, ...]:
    return str(row["worker"]), str(row["id"])
