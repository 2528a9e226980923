"""Drives the answers that cannot leave at once: one thread for all of a worker, none for each.

Pieces that come too fast for Mongrel2, or for their client, wait; whoever made them may have fallen silent, or have
gone on to another request. PEP 3333 wants them sent all the same.
"""

from __future__ import annotations

import heapq
import itertools
import logging
import threading
import time
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable

log = logging.getLogger("m2serve.gateway")


class Holder(Protocol):
    """Something with bytes that wait."""

    def flow(self) -> float | None:
        """Send what may leave now.

        Returns: seconds until it is worth to look again; None: nothing waits.
        """


class Courier:
    """A thread that exists from the first time it is needed, and sleeps when nothing is due.

    Threads: any may call :meth:`later` and :meth:`wake`; ``_due`` and ``_order`` are guarded by ``_changed``.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._changed = threading.Condition()
        self._due: dict[Holder, float] = {}
        self._order: list[tuple[float, int, Holder]] = []
        """A heap; entries that ``_due`` does not confirm are void."""
        self._number = itertools.count().__next__
        self._thread: threading.Thread | None = None

    def later(self, holder: Holder, delay: float) -> None:
        """Call ``holder.flow()`` in *delay* seconds, and again when it says so."""
        with self._changed:
            self._put(holder, self._clock() + delay)
            if self._thread is None:
                # a daemon: the worker waits for what it holds, or is killed
                self._thread = threading.Thread(target=self._run, name="courier", daemon=True)
                self._thread.start()
            self._changed.notify()

    def wake(self, holder: Holder) -> None:
        """Call ``holder.flow()`` now."""
        self.later(holder, 0.0)

    def _put(self, holder: Holder, when: float) -> None:
        known = self._due.get(holder)
        if known is not None and known <= when:
            return
        self._due[holder] = when
        heapq.heappush(self._order, (when, self._number(), holder))

    def _run(self) -> None:
        while True:
            with self._changed:
                while (wait := self._wait()) is None or wait > 0:
                    self._changed.wait(wait)
            self.round()

    def _wait(self) -> float | None:
        """Seconds until somebody is due; None: nobody ever is."""
        order = self._order
        while order and self._due.get(order[0][2]) != order[0][0]:
            heapq.heappop(order)
        return order[0][0] - self._clock() if order else None

    def round(self) -> None:
        """Give everybody who is due one chance."""
        due: list[Holder] = []
        with self._changed:
            while (wait := self._wait()) is not None and wait <= 0:
                holder = heapq.heappop(self._order)[2]
                del self._due[holder]
                due.append(holder)
        for holder in due:
            delay = _flow(holder)
            if delay is not None:
                with self._changed:
                    self._put(holder, self._clock() + delay)


def _flow(holder: Holder) -> float | None:
    try:
        return holder.flow()
    except Exception:
        # one broken connection must not end the thread that all other answers rely on
        log.exception("a waiting piece of an answer could not be sent")
        return None
