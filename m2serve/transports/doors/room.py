"""All doors of one worker: who accepts and reads, and who runs what was read.

There is one *leader* at a time. It waits for all connections at once, accepts, reads, and writes what clients had no
room for. Usually it is a request thread that has nothing to do; when it has read a request it stops leading, and runs
that request itself: a quick application is served by one thread, without a switch between two. Who leads next?

* The next thread that has nothing to do.
* Where requests are slow, a sleeping thread, woken by whoever takes a request.
* Where they were quick so far, and one is not: the *deputy*, a thread of its own, sees after 5 ms that nobody leads.
  (It waits on to 10 ms if who led last computes, or waits for a processor: a second thread would not make it faster.)
  It wakes a sleeping thread; if there is none it leads itself until there is one. Then it is not woken for connections,
  for another worker may have threads: what it does is read on, and write on, so that no slow client needs a thread.
  Only what nobody has accepted for a while it takes after all: else those who come anew would wait for as long as
  those who stay have something to say.
"""

from __future__ import annotations

import logging
import os
import select
import threading
import time
from typing import TYPE_CHECKING, Final

from m2serve.transports.doors.guests import BREATH, LOOK, Guests
from m2serve.transports.doors.reception import STOOP, Reception

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable

    from m2serve.door import Door
    from m2serve.transports.dispatched import MailRoom
    from m2serve.transports.doors.connection import Connection
    from m2serve.transports.doors.guests import Policy
    from m2serve.wire.door import CodecFactory

log = logging.getLogger("m2serve.door")

TICK: Final = 0.005
"""Seconds until the deputy looks again."""
_FORBEARANCE: Final = 1
"""Ticks more for a thread that computes."""
_QUICK: Final = 0.001
"""Seconds of a request on average, up to which whoever runs one will soon be back."""
_EVENTS: Final = 16
_FAREWELL_LOOK: Final = 0.1
"""Seconds between two looks at the deadlines, while the worker leaves."""


