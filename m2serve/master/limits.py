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

    def __bool__(self) -> bool:
        return bool(self.requests or self.lifetime or self.rss or self.address_space)
