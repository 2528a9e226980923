"""One client at a door: its requests one after the other, each read, handed to a thread, and answered.

::

    SHAKING ─▶ IDLE ─▶ HEAD ─▶ BODY ─▶ BUSY ─▶ SENDING ─▶ IDLE, or LINGERING, or CLOSED
    TLS        no byte                 with a  the request is
               has come                thread  over, bytes wait

Whoever has the connection changes it: *held* says that somebody has. While it is idle or being read that is the
leader, for the length of one look; from the moment a request is complete until its answer has left it is the request.
What the poll reports meanwhile is noted (*pending*), and looked at when the connection is let go.
"""

from __future__ import annotations

import logging
import threading
import time
from enum import Enum
from typing import TYPE_CHECKING, Final

from m2serve.errors import ClientGone, RemoteProtocolError
from m2serve.transports.doors.body import Collected
from m2serve.transports.doors.channel import DoorChannel
from m2serve.transports.doors.outgoing import Outgoing
from m2serve.transports.doors.wheel import NEVER
from m2serve.wire.mongrel2 import error_answer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from m2serve.door import Door
    from m2serve.message import Request
    from m2serve.transports.doors.guests import Guests
    from m2serve.transports.doors.pipe import Pipe
    from m2serve.wire.door import Codec, Head

log = logging.getLogger("m2serve.door")

_now = time.monotonic

_READ: Final = 64 * 1024
_ENDLESS: Final = ("uwsgi", "scgi")
"""The end of a connection is the end of its answer, so an answer without an end must be broken off."""
_CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"
_LINGER: Final = 2.0
"""Seconds for a client to notice that its connection has ended, before what it still sends makes the kernel reset it,
and with that lose our last words."""
_LINGER_BYTES: Final = 1024 * 1024
FAREWELL: Final = 1.0
"""Seconds in which an idle connection may bring one more request while its worker leaves."""
_FIRST_WORD: Final = 3.0
"""The same for one that was made and has not said anything: whoever made it has something to say."""


class State(Enum):
    """Of a connection."""

    SHAKING = "handshake"
    IDLE = "idle"
    HEAD = "head"
    BODY = "body"
    BUSY = "busy"
    SENDING = "sending"
    LINGERING = "lingering"
    CLOSED = "closed"


