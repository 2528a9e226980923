"""How many workers there may be, and how many are wanted."""

from __future__ import annotations

from dataclasses import dataclass

from m2serve.ids import Seconds

NEVER = Seconds(0.0)


@dataclass(frozen=True)
class Crowd:
    """The bounds, as the options set them.

    Args: least: without cheaper as many as `most`.
    """

    most: int = 1
    least: int = 1
    initial: int = 1
    rss_soft: int = 0
    """Bytes that all workers together may have before no more are started; 0: no limit."""
    rss_hard: int = 0
    idle: Seconds = NEVER
    """All leave after so long without a request."""
    bare: int = 1
    """Fewer would leave a socket without a worker."""

    @property
    def adaptive(self) -> bool:
        """Whether somebody decides beside the operator."""
        return self.least < self.most

    @property
    def measured(self) -> bool:
        """Whether the memory of workers must be known."""
        return bool(self.rss_soft or self.rss_hard)

    def within(self, wanted: int, *, by_hand: bool = False) -> int:
        """The nearest number that is allowed; an operator may go down to `bare` where nobody else decides."""
        least = self.bare if by_hand and not self.adaptive else self.least
        return max(least, min(wanted, self.most))
