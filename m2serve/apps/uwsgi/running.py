"""What the module ``uwsgi`` tells about, and what it acts upon."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from m2serve.apps.cache.cache import Caches
from m2serve.apps.uwsgi.clock import Clock
from m2serve.apps.uwsgi.locks import Locks
from m2serve.apps.uwsgi.mules import Boxes

if TYPE_CHECKING:
    from collections.abc import Callable

    from m2serve.config.settings import Settings


def _nowhere() -> int | None:
    return None


def _say(line: bytes) -> None:
    os.write(2, line)


@dataclass
class Running:
    """The process in which the application is loaded; later, the worker that it has become.

    Args:
        locks_fd: of any file that all processes of the node share.
        master: its pid.
        started: when the node was, in monotonic seconds.
    """

    settings: Settings
    locks_fd: int
    master: int
    started: float
    worker: int = 0
    """0 where the application is loaded before the workers are forked."""
    mule: int = 0
    """In a mule, its number."""
    total: Callable[[], int] = lambda: 0
    """Requests that all workers have served."""
    request: Callable[[], int | None] = _nowhere
    """Number of the request that the calling thread runs; None: it runs none."""
    latest: Callable[[], int | None] = _nowhere
    """The same when that request is over; None: the calling thread is none for requests."""
    logged: Callable[[str], bytes | None] = lambda name: None
    """What the calling thread's latest request has set for its line in the log."""
    say: Callable[[bytes], object] = _say
    """Write a line, with its newline, into the log."""
    raise_alarm: Callable[[str, bytes], None] = lambda name, text: None
    """Tell whom the options name."""
    end_by: Callable[[float], None] = lambda seconds: None
    """Ask for a deadline of the request that the calling thread runs, in seconds from now; 0: for none."""
    caches: Caches = field(default_factory=lambda: Caches((), {}))
    boxes: Boxes = field(default_factory=lambda: Boxes(()))
    locks: Locks = field(init=False)
    clock: Clock = field(init=False)
    in_mule: list[Callable[[], object]] = field(default_factory=list)
    """What decorators want each mule that has loaded the application to call; it may be meant for another one."""
    functions: dict[str, Callable[..., object]] = field(default_factory=dict)
    """What ``@mulefunc`` has collected, by names that are the same in all processes."""
    postfork: list[Callable[[], object]] = field(default_factory=list)
    """What ``@postfork`` has collected."""

    def __post_init__(self) -> None:
        self.locks = Locks(self.locks_fd)
        self.clock = Clock(self.locks)

    @property
    def started_wall(self) -> int:
        """When the node was started, in seconds since the epoch."""
        return int(time.time() - (time.monotonic() - self.started))

    def tell_master(self, number: int) -> None:
        """Send the master a signal."""
        os.kill(self.master, number)
