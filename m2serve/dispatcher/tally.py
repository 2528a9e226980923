"""What the dispatcher tells of itself in the ledger: counters that outlive it, and how long requests wait."""

from __future__ import annotations

import math
from bisect import bisect_left
from typing import TYPE_CHECKING, Final

from m2serve.observe.snapshot import QUEUE_BOUNDS
from m2serve.transports import ledger

if TYPE_CHECKING:
    from m2serve.dispatcher.routing import Router

_EVERY: Final = 0.25
_MEMORY: Final = 5.0
"""Seconds after which a queue time counts for a third in the mean."""

_OF_STATUS: Final = {
    400: ledger.ANSWERED_400,
    413: ledger.ANSWERED_413,
    502: ledger.ANSWERED_502,
    503: ledger.ANSWERED_503,
    504: ledger.ANSWERED_504,
}


class Counts:
    """Writes the counting words of the ledger; nobody else does."""

    def __init__(self, words: memoryview) -> None:
        self._words = words

    def answered(self, status: int) -> None:
        """We have answered a request ourselves."""
        self._words[_OF_STATUS.get(status, ledger.ANSWERED_OTHER)] += 1

    def garbage(self) -> None:
        """A message was no request."""
        self._words[ledger.GARBAGE] += 1

    def disconnected(self) -> None:
        """A client has left."""
        self._words[ledger.DISCONNECTS] += 1


class Tally:
    """Writes the words that tell of the queues; nobody else does."""

    def __init__(self, words: memoryview, router: Router) -> None:
        self._words = words
        self._router = router
        self._then = 0.0
        self._handed = router.given
        self._waited = 0.0

    def tick(self, now: float) -> None:
        """Four times a second: the length of the queues, and the mean time in them."""
        elapsed = now - self._then
        if elapsed < _EVERY:
            return
        self._then = now
        router, words = self._router, self._words
        words[ledger.WAITING] = router.waiting
        words[ledger.PARKED] = len(router.parked)
        words[ledger.RUNNING] = router.running
        words[ledger.DRAINING] = router.draining
        oldest = 0.0
        for intake in router.intakes:
            intake.words[ledger.QUEUED], arrived = router.queued(intake)
            age = 0.0 if arrived is None else max(now - arrived, 0.0)
            intake.words[ledger.OLDEST] = 0 if arrived is None else int(arrived * 1e9)
            oldest = max(oldest, age)
        handed, self._handed = router.given - self._handed, router.given
        waited, self._waited = router.waited - self._waited, router.waited
        words[ledger.HANDED] += handed
        words[ledger.WAITED] += int(waited * 1e9)
        if handed:
            # One by one they are not told of; a quarter of a second's are alike enough.
            words[ledger.WAITS + bisect_left(QUEUE_BOUNDS, waited / handed)] += handed
        # Where nothing is handed out, those at the head of the queue tell how long it takes.
        wait = waited / handed if handed else oldest
        mean = words[ledger.QUEUE_TIME]
        words[ledger.QUEUE_TIME] = int(mean + (wait * 1e9 - mean) * -math.expm1(-elapsed / _MEMORY))
