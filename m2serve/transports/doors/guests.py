"""Those who have been let in: all connections of the doors of one worker, until each one's end."""

from __future__ import annotations

import logging
import os
import select
import threading
import time
from collections import deque
from typing import TYPE_CHECKING, Final, NamedTuple, cast

from m2serve.transports.doors.connection import State
from m2serve.transports.doors.wheel import Wheel

if TYPE_CHECKING:
    from m2serve.config.postlimits import PostLimits
    from m2serve.transports.doors.connection import Connection

log = logging.getLogger("m2serve.door")

_now = time.monotonic

LOOK: Final = 1.0
"""Seconds between two looks at the deadlines."""
BREATH: Final = 0.002
_AT_A_TURN: Final = 2
"""So many connections whose time is over are ended, and seconds until the next so many: those that came together end
together, and others have something to ask meanwhile."""
_LINES: Final = 10
"""Of the log, in a second."""
_IN: Final = select.EPOLLIN | select.EPOLLRDHUP | select.EPOLLET
_BROKEN: Final = select.EPOLLHUP | select.EPOLLERR
_READABLE: Final = select.EPOLLIN | select.EPOLLRDHUP | _BROKEN
_WRITABLE: Final = select.EPOLLOUT | _BROKEN


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


class Guests:
    """See above.

    Threads: ``mutex`` guards ``held`` and ``pending`` of the connections, and the wheel; ``ready`` has atomic
    operations. What connections ask for is asked by whoever holds them; the rest is the leader's, unless it says that
    any thread may call it.

    Args:
        epoll: the leader's poll; the connections are put into it here.
        count: one word, in which other workers see how many are here, and one more.
        refused: one word, which counts the requests that are answered in place of a thread, or not at all.

    Attributes:
        by_fd: all of them.
        ready: those whose next request has been read.
        paused: they wait, and nobody is let in.
        draining: the worker leaves.
        due: those whose time is over, and who are about to be told; for others there is a look at ``look_at``.
        poke: an eventfd in the poll; the leader reads it, and looks up.
    """

    def __init__(self, policy: Policy, epoll: select.epoll, count: memoryview, refused: memoryview) -> None:
        self.policy = policy
        self.mutex = threading.Lock()
        self._wheel = Wheel()
        self.by_fd: dict[int, Connection] = {}
        self.ready: deque[Connection] = deque()
        self.paused = False
        self.draining = False
        self.due: deque[Connection] = deque()
        self.poke = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        epoll.register(self.poke, select.EPOLLIN)
        self._epoll = epoll
        self._count = count
        self._refused = refused
        self.look_at = _now() + LOOK
        self._end_at = 0.0
        self._told_at, self._untold = 0.0, 0

    def look_up(self) -> None:
        """Have whoever leads look up. Any thread."""
        os.eventfd_write(self.poke, 1)

    # -- what the poll reports -------------------------------------------------------------------------------------

    def look_after(self, conn: Connection, mask: int) -> None:
        """Something has happened to it."""
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
                self.ready.append(conn)
            return
        if mask & _WRITABLE and conn.waits and conn.flush():
            conn.go_on()
        elif mask & _BROKEN and conn.state is State.BUSY:
            conn.lost()

    # -- what connections ask for ----------------------------------------------------------------------------------

    def let_go(self, conn: Connection) -> bool:
        """Leave it to the leader; False: something has come meanwhile, so whoever holds it goes on."""
        if not conn.polled:
            conn.polled = True
            # from here on the poll reports what comes, and what has come
            self._epoll.register(conn.fd, _IN | select.EPOLLOUT if conn.waits else _IN)
        with self.mutex:
            if conn.pending:
                conn.pending = False
                return False
            self._wheel.watch(conn)
            conn.held = False
            return True

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
            self._wheel.watch(conn)

    def show_count(self) -> int:
        """Have other workers see how many are here; gives what they see. Any thread."""
        self._count[0] = shown = len(self.by_fd) + 1
        return shown

    def forget(self, conn: Connection) -> None:
        """It is about to be closed. Any thread."""
        self.by_fd.pop(conn.fd, None)
        if not self.draining:
            self.show_count()
        if conn.polled:
            try:
                self._epoll.unregister(conn.fd)
            except OSError:
                pass
        if self.draining and not self.by_fd:
            self.look_up()

    def refused(self, conn: Connection, status: int, reason: str) -> None:
        """For the log, which hostile clients must not fill."""
        self._refused[0] += 1
        said = f"refused status={status}" if status else "connection closed"
        self._tell("%s door=%s conn=%d: %s", said, conn.door.name, conn.number, ascii(reason)[1:-1])

    def _tell(self, text: str, *values: object) -> None:
        now = _now()
        if now - self._told_at >= 1.0:
            if self._untold > _LINES:
                log.warning("%d more lines of the doors in that second", self._untold - _LINES)
            self._told_at, self._untold = now, 0
        self._untold += 1
        if self._untold <= _LINES:
            log.warning(text, *values)

    # -- ends ------------------------------------------------------------------------------------------------------

    def see_to_ends(self, now: float) -> None:
        """Find those whose time is over, when it is time for that, and end a few of them."""
        if now >= self.look_at:
            self.look_at = now + LOOK
            self._expire(now)
        if self.due and now >= self._end_at:
            self._end_at = now + BREATH
            for _ in range(min(_AT_A_TURN, len(self.due))):
                self.due.popleft().expire()

    def _expire(self, now: float) -> None:
        """They are ended a few at a turn, as others have something to ask meanwhile."""
        unread: list[Connection] = []
        with self.mutex:
            for one in cast("list[Connection]", list(self._wheel.due(now))):
                if one.state is State.SENDING:
                    unread.append(one)
                elif not one.held:  # else somebody has it, and will watch it again
                    one.held = True
                    self.due.append(one)
        for conn in unread:
            conn.expire()

    def make_room(self) -> None:
        """Close connections that say nothing: those with the least time left."""
        with self.mutex:
            found = cast("list[Connection]", self._wheel.eldest(max(1, len(self.by_fd) // 16)))
            found = [conn for conn in found if not conn.held]
            for conn in found:
                conn.held = True
        self._tell("too many connections (%d): closing %d that wait", len(self.by_fd), len(found))
        for conn in found:
            conn.close()

    def begin_to_leave(self) -> None:
        """The worker leaves: those that bring no other request soon are to be ended. Any thread, once."""
        now = _now()
        self.paused = False
        with self.mutex:
            self.draining = True
            for conn in list(self.by_fd.values()):
                if conn.state is State.IDLE and not conn.held:
                    conn.hurry(now)
        self.look_up()

    def leave(self, now: float) -> bool:
        """End those that have brought none; whether all have gone."""
        with self.mutex:
            free = [conn for conn in list(self.by_fd.values()) if not conn.held]
            for conn in free:
                if conn.state is State.IDLE:
                    # One that was just being accepted, or read, was passed over when the worker was told to leave.
                    conn.hurry(now)
            due = [conn for conn in free if conn.deadline <= now]
            for conn in due:
                conn.held = True
        for conn in due:
            conn.expire()
        return not self.by_fd and not self.ready
