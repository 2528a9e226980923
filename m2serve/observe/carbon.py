"""What Graphite is told: uWSGI's names and numbers, ``NAME VALUE SECONDS`` a line.

The numbers are those of the statistics. ``busyness`` is the share of their time that a worker's threads have spent on
requests since the last push, those that still run included; uWSGI counts a request when it is over, and for one thread.
"""

from __future__ import annotations

import itertools
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, NamedTuple

from m2serve.observe.stats import document, shown

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Literal

    from m2serve.ids import Seconds
    from m2serve.observe.snapshot import Snapshot, Worker

_BLANK: Final = re.compile(r"\s+")


class _Sums(NamedTuple):
    """Of one worker, over all its lives."""

    requests: int = 0
    busy: int = 0
    """Microseconds."""


class _Numbers(NamedTuple):
    """Of one worker, as they are sent."""

    requests: int
    average: int | None
    """None: it is not sent."""
    sent: int
    busyness: int
    harakiris: int
    awake: bool
    """It has a process."""

    def named(self) -> Iterator[tuple[str, int]]:
        yield "requests", self.requests
        if self.average is not None:
            yield "avg_rt", self.average
        yield "tx", self.sent
        yield "busyness", self.busyness
        yield "harakiri", self.harakiris


@dataclass(eq=False)
class Report:
    """Makes the text of one push after the other.

    Args:
        root, host, name: what each name begins with; an empty *name* is the first address that is served.
        singly: with the numbers of each worker.
        cheaper: there may be fewer workers than could be, and their number is told.
        idle: the mean time of a worker that has served nothing since the last push: as it was, 0, or none.
    """

    root: str
    host: str
    name: str = ""
    singly: bool = True
    cheaper: bool = False
    idle: Literal["last", "zero", "none"] = "last"
    _since: Seconds | None = None
    _before: dict[int, _Sums] = field(default_factory=dict)

    def begin(self, now: Seconds) -> None:
        """From now on is measured."""
        self._since = now

    def text(self, snapshot: Snapshot, now: Seconds) -> bytes:
        """All that there is to tell. *now* is monotonic."""
        start = _BLANK.sub("_", ".".join((self.root, self.host, self.name or _address(snapshot))))
        when = int(snapshot.now)
        return "".join(f"{start}.{name} {value} {when}\n" for name, value in self._all(snapshot, now)).encode()

    def _all(self, snapshot: Snapshot, now: Seconds) -> Iterator[tuple[str, int]]:
        workers = self._numbers(snapshot, now)
        awake = [one for one in workers.values() if one.awake]
        averages = [one.average for one in awake if one.average is not None]
        yield "requests", sum(one.requests for one in workers.values())
        if self.singly:
            for number, numbers in workers.items():
                for name, value in numbers.named():
                    yield f"worker{number}.{name}", value
        if averages or self.idle != "none":
            yield "avg_rt", sum(averages) // max(len(averages), 1)
        yield "tx", sum(one.sent for one in workers.values())
        yield "busyness", sum(one.busyness for one in awake) // max(len(awake), 1)
        yield "active_workers", len(awake)
        if self.cheaper:
            yield "cheaped_workers", len(workers) - len(awake)
        yield "harakiri", sum(one.harakiris for one in workers.values())

    def _numbers(self, snapshot: Snapshot, now: Seconds) -> dict[int, _Numbers]:
        """By the worker's number."""
        elapsed = 0.0 if self._since is None else now - self._since
        self._since = now
        before, self._before = self._before, {}
        found = {}
        told = document(snapshot, cores=False)["workers"]
        for number, worker, one in zip(_named(snapshot), snapshot.workers, told, strict=True):
            sums = self._before[number] = _Sums(one["requests"], _busy(worker))
            life, last = shown(worker), before.get(number, _Sums())
            found[number] = _Numbers(
                requests=sums.requests,
                average=self._average(one["avg_rt"] if life is not None else 0, served=sums.requests > last.requests),
                sent=one["tx"],
                busyness=_share(sums.busy - last.busy, elapsed, len(life.cores) if life is not None else 0),
                harakiris=one["harakiri_count"],
                awake=life is not None,
            )
        return dict(sorted(found.items()))

    def _average(self, last: int, *, served: bool) -> int | None:
        if served or self.idle == "last":
            return last
        return 0 if self.idle == "zero" else None


def _named(snapshot: Snapshot) -> Iterator[int]:
    """A number for each worker; those that have never lived get what others have left."""
    taken = {one.number for one in snapshot.workers}
    free = (number for number in itertools.count(1) if number not in taken)
    for one in snapshot.workers:
        yield one.number or next(free)


def _busy(worker: Worker) -> int:
    cores = [core for life in worker.lives for core in life.cores]
    running = sum(core.request.elapsed for core in cores if core.request is not None)
    return worker.past.busy + running + sum(core.busy for core in cores)


def _share(busy: int, elapsed: float, threads: int) -> int:
    """Percent of the time of so many threads."""
    whole = elapsed * 1e6 * threads
    return min(max(int(100 * busy / whole), 0), 100) if whole > 0 else 0


def _address(snapshot: Snapshot) -> str:
    """Of the first socket: so uWSGI tells its servers apart."""
    names = [*(one.name for one in snapshot.doors), *(one.name for one in snapshot.sockets)]
    return names[0].rpartition("://")[2].replace(".", "_")
