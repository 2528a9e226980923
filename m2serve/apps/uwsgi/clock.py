"""Runs the handlers of timers, crons and signals, in a thread beside those of the requests."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from m2serve.apps.uwsgi.locks import CLOCK
from m2serve.apps.uwsgi.times import Cron

if TYPE_CHECKING:
    from collections.abc import Callable

    from m2serve.apps.uwsgi.locks import Locks
    from m2serve.apps.uwsgi.times import Every

log = logging.getLogger("m2serve.worker")


@dataclass(eq=False)
class Entry:
    """Something that comes again and again."""

    times: Every | Cron
    call: Callable[[], object]
    everywhere: Callable[[], bool]
    """In each worker; else in one of them. Asked when it is due, for its handler may change."""
    left: int = 0
    """So many times more; 0: no end."""
    due: float = field(default=0.0)


class Clock:
    """One thread, from the moment there is something for it to do. Handlers run in it one after the other.

    In each moment one worker of the node minds the timers that concern one worker only: the first one that comes to a
    due one while nobody does, until it ends. The kernel then gives the lock free, however it ends.

    Threads: any; ``_changed`` guards everything.
    """

    def __init__(
        self,
        locks: Locks,
        now: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._locks = locks
        self._now = now
        self._wall = wall
        self._changed = threading.Condition()
        self._entries: list[Entry] = []
        self._calls: deque[Callable[[], object]] = deque()
        self._thread: threading.Thread | None = None
        self._running = False
        self._stopped = False
        self._leads = False

    def start(self) -> None:
        """From now on it may run: in a worker, when the application has been loaded."""
        with self._changed:
            self._running = True
            for entry in self._entries:
                entry.due = entry.times.after(self._now(), self._wall())
            self._wake()

    def add(self, entry: Entry) -> None:
        """Have something done at its times."""
        with self._changed:
            entry.due = entry.times.after(self._now(), self._wall())
            self._entries.append(entry)
            self._wake()

    def call(self, handler: Callable[[], object]) -> None:
        """Have something done soon."""
        with self._changed:
            self._calls.append(handler)
            self._wake()

    def stop(self) -> None:
        """Begin nothing more; returns when the handler that runs, if one does, is done."""
        with self._changed:
            self._stopped = True
            thread = self._thread
            self._changed.notify()
        if thread is not None and thread is not threading.current_thread():
            thread.join()

    # --- inside -----------------------------------------------------------------------

    def _wake(self) -> None:
        if self._running and self._thread is None and (self._entries or self._calls):
            # a daemon: the worker's end waits for what runs, and not for what is to come
            self._thread = threading.Thread(target=self._run, name="uwsgi-clock", daemon=True)
            self._thread.start()
        self._changed.notify()

    def _run(self) -> None:
        while True:
            with self._changed:
                while not self._stopped and not (ready := self._ready()):
                    dues = [entry.due for entry in self._entries]
                    self._changed.wait(max(min(dues) - self._now(), 0.0) if dues else None)
                if self._stopped:
                    return
            for handler in ready:
                self._perform(handler)

    def _ready(self) -> list[Callable[[], object]]:
        """What is to be done now."""
        found = list(self._calls)
        self._calls.clear()
        now, wall = self._now(), self._wall()
        for entry in list(self._entries):
            if entry.due > now:
                continue
            entry.due = entry.times.after(now, wall)
            if isinstance(entry.times, Cron) and not entry.times.matches(wall):
                continue
            if entry.everywhere() or self._is_leader():
                found.append(entry.call)
                entry.left -= 1
                if entry.left == 0:
                    self._entries.remove(entry)
        return found

    def _is_leader(self) -> bool:
        self._leads = self._leads or self._locks.acquire(CLOCK, wait=False)
        return self._leads

    @staticmethod
    def _perform(handler: Callable[[], object]) -> None:
        try:
            handler()
        except BaseException:
            # the application's, whatever it raises: the next one is due all the same
            log.exception("handler of a signal failed")
