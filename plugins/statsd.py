# ruff: noqa: RUF009 - option() makes a dataclass field, it shares no default.
"""Statistics for statsd, as UDP datagrams: counters as what has been added, gauges, and timers.

uWSGI sends its counters with their absolute values at every push, so that statsd's totals grow without end; here each
push has what is new since the last one.
"""

from __future__ import annotations

import logging
import re
import socket
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from m2serve.config.option import option
from m2serve.endpoint import ListenAddress
from m2serve.errors import ConfigError
from m2serve.ids import Seconds
from m2serve.observe.stats import shown

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from m2serve.config.settings import Settings
    from m2serve.observe.snapshot import Snapshot, Worker
    from m2serve.plugin.hooks import Registrar

log = logging.getLogger("m2serve.plugin")

_DATAGRAM: Final = 1432
"""Bytes that pass an Ethernet with room for headers, as statsd's own documentation advises."""
_OTHER: Final = re.compile(r"[^A-Za-z0-9_.-]+")


@dataclass(frozen=True)
class Options:
    """The plugin statsd"""

    statsd_address: ListenAddress | None = option(None, "Send statistics there.", metavar="HOST:PORT")
    statsd_prefix: str = option("m2serve", "What the names begin with.", metavar="NAME")
    statsd_period: Seconds = option(Seconds(3), "How often.")


def setup(hooks: Registrar, options: Options, settings: Settings) -> None:
    """Raises: ConfigError: nobody said where to send it, or the host is unknown."""
    pushers = []
    if options.statsd_period < 0.1:
        raise ConfigError("expected a statsd-period of 0.1 s or more")
    if options.statsd_address is not None:
        pushers.append((options.statsd_period, _pusher(options.statsd_address, options.statsd_prefix)))
    for text in settings.stats_push:
        driver, _, rest = text.partition(":")
        if driver == "statsd":
            address, _, prefix = rest.partition(",")
            pusher = _pusher(ListenAddress.parse(address), prefix or "uwsgi")
            pushers.append((Seconds(settings.stats_pusher_default_freq), pusher))
    if not pushers:
        raise ConfigError("expected statsd-address, or stats-push = statsd:HOST:PORT")
    for period, pusher in pushers:
        hooks.every(period, pusher.push)


@dataclass(eq=False)
class Pusher:
    """One receiver, and what it has been told."""

    family: int
    address: tuple[object, ...]
    prefix: str
    _sock: socket.socket | None = None
    _told: dict[str, int] = field(default_factory=dict)
    _complained: bool = False

    def push(self, snapshot: Snapshot) -> None:
        """Send what there is to tell. What does not arrive is lost, as UDP has it."""
        if self._sock is None:
            # Not before the first time: nobody has opened a descriptor while processes are being forked.
            self._sock = socket.socket(self.family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        for data in datagrams(self.lines(snapshot)):
            try:
                self._sock.sendto(data, self.address)
            except BlockingIOError:
                return
            except OSError as error:
                if not self._complained:
                    log.warning("statsd at %s: %s", self.address, error)
                    self._complained = True

    def lines(self, snapshot: Snapshot) -> Iterator[str]:
        """One line of statsd's for each number."""
        for name, value in counters(snapshot):
            # After a worker's death its count may have moved to another place for a moment; never count backwards.
            before = self._told.get(name, 0)
            if value > before:
                yield f"{self.prefix}.{name}:{value - before}|c"
                self._told[name] = value
        for name, value in gauges(snapshot):
            yield f"{self.prefix}.{name}:{value}|g"
        for name, value in timers(snapshot):
            yield f"{self.prefix}.{name}:{value / 1000:.3f}|ms"


def counters(snapshot: Snapshot) -> Iterator[tuple[str, int]]:
    """Numbers that only grow."""
    for worker in snapshot.workers:
        cores = [core for life in worker.lives for core in (*life.cores, life.aside)]
        at = f"worker.{worker.number}"
        yield f"{at}.requests", worker.past.requests + sum(core.requests for core in cores)
        yield f"{at}.exceptions", worker.past.exceptions + sum(core.exceptions for core in cores)
        yield f"{at}.tx", worker.past.sent + sum(core.sent for core in cores)
        yield f"{at}.busy_us", worker.past.busy + sum(core.busy for core in cores)
        yield f"{at}.spawns", worker.spawns
    if snapshot.dispatcher is not None:
        yield "dispatcher.requests", snapshot.dispatcher.handed
        yield "dispatcher.bad_messages", snapshot.dispatcher.garbage
        yield "dispatcher.disconnects", snapshot.dispatcher.disconnects
        for status, count in snapshot.dispatcher.answered.items():
            yield f"dispatcher.answered.{status}", count


def gauges(snapshot: Snapshot) -> Iterator[tuple[str, int]]:
    """Numbers of this moment."""
    yield "busy_threads", sum(_busy(worker) for worker in snapshot.workers)
    yield "ready_workers", sum(any(life.ready for life in worker.lives) for worker in snapshot.workers)
    for worker in snapshot.workers:
        life = shown(worker)
        if life is not None:
            yield f"worker.{worker.number}.rss", life.rss
            yield f"worker.{worker.number}.vsz", life.vsz
            yield f"worker.{worker.number}.busy_threads", _busy(worker)
    if snapshot.dispatcher is not None:
        yield "dispatcher.queue", snapshot.dispatcher.waiting
        yield "dispatcher.running", snapshot.dispatcher.running


def timers(snapshot: Snapshot) -> Iterator[tuple[str, int]]:
    """Microseconds; each is a mean already, for single requests are not told of."""
    if snapshot.dispatcher is not None:
        yield "dispatcher.queue_time", snapshot.dispatcher.queue_time
    for worker in snapshot.workers:
        averages = [core.average for life in worker.lives for core in life.cores if core.requests]
        if averages:
            yield f"worker.{worker.number}.run_time", sum(averages) // len(averages)


def datagrams(lines: Iterable[str]) -> Iterator[bytes]:
    """As many lines in each as there is room for."""
    waiting = b""
    for line in lines:
        data = line.encode("ascii", "replace")
        if waiting and len(waiting) + 1 + len(data) > _DATAGRAM:
            yield waiting
            waiting = b""
        waiting = waiting + b"\n" + data if waiting else data
    if waiting:
        yield waiting


def _busy(worker: Worker) -> int:
    return sum(core.request is not None for life in worker.lives for core in life.cores)


def _pusher(address: ListenAddress, prefix: str) -> Pusher:
    try:
        # Once: a name server that does not answer would hold up the master.
        family, _, _, _, found = socket.getaddrinfo(address.host, address.port, type=socket.SOCK_DGRAM)[0]
    except OSError as error:
        raise ConfigError(f"{address}: {error.strerror}") from error
    return Pusher(family, found, _OTHER.sub("_", prefix))
