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

import errno
import logging
import os
import select
import socket
import threading
import time
from collections import deque
from typing import TYPE_CHECKING, Final, NamedTuple, cast

from m2serve.transports.doors.connection import Connection, State
from m2serve.transports.doors.pipe import PlainPipe, TlsPipe
from m2serve.transports.doors.wheel import Wheel
from m2serve.wire.door import Peer

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable

    from m2serve.config.postlimits import PostLimits
    from m2serve.door import Door
    from m2serve.transports.dispatched import MailRoom
    from m2serve.transports.doors.pipe import Pipe
    from m2serve.wire.door import CodecFactory

log = logging.getLogger("m2serve.door")

_now = time.monotonic

TICK: Final = 0.005
"""Seconds until the deputy looks again."""
_FORBEARANCE: Final = 1
"""Ticks more for a thread that computes."""
_QUICK: Final = 0.001
"""Seconds of a request on average, up to which whoever runs one will soon be back."""
_ZEAL: Final = 8
"""Clients that are looked for at a door before the poll is asked again."""
_STOOP: Final = 0.01
"""Seconds between two looks for connections that no worker has accepted, where all threads are at work."""
_EVENTS: Final = 16
_AT_A_TURN: Final = 2
_BREATH: Final = 0.002
"""So many connections whose time is over are ended, and seconds until the next so many: those that came together end
together, and others have something to ask meanwhile."""
_LOOK: Final = 1.0
"""Seconds between two looks at the deadlines."""
_FAREWELL_LOOK: Final = 0.1
"""The same, while the worker leaves."""
_IN: Final = select.EPOLLIN | select.EPOLLRDHUP | select.EPOLLET
_BROKEN: Final = select.EPOLLHUP | select.EPOLLERR
_READABLE: Final = select.EPOLLIN | select.EPOLLRDHUP | _BROKEN
_WRITABLE: Final = select.EPOLLOUT | _BROKEN
_LAST_GUESTS: Final = 1024
_COURTESY: Final = 0.002
"""Seconds that a connection is left to workers that have fewer."""
_NO_DESCRIPTORS: Final = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)


class Policy(NamedTuple):
    """What holds at every door."""

    limits: PostLimits
    """How large bodies may be."""
    memory: int = 64 * 1024
    """Bytes of a body that are kept in memory (post-buffering)."""
    patience: float = 60.0
    """Seconds in which a client must read something of what waits for it (send-timeout)."""
    connections: int = 10_000
    """At a time; beyond it those go that have said nothing for longest."""


class _Entrance(NamedTuple):
    door: Door
    sock: socket.socket
    codec: CodecFactory
    context: Callable[[], ssl.SSLContext] | None
    sender: bytes


