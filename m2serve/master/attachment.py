"""What the master's loop looks after beside its children: descriptors, and things to do at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from m2serve.ids import Seconds


class Attachment:
    """Nothing here may wait: the whole server does."""

    def polled(self) -> Mapping[int, int]:
        """Descriptors to wait for, each with its ``select.POLL...`` events."""
        return {}

    def ready(self, fd: int, now: Seconds) -> None:
        """One of them has something."""

    def turn(self, now: Seconds) -> bool:
        """Called in each turn of the loop, after the policies; True if they must decide again before any sleep."""
        return False

    def abandon(self) -> None:
        """In a forked child: let go of descriptors, whose numbers will be others'."""

    def due(self, now: Seconds) -> Seconds | None:
        """When `turn` wants to be called though nothing happens."""
        return None