class Connection:
    """See above. ``lock`` guards what has not left yet, and who still answers."""

    __slots__ = (
        "_body",
        "_broken",
        "_codec",
        "_guests",
        "_lingered",
        "_outgoing",
        "_pipe",
        "_served",
        "channel",
        "cut",
        "deadline",
        "door",
        "fd",
        "held",
        "keep",
        "lock",
        "number",
        "pending",
        "polled",
        "spoke",
        "state",
    )

    def __init__(self, guests: Guests, door: Door, pipe: Pipe, codec: Codec, number: int) -> None:
        self._guests = guests
        self._pipe = pipe
        self._outgoing = Outgoing(pipe)
        self._codec = codec
        self._body: Collected | None = None
        self._lingered = 0
        self._broken = False
        """What comes has no meaning any more."""
        self._served = False
        self.door = door
        self.fd = pipe.fileno()
        self.number = number
        self.lock = threading.Lock()
        self.state = State.SHAKING if door.tls else State.IDLE
        self.held = True
        self.pending = False
        self.polled = False
        """The poll knows it."""
        self.keep = False
        self.cut = False
        """The answer breaks off."""
        self.channel: DoorChannel | None = None
        self.deadline = _now() + door.head_timeout
        self.spoke = 0

    def hurry(self, now: float) -> None:
        """Its worker leaves, and it is idle."""
        self.deadline = min(self.deadline, now + (FAREWELL if self._served else _FIRST_WORD))

    @property
    def leaving(self) -> bool:
        """Whether its worker is on the way out."""
        return self._guests.draining

    @property
    def _lingers(self) -> bool:
        return self.state is State.LINGERING

    @property
    def waits(self) -> bool:
        """Whether something waits for the client to read."""
        return bool(self._outgoing.waiting) or self._outgoing.file_waits

    @property
    def sends_files(self) -> bool:
        """Whether a file may leave as it is."""
        return self.door.tls is None and self.door.protocol != "fastcgi"

    # -- reading; whoever holds it ---------------------------------------------------------------------------------

    def read(self) -> bool:
        """Read what has come; whether a request is complete now. Else the connection was let go, or closed."""
        try:
            if self.state is State.SHAKING and not self._shake():
                return False
            while True:
                data = self._pipe.recv(_READ)
                if data is None:
                    if self._guests.let_go(self):
                        return False
                    continue
                if not data:
                    return self._ended()
                if self._lingers:
                    self._lingered += len(data)
                    if self._lingered > _LINGER_BYTES:
                        self.close()
                        return False
                    continue
                self._codec.feed(data)
                if self.parse():
                    return True
                if self.state is State.SENDING or self.state is State.CLOSED:
                    return False  # refused: whoever sends the last of the refusal goes on
                if self._lingers:
                    continue
                # a short read has taken all there was: whatever comes later is reported
                if len(data) < _READ and not self._pipe.layered and self._guests.let_go(self):
                    return False
        except OSError as error:
            log.debug("connection broken door=%s: %s", self.door.name, error)
            self.close()
            return False

    def parse(self) -> bool:
        """Look what the bytes so far come to; whether a request is complete."""
        codec, body = self._codec, self._body
        try:
            if body is None:
                head = codec.head()
                if reply := codec.reply():
                    self._write([reply])
                if head is None:
                    if self.state is State.IDLE and not codec.idle:
                        self.state = State.HEAD
                        self._expire_in(self.door.head_timeout)
                    return False
                if head.length == 0:
                    self._complete(head.request, head.keep)
                    return True
                body = self._begin_body(head)
            return self._read_body(body)
        except RemoteProtocolError as error:
            self.refuse(error.status, str(error))
            return False
        except ClientGone:
            self.close()
            return False

    def _begin_body(self, head: Head) -> Collected:
        self.state = State.BODY
        policy = self._guests.policy
        self._body = body = Collected(head, policy.limits.of(head.request.path), policy.memory)
        if head.expects:
            self._write([_CONTINUE])
        return body

    def _read_body(self, body: Collected) -> bool:
        codec, head = self._codec, body.head
        if data := codec.body():
            body.add(data)
        self._reply()
        if not codec.ended:
            self._expire_in(self.door.chunk_timeout if head.length is None else self.door.body_timeout)
            return False
        request = body.whole()
        if body.input is None:
            self._body = None
        self._complete(request, head.keep)
        return True

    def _reply(self) -> None:
        """Send what the protocol itself has to say. Raises: ClientGone."""
        if reply := self._codec.reply():
            self._write([reply])

    def _complete(self, request: Request, keep: bool) -> None:
        """A request is there: from now on the connection is its own."""
        self.keep = keep and self.door.keepalive > 0
        self.state = State.BUSY
        self.deadline = NEVER
        self.channel = DoorChannel(self, request, self._body)

    def _drop_body(self) -> None:
        if self._body is not None:
            self._body.close()
            self._body = None

    def rest(self) -> None:
        """Leave it to the leader, and if it is complete before that, to a thread."""
        if not self._guests.let_go(self) and self.read():
            self._guests.ready.append(self)

    def _shake(self) -> bool:
        while not self._pipe.shake():
            if self._guests.let_go(self):
                return False
        self.state = State.IDLE
        return True

    def _ended(self) -> bool:
        """The client sends nothing more."""
        if self.state is State.HEAD or self.state is State.BODY:
            log.debug("connection ended amid a request door=%s", self.door.name)
        self.close()
        return False

    def refuse(self, status: int, reason: str) -> None:
        """Answer in place of a thread, and end the connection. Status 0: without an answer."""
        self._guests.refused(self, status, reason)
        self.keep = False
        self._drop_body()
        self._broken = True
        try:
            self._reply()
            if status:
                self._write([*self._codec.answer([error_answer(status)]), self._codec.end()])
        except ClientGone:
            self.close()
            return
        self._linger()

    def expire(self) -> None:
        """Its deadline is over. The leader's, which holds it unless bytes wait for the client."""
        state = self.state
        if state is State.HEAD or state is State.BODY:
            self.refuse(408, f"the {'head' if state is State.HEAD else 'body'} of the request did not come in time")
        elif state is State.IDLE and self._served:
            self._linger()
        else:
            if state is State.SENDING:
                self._guests.refused(self, 0, "the client has read nothing of its answer in time (send-timeout)")
            self.close()
        if self.state is State.LINGERING:
            self.rest()

    def _expire_in(self, seconds: float) -> None:
        self.deadline = _now() + seconds

    # -- answering; whoever answers the request --------------------------------------------------------------------

    def send(self, parts: Sequence[bytes]) -> None:
        """A piece of the answer. Raises: ClientGone."""
        self._write(self._codec.answer(parts))

    def _write(self, parts: Sequence[bytes]) -> None:
        """Send now what the socket takes; the rest waits. Raises: ClientGone."""
        with self.lock:
            if self.state is State.CLOSED:
                raise ClientGone("the client has left")
            if not self._outgoing.send(parts):
                self._guests.wants_room(self)

    @property
    def backlog(self) -> int:
        """Bytes that wait for the client to read."""
        with self.lock:
            return self._outgoing.backlog

    def send_file(self, fd: int, at: int, size: int) -> int | None:
        """See :class:`m2serve.gateways.base.Channel`."""
        with self.lock:
            if self.state is State.CLOSED:
                raise ClientGone("the client has left")
            sent = self._outgoing.send_file(fd, at, size)
            if sent is None:
                self._guests.wants_room(self)
            return sent

    def flush(self) -> bool:
        """The socket has room again; whether the connection is the caller's now, its request being over."""
        channel = self.channel
        with self.lock:
            try:
                if self._outgoing.flush() and self.state is State.SENDING:
                    self._expire_in(self._guests.policy.patience)
            except OSError:
                self._outgoing.waiting.clear()
                self.keep = False
                if channel is not None:
                    channel.gone = True
            done = not self._outgoing.waiting and self.state is State.SENDING
        if channel is not None and self.state is State.BUSY:
            channel.drained()
        return done

    def finish(self, *, gone: bool) -> None:
        """The request is over, and nothing will be added to its answer."""
        self._drop_body()
        if gone:
            self.keep = False
            with self.lock:
                self._outgoing.waiting.clear()
        else:
            try:
                if not self.cut and (end := self._codec.end()):
                    self._write([end])
            except ClientGone:
                self.keep = False
        with self.lock:
            waits = self._waits_for_reader()
        if not waits:
            self.go_on()

    def _waits_for_reader(self) -> bool:
        """With the lock, when nothing will be added: whether something waits, which the leader sends then."""
        if not self._outgoing.waiting:
            return False
        self._expire_in(self._guests.policy.patience)
        self.state = State.SENDING
        self._guests.watch(self)
        return True

    def go_on(self) -> None:
        """The answer has left: on to the next request, or to the end."""
        self.channel = None
        self._served = True
        if not self.keep:
            self._leave()
            return
        self._codec.next()
        self.state = State.IDLE
        self._expire_in(FAREWELL if self._guests.draining else self.door.keepalive)
        if not self._codec.idle and self.parse():
            self._guests.ready.append(self)
        elif self.state is not State.SENDING and self.state is not State.CLOSED:
            self.rest()

    # -- the end ---------------------------------------------------------------------------------------------------

    def _leave(self) -> None:
        """Close. Where something of the client's may lie unread, the kernel would reset the connection, and our last
        words with it."""
        if self.cut and self.door.protocol in _ENDLESS:
            self._pipe.reset()
            self.close()
            return
        if not self._broken:
            self._codec.next()
            # FastCGI has no word for the last answer: another request may be on its way
            surprising = self._guests.draining and self.door.protocol == "fastcgi"
            if self._codec.idle and not self.pending and not surprising:
                self.close()
                return
        self._linger()
        if self.state is State.LINGERING:
            self.rest()

    def _linger(self) -> None:
        """Say that nothing more comes from us, as soon as all has left; then read on for a while."""
        with self.lock:
            if self._waits_for_reader():
                return
            try:
                self._pipe.half_close()
            except OSError:
                pass  # what is read next will tell
            self.state = State.LINGERING
            self._expire_in(_LINGER)

    def close(self) -> None:
        """Nothing more in either direction."""
        with self.lock:
            if self.state is State.CLOSED:
                return
            self.state = State.CLOSED
            self._outgoing.waiting.clear()
            self._guests.forget(self)
            self._pipe.close()
        self._drop_body()

    def lost(self) -> None:
        """The poll says that the connection is broken, while its request runs."""
        channel = self.channel
        if channel is not None:
            channel.lose()

    def leaves(self) -> bool:
        """Whether the client is known to have left, as far as that can be told."""
        return self._pipe.leaves()
