"""How often a message may leave for one client, where nobody says what has arrived.

Mongrel2 without flow control cuts a client off that has more than 16 messages waiting, without a word to anybody;
bursts count, since it reads all answers that have arrived before it writes to a client. So what waits leaves in
blocks that grow, fewer than it minds; what is larger still leaves no faster than most clients read.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

BURST = 8
INTERVAL = 0.001
"""Seconds for one more message: 200 messages 0.5 ms apart reached a client that reads, 17 at once did not."""

JOIN = 64 * 1024
"""Bytes of small pieces that may wait to leave together; the first block."""

LARGEST_BLOCK = 8 * 1024 * 1024
_GROWTH = 4
_FREE = 15
"""So many messages of an answer Mongrel2 would take although its client reads nothing: if they are full blocks, their
size costs nothing. All others leave at 64 MB/s: what is slower than that cannot be seen, and may be cut off."""


class Pace:
    """A token bucket, full at first: a message takes a token, and each *interval* brings one back.

    ``block`` is the size in bytes of the next message, if so much waits.
    """

    __slots__ = ("_burst", "_clock", "_count", "_interval", "_tokens", "_updated", "block")

    def __init__(self, clock: Callable[[], float], burst: int = BURST, interval: float = INTERVAL) -> None:
        self._clock = clock
        self._burst = burst
        self._interval = interval
        self._tokens = float(burst)
        self._updated = clock()
        self._count = 0
        self.block = JOIN

    def delay(self) -> float:
        """Seconds until a message may leave."""
        now = self._clock()
        self._tokens = min(self._burst, self._tokens + (now - self._updated) / self._interval)
        self._updated = now
        # sums of fractions miss the whole number by a little
        return 0.0 if self._tokens > 0.999 else (1 - self._tokens) * self._interval

    def spend(self, size: int) -> None:
        """A message of *size* bytes leaves."""
        self._count += 1
        self._tokens -= 1.0 if self._count <= _FREE and size >= self.block else max(1.0, size / JOIN)
        if size >= self.block:
            self.block = min(self.block * _GROWTH, LARGEST_BLOCK)