class DoorRoom:
    """See above.

    Threads: ``mutex`` guards ``held`` and ``pending`` of the connections, the wheel and the sleepers; ``_lead`` is held
    by the leader, and guards the poll; ``_queue`` has atomic operations.

    Args:
        visitors: connections of each worker, and one more while it accepts; ours is the word at *mine*.
        refused: one word, which counts the requests that are answered in place of a thread, or not at all.
        mail: of the same threads; None: there is no Mongrel2.
    """

    def __init__(
        self, policy: Policy, visitors: memoryview, mine: int, refused: memoryview, mail: MailRoom | None = None
    ) -> None:
        self.policy = policy
        self.mutex = threading.Lock()
        self.wheel = Wheel()
        self.draining = False
        self.paused = False
        self._last_call = False
        """Who waits at the doors is still let in: nobody else will."""
        self._refused = refused
        self._visitors = visitors
        self._mine = mine
        self._mail = mail
        self._entrances: dict[int, _Entrance] = {}
        self._conns: dict[int, Connection] = {}
        self._number = 0
        self._queue: deque[Connection] = deque()
        self._epoll = select.epoll()
        self._poke = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._epoll.register(self._poke, select.EPOLLIN)
        if mail is not None:
            self._epoll.register(mail.bell_read, select.EPOLLIN)
        self._look_at = _now() + _LOOK
        self._due: deque[Connection] = deque()
        """Connections to be ended; they are the leader's."""
        self._end_at = 0.0
        self._open = False
        """The listening sockets are polled."""
        self._waiting = select.poll()
        """Of the listening sockets, those where somebody waits."""
        self._stoop_at = 0.0
        self._seen: set[int] = set()
        """Those where somebody waited when we last looked; and in which turn of the threads that was."""
        self._seen_in = 0
        self._shut_until = 0.0
        """Nothing is accepted before: others have fewer connections, or there are no descriptors."""
        self._patient = True
        self._eager: _Entrance | None = None
        """Where the last client brought its request along."""
        self._zeal = 0
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
        self._told_at, self._untold = 0.0, 0

    def add(self, door: Door, codec: CodecFactory, context: Callable[[], ssl.SSLContext] | None = None) -> None:
        """Accept at that door, too. Args: context: of TLS, asked for each connection."""
        sock = socket.socket(door.family, socket.SOCK_STREAM, fileno=door.fd)
        sock.setblocking(False)
        self._waiting.register(sock.fileno(), select.POLLIN)
        self._entrances[sock.fileno()] = _Entrance(door, sock, codec, context, door.protocol.encode("ascii"))

    def start(self) -> None:
        """Begin, in the worker that serves."""
        threading.Thread(target=self._deputize, name="deputy", daemon=True).start()

    # -- request threads -------------------------------------------------------------------------------------------

    def take(self) -> Connection | None:
        """The next request that has been read."""
        if self.paused:
            return None
        try:
            conn = self._queue.popleft()
        except IndexError:
            return None
        if self._pace > _QUICK and (self._queue or not self._lead.locked()):
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
        with self.mutex:
            self._sleepers.append(pillow)
        # whoever ends what we wait for does so first, and looks for sleepers then; we did the reverse
        if (
            self._has_requests
            or self._over
            or not self._lead.locked()
            or (self._mail is not None and self._mail.has_mail())
        ):
            with self.mutex:
                if pillow in self._sleepers:
                    self._sleepers.remove(pillow)
                    return
        elif self._aside:
            self._stop_waiting()
        pillow.acquire()

    @property
    def _has_requests(self) -> bool:
        return bool(self._queue) and not self.paused

    def pause(self, paused: bool) -> None:
        """Begin no request, and accept nobody; or go on. Any thread."""
        self.paused = paused
        self._stop_waiting()

    def _wake(self, count: int) -> int:
        """Wake threads that sleep; gives how many that were."""
        with self.mutex:
            woken = [self._sleepers.pop() for _ in range(min(count, len(self._sleepers)))]
        for pillow in woken:
            pillow.release()
        return len(woken)

    def _stop_waiting(self) -> None:
        """Have whoever leads look up."""
        os.eventfd_write(self._poke, 1)

    # -- the leader ------------------------------------------------------------------------------------------------

    def _turn(self, *, accepting: bool) -> None:
        """Wait for what happens, and see to it."""
        if accepting is not self._open or self._shut_until or self.paused:
            self._set_open(accepting)
        if self._eager is not None and self._open:
            if self._accept_eagerly(self._eager):
                return
        timeout = _LOOK if self._conns else -1
        if self.draining or self._shut_until:
            timeout = _FAREWELL_LOOK if self.draining else max(0.0, self._shut_until - _now())
        elif not accepting:
            timeout = _STOOP
            if _now() >= self._stoop_at:
                self._take_in()
        if self._due and (timeout < 0 or timeout > _BREATH):
            timeout = _BREATH
        for fd, mask in self._epoll.poll(timeout, _EVENTS):
            conn = self._conns.get(fd)
            if conn is not None:
                self._look_after(conn, mask)
            elif fd in self._entrances:
                entrance = self._entrances[fd]
                if self._accept(entrance) and self._queue and not entrance.door.keepalive:
                    self._eager, self._zeal = entrance, _ZEAL
            elif fd == self._poke:
                os.eventfd_read(self._poke)
            elif self._mail is not None and fd == self._mail.bell_read:
                # Not any other: that of a connection which a thread has closed meanwhile would have us wait for a bell.
                rings = len(os.read(self._mail.bell_read, 64))
                if rings > 1 or not accepting:
                    self._wake(rings if not accepting else rings - 1)
        now = _now()
        if now >= self._look_at:
            self._look_at = now + _LOOK
            self._expire(now)
        if self._due and now >= self._end_at:
            self._end_at = now + _BREATH
            for _ in range(min(_AT_A_TURN, len(self._due))):
                self._due.popleft().expire()
        if self.draining and not self._over:
            self._drain(now)

    def _set_open(self, accepting: bool) -> None:
        if self._shut_until and _now() >= self._shut_until:
            self._shut_until = 0.0
        wanted = accepting and not self.draining and not self.paused and not self._shut_until
        if wanted is self._open:
            return
        self._open = wanted
        self._visitors[self._mine] = len(self._conns) + 1 if wanted or not self.draining else 0
        for fd in self._entrances:
            if wanted:
                # Exclusive: the kernel wakes one worker for a connection, of those that wait. That one accepts it at
                # once, or comes back to it after a moment.
                self._epoll.register(fd, select.EPOLLIN | select.EPOLLEXCLUSIVE)
            else:
                self._epoll.unregister(fd)

    def _accept_eagerly(self, entrance: _Entrance) -> bool:
        """Where a client has just brought its request along, and is done, another one may be there: that is quicker to
        see than to be told. Not for ever, as others have connections."""
        self._zeal -= 1
        if self._zeal > 0 and self._accept(entrance) and self._queue:
            return True
        self._eager = None
        return False

    def _look_after(self, conn: Connection, mask: int) -> None:
        try:
            self._happened(conn, mask)
        except Exception:
            # one of our mistakes must not cost more than the connection that met it
            log.exception("connection of door %s broken off", conn.door.name)
            conn.close()

    def _happened(self, conn: Connection, mask: int) -> None:
        free = False
        if mask & _READABLE:
            with self.mutex:
                if conn.held:
                    conn.pending = True
                else:
                    conn.held = free = True
                    # behind what it has sent lies an end, which is not reported again
                    conn.pending = bool(mask & select.EPOLLRDHUP)
        if free:
            if conn.read():
                self._queue.append(conn)
            return
        if mask & _WRITABLE and conn.waits and conn.flush():
            conn.go_on()
        elif mask & _BROKEN and conn.state is State.BUSY:
            conn.lost()

    def _take_in(self) -> None:
        """Let those in who wait since the last look: had another worker a thread for them, it would have done so."""
        self._stoop_at = _now() + _STOOP
        waited = self._seen if self._seen_in == self._turns else set()
        self._seen, self._seen_in = {fd for fd, _ in self._waiting.poll(0)}, self._turns
        for fd in self._seen & waited:
            self._patient = False
            self._accept(self._entrances[fd])

    def _accept(self, entrance: _Entrance) -> bool:
        """Let one client in: others are for other workers, if they are idle. Whether there was one."""
        if self.paused:
            return False
        if entrance.door.keepalive and self._patient and self._has_more_than_others(entrance.door.workers):
            self._patient = False
            self._shut_until = _now() + _COURTESY
            self._set_open(accepting=True)
            return False
        self._patient = True
        try:
            sock, address = entrance.sock.accept()
        except OSError as error:
            if error.errno in _NO_DESCRIPTORS:
                self._shut(error)
            return False  # else somebody else was quicker, or the client has left
        if len(self._conns) >= self.policy.connections:
            self._make_room()
        door = entrance.door
        try:
            pipe: Pipe = PlainPipe(sock) if entrance.context is None else TlsPipe(sock, entrance.context())
        except (OSError, ValueError) as error:
            log.error("tls failed door=%s: %s", door.name, error)
            sock.close()
            return True
        host, port = address[:2] if door.family != socket.AF_UNIX else ("", 0)
        self._number += 1
        sender, number = entrance.sender, b"%d" % self._number
        peer = Peer(_plain(host), port, door.tls is not None, door.local, sender, number)
        conn = Connection(self, door, pipe, entrance.codec(peer), self._number)
        self._conns[conn.fd] = conn
        self._visitors[self._mine] = len(self._conns) + 1
        try:
            if conn.read():
                self._queue.append(conn)
        except Exception:
            log.exception("connection of door %s broken off", door.name)  # as in _look_after
            conn.close()
        return True

    def _has_more_than_others(self, workers: tuple[int, ...]) -> bool:
        """Whether another worker should take the next connection, which may stay for long.

        Args: workers: those who accept at that door; empty: all.
        """
        mine = len(self._conns) + 1
        self._visitors[self._mine] = mine
        all_of_them = self._visitors.tolist()
        others = [all_of_them[one] for one in workers if one < len(all_of_them)] if workers else all_of_them
        least = min((one for one in others if one), default=mine)
        return mine > least + (least >> 3)

    def _shut(self, error: OSError) -> None:
        """There are no descriptors to be had: make room, and wait a moment."""
        log.error("no connection can be accepted: %s; %d are open", error.strerror, len(self._conns))
        self._make_room()
        self._shut_until = _now() + 1.0
        self._set_open(accepting=True)

    def _make_room(self) -> None:
        """Close connections that say nothing: those with the least time left."""
        with self.mutex:
            found = cast("list[Connection]", self.wheel.eldest(max(1, len(self._conns) // 16)))
            found = [conn for conn in found if not conn.held]
            for conn in found:
                conn.held = True
        self.tell("too many connections (%d): closing %d that wait", len(self._conns), len(found))
        for conn in found:
            conn.close()

    def _expire(self, now: float) -> None:
        """Find those whose time is over: they are ended a few at a turn, as others have something to ask meanwhile."""
        unread: list[Connection] = []
        with self.mutex:
            for one in cast("list[Connection]", list(self.wheel.due(now))):
                if one.state is State.SENDING:
                    unread.append(one)
                elif not one.held:  # else somebody has it, and will watch it again
                    one.held = True
                    self._due.append(one)
        for conn in unread:
            conn.expire()

    def _drain(self, now: float) -> None:
        """The worker leaves: connections that bring no other request soon are ended."""
        if self._open:
            self._set_open(accepting=False)
        if self._last_call:
            self._last_call = False
            for entrance in self._entrances.values():
                for _ in range(_LAST_GUESTS):
                    if not self._accept(entrance):
                        break
        with self.mutex:
            free = [conn for conn in list(self._conns.values()) if not conn.held]
            for conn in free:
                if conn.state is State.IDLE:
                    # One that was just being accepted, or read, was passed over when the worker was told to leave.
                    conn.hurry(now)
            due = [conn for conn in free if conn.deadline <= now]
            for conn in due:
                conn.held = True
        for conn in due:
            conn.expire()
        if not self._conns and not self._queue:
            self._end()

    # -- connections -----------------------------------------------------------------------------------------------

    def poll(self, conn: Connection) -> None:
        """From now on what happens to it is reported."""
        self._epoll.register(conn.fd, _IN | select.EPOLLOUT if conn.waits else _IN)

    def wants_room(self, conn: Connection) -> None:
        """Say when its client has read something."""
        if conn.polled:
            self._epoll.modify(conn.fd, _IN | select.EPOLLOUT)
        else:
            conn.polled = True
            self._epoll.register(conn.fd, _IN | select.EPOLLOUT)

    def watch(self, conn: Connection) -> None:
        """See to its deadline."""
        with self.mutex:
            self.wheel.watch(conn)

    def ready(self, conn: Connection) -> None:
        """Its next request has been read. Any thread."""
        self._queue.append(conn)

    def forget(self, conn: Connection) -> None:
        """It is about to be closed. Any thread."""
        self._conns.pop(conn.fd, None)
        if not self.draining:
            self._visitors[self._mine] = len(self._conns) + 1
        if conn.polled:
            try:
                self._epoll.unregister(conn.fd)
            except OSError:
                pass
        if self.draining and not self._conns:
            self._stop_waiting()

    def refused(self, conn: Connection, status: int, reason: str) -> None:
        """For the log, which hostile clients must not fill."""
        self._refused[0] += 1
        said = f"refused status={status}" if status else "connection closed"
        self.tell("%s door=%s conn=%d: %s", said, conn.door.name, conn.number, ascii(reason)[1:-1])

    def tell(self, text: str, *values: object) -> None:
        """Write a line of the log, ten in a second at most."""
        now = _now()
        if now - self._told_at >= 1.0:
            if self._untold > 10:
                log.warning("%d more lines of the doors in that second", self._untold - 10)
            self._told_at, self._untold = now, 0
        self._untold += 1
        if self._untold <= 10:
            log.warning(text, *values)

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
            if not self._wake(max(1, len(self._queue))) and self._lead.acquire(blocking=False):
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
            self._wake(max(1, len(self._queue)))

    # -- the end ---------------------------------------------------------------------------------------------------

    def stop(self, *, final: bool = False) -> None:
        """Accept nothing more; end when all connections have. Any thread, once.

        Args: final: no other worker will serve those who wait to be accepted.
        """
        now = _now()
        self._patient, self._last_call, self.paused = False, final, False
        with self.mutex:
            self.draining = True
            for conn in list(self._conns.values()):
                if conn.state is State.IDLE and not conn.held:
                    conn.hurry(now)
        self._stop_waiting()

    def _end(self) -> None:
        self._over = True
        for entrance in self._entrances.values():
            entrance.sock.close()
        self._wake(len(self._sleepers))


def computes(thread: int) -> bool:
    """Whether a thread of this process runs, or waits for nothing but a processor."""
    try:
        with open(f"/proc/self/task/{thread}/stat", "rb") as file:
            return file.read(512).rpartition(b") ")[2].startswith(b"R")
    except OSError:
        return False


def _plain(host: str) -> bytes:
    """The address as text; one of IPv4 that came by a socket of IPv6 as what it is."""
    if ":" in host:
        host = host.removeprefix("::ffff:").partition("%")[0]
    return host.encode("ascii")
