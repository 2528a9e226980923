"""How long a worker may live, how much it may serve, how large it may grow."""

from __future__ import annotations

from dataclasses import dataclass

from m2serve.ids import Seconds

MIB = 1024 * 1024


NEVER = Seconds(0.0)


@dataclass(frozen=True)
class Limits:
    """Zero: no limit. Memory in bytes."""

    requests: int = 0
    requests_delta: int = 0
    lifetime: Seconds = NEVER
    lifetime_delta: Seconds = NEVER
    least_lifetime: Seconds = NEVER
    """No worker is replaced before."""
    rss: int = 0
    address_space: int = 0
    uss: int = 0
    """Memory that nobody else has mapped."""
    pss: int = 0
    """The same, and a share of what others have mapped, too."""
    evil_rss: int = 0
    """Killed at once, whatever it does."""
    evil_address_space: int = 0

    def __bool__(self) -> bool:
        return any((self.requests, self.lifetime, self.rss, self.address_space, self.uss, self.pss, self.is_evil))

    @property
    def is_evil(self) -> bool:
        return bool(self.evil_rss or self.evil_address_space)

    @property
    def of_shares(self) -> bool:
        """Whether it must be known who else has the memory mapped, which is dear to find out."""
        return bool(self.uss or self.pss)