class DoorRoom:
    """See above. Who is let in is decided by the :class:`Reception`; those who are in are the :class:`Guests`.

    Threads: ``_mutex`` guards the sleepers; ``_lead`` is held by the leader, and guards the poll.

    Args:
        visitors: connections of each worker, and one more while it accepts; ours is the word at *mine*.
        refused: one word, which counts the requests that are answered in place of a thread, or not at all.
        mail: of the same threads; None: there is no Mongrel2.
    """

    def __init__(
        self, policy: Policy, visitors: memoryview, mine: int, refused: memoryview, mail: MailRoom | None = None
    ) -> None:
        self._epoll = select.epoll()
        self.guests = Guests(policy, self._epoll, visitors[mine : mine + 1], refused)
        self.reception = Reception(self.guests, self._epoll, visitors, mine)
        self._mail = mail
        if mail is not None:
            self._epoll.register(mail.bell_read, select.EPOLLIN)
        self._mutex = threading.Lock()
        self._lead = threading.Lock()
        self._turns = 0
        self._latest = 0
        """Who led last."""
        self._sleepers: list[threading.Lock] = []
        self._aside = False
        """The deputy leads."""
        self._stir = threading.Lock()
        self._stir.acquire()
        self._resting = True
        self._pace = 0.0
        self._over = False

    def add(self, door: Door, codec: CodecFactory, context: Callable[[], ssl.SSLContext] | None = None) -> None:
        """Accept at that door, too; see :meth:`Reception.add`."""
        self.reception.add(door, codec, context)

    def start(self) -> None:
        """Begin, in the worker that serves."""
        threading.Thread(target=self._deputize, name="deputy", daemon=True).start()

    # -- request threads -------------------------------------------------------------------------------------------

    def take(self) -> Connection | None:
        """The next request that has been read."""
        guests = self.guests
        if guests.paused:
            return None
        try:
            conn = guests.ready.popleft()
        except IndexError:
            return None
        if self._pace > _QUICK and (guests.ready or not self._lead.locked()):
            self._wake(1)
        return conn

    def took(self, seconds: float) -> None:
        """A request has taken its thread so long."""
        self._pace += (seconds - self._pace) / 16

    @property
    def over(self) -> bool:
        """Nothing will come any more, and nothing is left."""
        return self._over

    def wait(self, pillow: threading.Lock, thread: int) -> None:
        """Lead, or sleep, until there may be something to do.

        Args:
            pillow: the thread's own lock, which it holds.
            thread: the kernel's number of it.
        """
        if self._lead.acquire(blocking=False):
            try:
                self._turns += 1
                self._latest = thread
                if not self._has_requests:
                    self._turn(accepting=True)
            finally:
                self._lead.release()
            if self._resting:
                self._resting = False
                try:
                    self._stir.release()
                except RuntimeError:
                    pass  # another one has
            return
        with self._mutex:
            self._sleepers.append(pillow)
        # whoever ends what we wait for does so first, and looks for sleepers then; we did the reverse
        if (
            self._has_requests
            or self._over
            or not self._lead.locked()
            or (self._mail is not None and self._mail.has_mail())
        ):
            with self._mutex:
                if pillow in self._sleepers:
                    self._sleepers.remove(pillow)
                    return
        elif self._aside:
            self.guests.look_up()
        pillow.acquire()

    @property
    def _has_requests(self) -> bool:
        return bool(self.guests.ready) and not self.guests.paused

    def pause(self, paused: bool) -> None:
        """Begin no request, and accept nobody; or go on. Any thread."""
        self.guests.paused = paused
        self.guests.look_up()

    def _wake(self, count: int) -> int:
        """Wake threads that sleep; gives how many that were."""
        with self._mutex:
            woken = [self._sleepers.pop() for _ in range(min(count, len(self._sleepers)))]
        for pillow in woken:
            pillow.release()
        return len(woken)

    # -- the leader ------------------------------------------------------------------------------------------------

    def _turn(self, *, accepting: bool) -> None:
        """Wait for what happens, and see to it."""
        guests, reception = self.guests, self.reception
        if accepting is not reception.open or reception.shut_until or guests.paused:
            reception.set_open(accepting)
        if reception.eager is not None and reception.open:
            if reception.accept_eagerly(reception.eager):
                return
        timeout = LOOK if guests.by_fd else -1
        if guests.draining or reception.shut_until:
            timeout = _FAREWELL_LOOK if guests.draining else max(0.0, reception.shut_until - time.monotonic())
        elif not accepting:
            timeout = STOOP
            reception.stoop(self._turns)
        if guests.due and (timeout < 0 or timeout > BREATH):
            timeout = BREATH
        for fd, mask in self._epoll.poll(timeout, _EVENTS):
            conn = guests.by_fd.get(fd)
            if conn is not None:
                guests.look_after(conn, mask)
            elif fd in reception.entrances:
                entrance = reception.entrances[fd]
                if reception.accept(entrance) and guests.ready and not entrance.door.keepalive:
                    reception.eager = entrance
            elif fd == guests.poke:
                os.eventfd_read(guests.poke)
            elif self._mail is not None and fd == self._mail.bell_read:
                # Not any other: that of a connection which a thread has closed meanwhile would have us wait for a bell.
                rings = len(os.read(self._mail.bell_read, 64))
                if rings > 1 or not accepting:
                    self._wake(rings if not accepting else rings - 1)
        now = time.monotonic()
        if guests.due or now >= guests.look_at:
            guests.see_to_ends(now)
        if guests.draining and not self._over:
            reception.leave()
            if guests.leave(now):
                self._end()

    # -- the deputy ------------------------------------------------------------------------------------------------

    def _deputize(self) -> None:
        while not self._over:
            self._resting = True
            if self._lead.locked() and not self._has_requests:
                self._stir.acquire()
            elif self._resting:
                self._resting = False
            else:
                self._stir.acquire()
            try:
                self._attend()
            except Exception:
                log.exception("deputy: unexpected")

    def _attend(self) -> None:
        """Look after the connections while threads are at work; back when one of them leads and nothing waits."""
        ticks = 0
        while not self._over:
            turns = self._turns
            time.sleep(TICK)
            if self._lead.locked() and not self._has_requests:
                if self._turns == turns:
                    return
                continue
            ticks = ticks + 1 if self._turns == turns else 0
            if not ticks or (ticks <= _FORBEARANCE and computes(self._latest)):
                continue
            ticks = 0
            if not self._wake(max(1, len(self.guests.ready))) and self._lead.acquire(blocking=False):
                self._lead_aside()

    def _lead_aside(self) -> None:
        """All threads are at work."""
        self._aside = True
        try:
            while not self._over:
                self._turn(accepting=False)
                if self._sleepers:
                    break
        finally:
            self._aside = False
            self._lead.release()
            self._wake(max(1, len(self.guests.ready)))

    # -- the end ---------------------------------------------------------------------------------------------------

    def stop(self, *, final: bool = False) -> None:
        """Accept nothing more; end when all connections have. Any thread, once.

        Args: final: no other worker will serve those who wait to be accepted.
        """
        self.reception.begin_to_leave(final=final)
        self.guests.begin_to_leave()

    def _end(self) -> None:
        self._over = True
        self.reception.close()
        self._wake(len(self._sleepers))


def computes(thread: int) -> bool:
    """Whether a thread of this process runs, or waits for nothing but a processor."""
    try:
        with open(f"/proc/self/task/{thread}/stat", "rb") as file:
            return file.read(512).rpartition(b") ")[2].startswith(b"R")
    except OSError:
        return False
