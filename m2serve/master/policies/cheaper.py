"""How many workers are needed: uWSGI's algorithms, fed by the dispatcher's queue and the scoreboard.

Each is asked once a second, and says how many more it wants, or how many less. It counts in threads: a worker is one
too many when as many threads as it has are free beside it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping

    from m2serve.ids import Seconds
    from m2serve.master.crowd import Crowd


class Seen(NamedTuple):
    """What was seen at one moment."""

    now: Seconds
    workers: int
    """That are wanted."""
    room: int
    """So many more are allowed."""
    loading: int
    """Wanted ones that do not serve yet."""
    threads: int
    """Of one worker."""
    free: int
    """Threads of those that serve, without a request."""
    queued: int
    """Requests that wait for a thread."""
    rss: int = 0
    """Bytes in memory of all together."""
    busy: Mapping[int, Seconds] = {}
    """For each that serves, by a key of its own, the time that its threads have spent on requests."""


class Change(NamedTuple):
    """So many workers more, or less if negative, and why."""

    workers: int
    reason: str = ""


NONE = Change(0)


class Algorithm(Protocol):
    """Remembers what it has seen."""

    def change(self, seen: Seen) -> Change:
        """Asked once a second."""


def decide(crowd: Crowd, algorithm: Algorithm, seen: Seen) -> Change:
    """What the algorithm wants, within what is allowed. While some still load, nobody knows whether more are needed."""
    if crowd.rss_hard and seen.rss >= crowd.rss_hard and seen.workers > 1:
        wanted = Change(-1, f"cheaper-rss-limit-hard, {seen.rss} bytes")
    else:
        wanted = algorithm.change(seen)
        if wanted.workers > 0 and (seen.loading or (crowd.rss_soft and seen.rss >= crowd.rss_soft)):
            return NONE
    workers = crowd.within(seen.workers + wanted.workers) - seen.workers
    return Change(workers, wanted.reason) if workers else NONE


class Manual:
    """Leaves it to the operator."""

    def change(self, seen: Seen) -> Change:
        return NONE


@dataclass
class Spare:
    """Wants a free thread always, and not more than a worker without work."""

    overload: int
    step: int
    _crowded: int = 0
    _idle: int = 0

    def change(self, seen: Seen) -> Change:
        if seen.free <= 0:
            self._idle = 0
            self._crowded += 1
            if self._crowded > self.overload:
                self._crowded = 0
                return Change(self.step, f"spare: no thread was free for {self.overload} s")
            return NONE
        self._crowded = max(self._crowded - 1, 0)
        if self._crowded or seen.free < 2 * seen.threads:
            self._idle = 0
            return NONE
        self._idle += 1
        if self._idle < self.overload:
            return NONE
        self._idle = 0
        return Change(-1, f"spare: {seen.free} threads are free")


@dataclass
class Spare2:
    """Wants so many workers without work, always."""

    least: int
    step: int
    idle: Seconds
    _since: Seconds | None = None

    def change(self, seen: Seen) -> Change:
        idle = max(seen.free, 0) // seen.threads
        if idle <= self.least:
            self._since = None
        if idle < self.least:
            return Change(min(self.step, self.least - idle), f"spare2: {idle} workers are idle")
        if idle > self.least:
            if self._since is None:
                self._since = seen.now
            if seen.now - self._since >= self.idle:
                self._since = seen.now
                return Change(-1, f"spare2: {idle} workers are idle")
        return NONE


@dataclass
class Backlog:
    """Wants a short queue. A worker leaves only if a thread stays free without it, or the queue would be back soon."""

    overload: int
    step: int

    def change(self, seen: Seen) -> Change:
        if seen.queued > self.overload:
            return Change(self.step, f"backlog: {seen.queued} requests wait")
        if seen.queued < self.overload and seen.free > seen.threads:
            return Change(-1, f"backlog: {seen.queued} requests wait")
        return NONE
