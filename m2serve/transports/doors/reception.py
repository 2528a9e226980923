"""Who is let in: the listening sockets of one worker, when they are polled, and which clients others should take."""

from __future__ import annotations

import errno
import logging
import select
import socket
import time
from typing import TYPE_CHECKING, Final, NamedTuple

from m2serve.transports.doors.connection import Connection
from m2serve.transports.doors.pipe import PlainPipe, TlsPipe
from m2serve.wire.door import Peer

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable

    from m2serve.door import Door
    from m2serve.transports.doors.guests import Guests
    from m2serve.transports.doors.pipe import Pipe
    from m2serve.wire.door import CodecFactory

log = logging.getLogger("m2serve.door")

_now = time.monotonic

STOOP: Final = 0.01
"""Seconds between two looks for connections that no worker has accepted, where all threads are at work."""
_ZEAL: Final = 8
"""Clients that are looked for at a door before the poll is asked again."""
_LAST_GUESTS: Final = 1024
_COURTESY: Final = 0.002
"""Seconds that a connection is left to workers that have fewer."""
_RECOVERY: Final = 1.0
"""Seconds in which nobody is accepted, where there are no descriptors."""
_NO_DESCRIPTORS: Final = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)


class Entrance(NamedTuple):
    """A door, and what whoever comes by it needs."""

    door: Door
    sock: socket.socket
    codec: CodecFactory
    context: Callable[[], ssl.SSLContext] | None
    sender: bytes


