"""How often a message may leave for one client.

Mongrel2 cuts a client off that has more than 16 messages waiting, without a word to anybody; bursts count, since
it reads all answers that have arrived before it writes to a client.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

BURST = 8
INTERVAL = 0.001
"""Seconds for one more message: 200 messages 0.5 ms apart reached a client that reads, 17 at once did not."""


class Pace:
    """A token bucket, full at first: a message takes a token, and each *interval* brings one back."""

    __slots__ = ("_burst", "_clock", "_interval", "_sleep", "_tokens", "_updated")

    def __init__(
        self,
        clock: Callable[[], float],
        sleep: Callable[[float], None],
        burst: int = BURST,
        interval: float = INTERVAL,
    ) -> None:
        self._clock = clock
        self._sleep = sleep
        self._burst = burst
        self._interval = interval
        self._tokens = float(burst)
        self._updated = clock()

    def take(self) -> bool:
        """Take a token if there is one."""
        self._refill()
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True

    def wait(self) -> None:
        """Take a token, waiting for it if need be."""
        self._refill()
        if self._tokens < 1:
            self._sleep((1 - self._tokens) * self._interval)
            self._refill()
        # however short the sleep was: never a second one, time may stand still in a suspended machine
        self._tokens = max(self._tokens - 1, 0.0)

    def _refill(self) -> None:
        now = self._clock()
        self._tokens = min(self._burst, self._tokens + (now - self._updated) / self._interval)
        self._updated = now
