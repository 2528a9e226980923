"""Tests that need the machine for themselves wait until every other process of the run has finished its test."""

from __future__ import annotations

import contextlib
import fcntl
import os
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_HERE = Path(__file__).parent


class Room:
    """Tests that run side by side share the lock on one directory; whoever wants to be alone has it exclusively.

    The lock on the other is the door: who waits to be alone holds it, so that nobody goes in meanwhile.
    """

    def __init__(self) -> None:
        self._room, self._door = (os.open(path, os.O_RDONLY) for path in (_HERE, _HERE.parent))

    @contextlib.contextmanager
    def held(self, *, alone: bool) -> Iterator[None]:
        fcntl.flock(self._door, fcntl.LOCK_EX)
        try:
            fcntl.flock(self._room, fcntl.LOCK_EX if alone else fcntl.LOCK_SH)
        finally:
            fcntl.flock(self._door, fcntl.LOCK_UN)
        try:
            yield
        finally:
            fcntl.flock(self._room, fcntl.LOCK_UN)