class Reception:
    """See above.

    Threads: the leader's, but :meth:`begin_to_leave`.

    Args:
        guests: whom those join who are let in.
        epoll: the leader's poll.
        visitors: connections of each worker, and one more while it accepts; ours is the word at *mine*.

    Attributes:
        entrances: by descriptor.
        open: they are polled.
        shut_until: nobody is accepted before: others have fewer connections, or there are no descriptors.
        eager: where the last client brought its request along.
    """

    def __init__(self, guests: Guests, epoll: select.epoll, visitors: memoryview, mine: int) -> None:
        self.entrances: dict[int, Entrance] = {}
        self.open = False
        self.shut_until = 0.0
        self.eager: Entrance | None = None
        self._zeal = _ZEAL
        self._guests = guests
        self._epoll = epoll
        self._visitors = visitors
        self._mine = mine
        self._number = 0
        self._patient = True
        self._waiting = select.poll()
        """Of the listening sockets, those where somebody waits."""
        self._stoop_at = 0.0
        self._seen: set[int] = set()
        """Those where somebody waited when we last looked; and in which turn of the threads that was."""
        self._seen_in = 0
        self._last_call = False
        """Who waits at the doors is still let in: nobody else will."""

    def add(self, door: Door, codec: CodecFactory, context: Callable[[], ssl.SSLContext] | None) -> None:
        """Accept at that door, too. Args: context: of TLS, asked for each connection."""
        sock = socket.socket(door.family, socket.SOCK_STREAM, fileno=door.fd)
        sock.setblocking(False)
        self._waiting.register(sock.fileno(), select.POLLIN)
        self.entrances[sock.fileno()] = Entrance(door, sock, codec, context, door.protocol.encode("ascii"))

    def set_open(self, accepting: bool) -> None:
        """Have the poll tell who comes, if we are *accepting* and nothing is against it."""
        guests = self._guests
        if self.shut_until and _now() >= self.shut_until:
            self.shut_until = 0.0
        wanted = accepting and not guests.draining and not guests.paused and not self.shut_until
        if wanted is self.open:
            return
        self.open = wanted
        if wanted or not guests.draining:
            guests.show_count()
        else:
            self._visitors[self._mine] = 0
        for fd in self.entrances:
            if wanted:
                # Exclusive: the kernel wakes one worker for a connection, of those that wait. That one accepts it at
                # once, or comes back to it after a moment.
                self._epoll.register(fd, select.EPOLLIN | select.EPOLLEXCLUSIVE)
            else:
                self._epoll.unregister(fd)

    # -- one client ------------------------------------------------------------------------------------------------

    def accept(self, entrance: Entrance) -> bool:
        """Let one client in: others are for other workers, if they are idle. Whether there was one."""
        guests = self._guests
        if guests.paused:
            return False
        door = entrance.door
        if door.keepalive and self._patient and self._has_more_than_others(door.workers):
            self._patient = False
            self._shut(_COURTESY)
            return False
        self._patient = True
        try:
            sock, address = entrance.sock.accept()
        except OSError as error:
            if error.errno in _NO_DESCRIPTORS:
                log.error("no connection can be accepted: %s; %d are open", error.strerror, len(guests.by_fd))
                guests.make_room()
                self._shut(_RECOVERY)
            return False  # else somebody else was quicker, or the client has left
        if len(guests.by_fd) >= guests.policy.connections:
            guests.make_room()
        try:
            pipe: Pipe = PlainPipe(sock) if entrance.context is None else TlsPipe(sock, entrance.context())
        except (OSError, ValueError) as error:
            log.error("tls failed door=%s: %s", door.name, error)
            sock.close()
            return True
        host, port = address[:2] if door.family != socket.AF_UNIX else ("", 0)
        self._number += 1
        sender, number = entrance.sender, b"%d" % self._number
        text = _plain(host) if ":" in host else host.encode("ascii")
        peer = Peer(text, port, door.tls is not None, door.local, sender, number)
        conn = Connection(guests, door, pipe, entrance.codec(peer), self._number)
        guests.by_fd[conn.fd] = conn
        guests.show_count()
        try:
            if conn.read():
                guests.ready.append(conn)
        except Exception:
            log.exception("connection of door %s broken off", door.name)  # as in Guests.look_after
            conn.close()
        return True

    def _has_more_than_others(self, workers: tuple[int, ...]) -> bool:
        """Whether another worker should take the next connection, which may stay for long.

        Args: workers: those who accept at that door; empty: all.
        """
        mine = self._guests.show_count()
        all_of_them = self._visitors.tolist()
        others = [all_of_them[one] for one in workers if one < len(all_of_them)] if workers else all_of_them
        least = min((one for one in others if one), default=mine)
        return mine > least + (least >> 3)

    def _shut(self, seconds: float) -> None:
        self.shut_until = _now() + seconds
        self.set_open(accepting=True)

    # -- those whom the poll has not told --------------------------------------------------------------------------

    def accept_eagerly(self, entrance: Entrance) -> bool:
        """Where a client has just brought its request along, and is done, another one may be there: that is quicker to
        see than to be told. Not for ever, as others have connections."""
        self._zeal -= 1
        if self._zeal > 0 and self.accept(entrance) and self._guests.ready:
            return True
        self.eager, self._zeal = None, _ZEAL
        return False

    def stoop(self, turns: int) -> None:
        """Let those in who wait since the last look: had another worker a thread for them, it would have done so.

        Args: turns: of the request threads; if one has led since the last look, nobody has waited since then.
        """
        if _now() < self._stoop_at:
            return
        self._stoop_at = _now() + STOOP
        waited = self._seen if self._seen_in == turns else set()
        self._seen, self._seen_in = {fd for fd, _ in self._waiting.poll(0)}, turns
        for fd in self._seen & waited:
            self._patient = False
            self.accept(self.entrances[fd])

    # -- the end ---------------------------------------------------------------------------------------------------

    def begin_to_leave(self, *, final: bool) -> None:
        """Accept nothing more. Any thread, once.

        Args: final: but those who wait now, whom no other worker will serve.
        """
        self._patient, self._last_call = False, final

    def leave(self) -> None:
        """Listen no more."""
        if self.open:
            self.set_open(accepting=False)
        if self._last_call:
            self._last_call = False
            for entrance in self.entrances.values():
                for _ in range(_LAST_GUESTS):
                    if not self.accept(entrance):
                        break

    def close(self) -> None:
        """Everything is over."""
        for entrance in self.entrances.values():
            entrance.sock.close()


def _plain(host: str) -> bytes:
    """An address of IPv6 as text; one of IPv4 that came by such a socket as what it is."""
    return host.removeprefix("::ffff:").partition("%")[0].encode("ascii")
