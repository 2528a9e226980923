"""How many workers are needed, by the time that their threads are busy."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from m2serve.master.policies.cheaper import NONE, Change

if TYPE_CHECKING:
    from collections.abc import Mapping

    from m2serve.ids import Seconds
    from m2serve.master.policies.cheaper import Seen


@dataclass(frozen=True)
class Options:
    """Percent, windows, requests, workers, seconds."""

    window: Seconds
    step: int
    most: int
    least: int
    multiplier: int
    penalty: int
    alert: int
    alert_multiplier: int
    alert_step: int
    nonzero: Seconds


@dataclass
class Busyness:
    """Wants the mean share of time that threads are busy, over a window, between two bounds.

    A worker leaves when that was low for *multiplier* windows; the multiplier grows by the penalty whenever a worker
    is missed soon after another has left. A long queue is answered at once, with workers that leave sooner again.
    """

    options: Options
    verbose: bool = False
    _measured: str = ""
    _multiplier: int = 0
    _checked: Seconds | None = None
    _before: Mapping[int, Seconds] = field(default_factory=dict)
    _next_leave: float = 0.0
    _last_left: float = float("-inf")
    _left_last: bool = False
    _in_between: int = 0
    _extra: int = 0
    """Workers started for a long queue."""
    _queued_since: Seconds | None = None

    def change(self, seen: Seen) -> Change:
        if self._checked is None:
            self._multiplier = self.options.multiplier
            self._begin_window(seen)
            self._put_off(seen.now)
            return NONE
        if not seen.queued:
            self._queued_since = None
        elif self._queued_since is None:
            self._queued_since = seen.now
        elapsed = seen.now - self._checked
        if elapsed < self.options.window:
            return self._alert(seen)
        share = self._share(seen, elapsed)
        self._measured = f"{share:.0f} % of the time of {len(seen.busy)} workers in {elapsed:.0f} s"
        self._begin_window(seen)
        if share > self.options.most:
            return self._more(seen, share)
        return self._alert(seen) if self._alarming(seen) else self._less(seen, share)

    def say(self) -> str:
        """What was measured last, if that is wanted; once."""
        said, self._measured = self._measured, ""
        return said if self.verbose else ""

    def _begin_window(self, seen: Seen) -> None:
        self._checked, self._before = seen.now, dict(seen.busy)

    def _share(self, seen: Seen, elapsed: float) -> float:
        """In percent. Of a worker that came within the window only its own time counts, as less than all of it."""
        shares = [
            min(max(busy - self._before.get(key, 0.0), 0.0) / (elapsed * seen.threads), 1.0)
            for key, busy in seen.busy.items()
        ]
        return 100 * sum(shares) / len(shares) if shares else 0.0

    def _put_off(self, now: Seconds) -> None:
        windows = self.options.alert_multiplier if self._extra else self._multiplier
        self._next_leave = now + windows * self.options.window

    def _relax(self) -> None:
        self._multiplier = max(self._multiplier - 1, self.options.multiplier)

    def _more(self, seen: Seen, share: float) -> Change:
        self._in_between = 0
        if not seen.room or seen.loading:
            return NONE
        self._left_last = False
        if seen.now - self._last_left <= self._multiplier * self.options.window:
            self._multiplier += self.options.penalty
        else:
            self._relax()
        self._put_off(seen.now)
        return Change(self.options.step, f"busyness: {share:.0f} % of the threads' time")

    def _alarming(self, seen: Seen) -> bool:
        waits = self._queued_since is not None and seen.now - self._queued_since >= self.options.nonzero
        return bool(seen.room and not seen.loading and (seen.queued > self.options.alert or waits))

    def _alert(self, seen: Seen) -> Change:
        if not self._alarming(seen):
            return NONE
        self._queued_since = None
        self._multiplier = self.options.multiplier
        self._left_last = False
        workers = min(self.options.alert_step, seen.room)
        self._extra += workers
        self._put_off(seen.now)
        return Change(workers, f"busyness: {seen.queued} requests wait")

    def _less(self, seen: Seen, share: float) -> Change:
        if share >= self.options.least:
            self._extra = max(self._extra - 1, 0)
            self._in_between += 1
            # Once or twice may be a spike: that window does not count. After that the quiet begins anew.
            if self._in_between >= 3:
                self._put_off(seen.now)
            else:
                self._next_leave += self.options.window
            return NONE
        self._in_between = 0
        if seen.workers <= 1 or seen.now < self._next_leave:
            return NONE
        if self._left_last:
            self._relax()
        self._put_off(seen.now)
        self._last_left, self._left_last = seen.now, True
        self._extra = max(self._extra - 1, 0)
        return Change(-1, f"busyness: {share:.0f} % of the threads' time")
