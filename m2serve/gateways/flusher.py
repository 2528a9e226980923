"""Sends on, a moment later, what had to wait for its turn.

Pieces of a streamed answer that come too fast for Mongrel2 are held and joined. If the application then falls
silent, nobody in its thread would send them: PEP 3333 forbids to keep them until it speaks again.
"""

from __future__ import annotations

import logging
import threading
import time
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable

log = logging.getLogger("m2serve.gateway")

DELAY = 0.002
"""Seconds between two rounds: a token or two of the pace."""


class Holder(Protocol):
    """Something with pieces that wait."""

    def flush(self) -> bool:
        """Send what waits, if it may leave now.

        Returns: whether something still waits.
        """


class Flusher:
    """A thread that exists from the first time it is needed, and sleeps when nothing waits.

    Threads: any may call :meth:`later`; ``_waiting`` is guarded by ``_changed``.
    """

    def __init__(self, sleep: Callable[[float], None] = time.sleep) -> None:
        self._sleep = sleep
        self._changed = threading.Condition()
        self._waiting: list[Holder] = []
        self._thread: threading.Thread | None = None

    def later(self, holder: Holder) -> None:
        """Call ``holder.flush()`` from now on, until nothing waits there."""
        with self._changed:
            self._waiting.append(holder)
            if self._thread is None:
                # a daemon: what it holds belongs to requests that are still running
                self._thread = threading.Thread(target=self._run, name="flusher", daemon=True)
                self._thread.start()
            self._changed.notify()

    def _run(self) -> None:
        while True:
            with self._changed:
                while not self._waiting:
                    self._changed.wait()
            self._sleep(DELAY)
            self.round()

    def round(self) -> None:
        """Give everybody who waits one chance."""
        with self._changed:
            holders, self._waiting = self._waiting, []
        still = [holder for holder in holders if _flush(holder)]
        if still:
            with self._changed:
                self._waiting.extend(still)


def _flush(holder: Holder) -> bool:
    try:
        return holder.flush()
    except Exception:
        # one broken connection must not end the thread that all other answers rely on
        log.exception("a held piece of an answer could not be sent")
        return False
