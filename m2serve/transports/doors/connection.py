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

import errno
import logging
import os
import threading
import time
from collections import deque
from enum import Enum
from typing import TYPE_CHECKING, Final

from m2serve.errors import ClientGone, RemoteProtocolError
from m2serve.transports.doors.body import Collected
from m2serve.transports.doors.channel import DoorChannel
from m2serve.transports.doors.pipe import MOST_PARTS
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
_BROKEN: Final = (errno.EPIPE, errno.ECONNRESET, errno.ETIMEDOUT, errno.ENOTCONN, errno.EHOSTUNREACH)
"""The socket's faults, where a file may have some, too."""
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
        "_head",
        "_lingered",
        "_pipe",
        "_served",
        "_waiting",
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
        "waits_to_send",
    )

    def __init__(self, guests: Guests, door: Door, pipe: Pipe, codec: Codec, number: int) -> None:
        self._guests = guests
        self._pipe = pipe
        self._codec = codec
        self._head: Head | None = None
        self._body: Collected | None = None
        self._waiting: deque[bytes | memoryview] = deque()
        """Of answers, what the socket had no room for."""
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
        self.waits_to_send = False
        """Whoever sends a file wants to hear when there is room."""
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
        return bool(self._waiting) or self.waits_to_send

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
                    if self.let_go():
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
                if len(data) < _READ and not self._pipe.layered and self.let_go():
                    return False
        except OSError as error:
            log.debug("connection broken door=%s: %s", self.door.name, error)
            self.close()
            return False

    def parse(self) -> bool:
        """Look what the bytes so far come to; whether a request is complete."""
        codec = self._codec
        try:
            if self._head is None:
                head = codec.head()
                self._reply()
                if head is None:
                    if self.state is State.IDLE and not codec.idle:
                        self.state = State.HEAD
                        self._expire_in(self.door.head_timeout)
                    return False
                if head.length == 0:
                    self._complete(head, head.request, b"")
                    return True
                self._begin_body(head)
            return self._read_body()
        except RemoteProtocolError as error:
            self.refuse(error.status, str(error))
            return False
        except ClientGone:
            self.close()
            return False

    def _begin_body(self, head: Head) -> None:
        self._head = head
        self.state = State.BODY
        policy = self._guests.policy
        self._body = Collected(head.length, policy.limits.of(head.request.path), policy.memory)
        if head.expects:
            self._write([_CONTINUE])

    def _read_body(self) -> bool:
        codec, body, head = self._codec, self._body, self._head
        assert body is not None and head is not None
        if data := codec.body():
            body.add(data)
        self._reply()
        if not codec.ended:
            self._expire_in(self.door.chunk_timeout if head.length is None else self.door.body_timeout)
            return False
        whole = body.whole()
        request = head.request
        if head.length is None:
            headers = {key: value for key, value in request.headers.items() if key != b"transfer-encoding"}
            headers[b"content-length"] = b"%d" % body.size
            request = request._replace(headers=headers)
        if whole is not None:
            self._body = None
        self._complete(head, request, whole or b"")
        return True

    def _reply(self) -> None:
        """Send what the protocol itself has to say. Raises: ClientGone."""
        if reply := self._codec.reply():
            self._write([reply])

    def _complete(self, head: Head, request: Request, body: bytes) -> None:
        """A request is there: from now on the connection is its own."""
        if body:
            request = request._replace(body=body, key=b"")
        self.keep = head.keep and self.door.keepalive > 0
        self.state = State.BUSY
        self.deadline = NEVER
        self.channel = DoorChannel(self, request, self._body)
        self._head = None

    def _drop_body(self) -> None:
        if self._body is not None:
            self._body.close()
            self._body = None

    def let_go(self) -> bool:
        """Leave it to the leader; False: something has come meanwhile, so the caller goes on."""
        guests = self._guests
        if not self.polled:
            self.polled = True
            guests.poll(self)  # from here on the poll reports what comes, and what has come
        with guests.mutex:
            if self.pending:
                self.pending = False
                return False
            guests.wheel.watch(self)
            self.held = False
            return True

    def rest(self) -> None:
        """Leave it to the leader, and if it is complete before that, to a thread."""
        if not self.let_go() and self.read():
            self._guests.ready.append(self)

    def _shake(self) -> bool:
        while not self._pipe.shake():
            if self.let_go():
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

    def _write(self, parts: Sequence[bytes | memoryview]) -> None:
        """Send now what the socket takes; the rest waits."""
        with self.lock:
            if self.state is State.CLOSED:
                raise ClientGone("the client has left")
            if self._waiting:
                self._waiting += parts
                return
            if len(parts) > MOST_PARTS:
                parts = [b"".join(parts)]
            total = sum(map(len, parts))
            try:
                sent = self._pipe.send(parts)
            except OSError as error:
                raise ClientGone(f"the client has left: {error.strerror or error}") from None
            if sent < total:
                self._keep(parts, sent)

    def _keep(self, parts: Sequence[bytes | memoryview], sent: int) -> None:
        for part in parts:
            if sent >= len(part):
                sent -= len(part)
            else:
                self._waiting.append(memoryview(part)[sent:] if sent else part)
                sent = 0
        self._guests.wants_room(self)

    @property
    def backlog(self) -> int:
        """Bytes that wait for the client to read."""
        with self.lock:
            return sum(map(len, self._waiting))

    def send_file(self, fd: int, at: int, size: int) -> int | None:
        """See :class:`m2serve.gateways.base.Channel`."""
        with self.lock:
            if self.state is State.CLOSED:
                raise ClientGone("the client has left")
            try:
                if not self._waiting:
                    return os.sendfile(self.fd, fd, at, size)
            except BlockingIOError:
                pass
            except OSError as error:
                if error.errno in _BROKEN:
                    raise ClientGone(f"the client has left: {error.strerror}") from None
                raise
            self.waits_to_send = True
            self._guests.wants_room(self)
            return None

    def flush(self) -> bool:
        """The socket has room again; whether the connection is the caller's now, its request being over."""
        channel, waiting = self.channel, self._waiting
        with self.lock:
            self.waits_to_send = False
            try:
                while waiting:
                    parts = [waiting[i] for i in range(min(MOST_PARTS, len(waiting)))]
                    sent = self._pipe.send(parts)
                    if not sent:
                        break
                    for part in parts:
                        if sent < len(part):
                            if sent:
                                waiting[0] = memoryview(part)[sent:]
                            break
                        sent -= len(part)
                        waiting.popleft()
                    if self.state is State.SENDING:
                        self._expire_in(self._guests.policy.patience)
            except OSError:
                waiting.clear()
                self.keep = False
                if channel is not None:
                    channel.gone = True
            done = not waiting and self.state is State.SENDING
        if channel is not None and self.state is State.BUSY:
            channel.drained()
        return done

    def finish(self, *, gone: bool) -> None:
        """The request is over, and nothing will be added to its answer."""
        self._drop_body()
        if gone:
            self.keep = False
            with self.lock:
                self._waiting.clear()
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
        if not self._waiting:
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
            self._waiting.clear()
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
