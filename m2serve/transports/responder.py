"""The answering side: one XPUB connection to one Mongrel2's SUB, shared by a process's threads."""

from __future__ import annotations

import logging
import select
import socket
import threading
import time
from collections import deque
from enum import Enum
from typing import TYPE_CHECKING, Final, NamedTuple

from m2serve.errors import ClientGone, ProtocolError, TransportError
from m2serve.transports import peer
from m2serve.transports.topics import Topics
from m2serve.wire import zmtp

if TYPE_CHECKING:
    from m2serve.endpoint import Endpoint

log = logging.getLogger("m2serve.responder")

PATIENCE: Final = 5.0
"""Seconds an answer waits for a lost connection to come back before it is dropped."""
_OPENING_LIMIT: Final = 5.0
_URGENT_RETRY: Final = 0.005
_SUBSCRIPTION_PATIENCE: Final = 0.25
_RETRY_FIRST: Final = 0.02
_RETRY_MOST: Final = 1.0


class Phase(Enum):
    """Life of the connection; every loss leads to DOWN, every DOWN to CONNECTING after a pause."""

    DOWN = "down"
    CONNECTING = "connecting"
    OPENING = "opening"
    SUBSCRIBING = "subscribing"
    UP = "up"
    CLOSED = "closed"


class Origin:
    """Where a request came from: one connection to one Mongrel2's PUSH.

    ``proof`` is the generation of the responder connection that was proven to end in the same Mongrel2 (0: none
    yet); ``dead`` is set when the PUSH connection ended, and then nothing may be answered any more. Written by the
    service thread, read by all.
    """

    __slots__ = ("dead", "epoch", "proof")

    def __init__(self, epoch: int) -> None:
        self.epoch = epoch
        self.proof = 0
        self.dead = False


class Event(Enum):
    """What the service thread is told about its responder."""

    UP = "up"
    DOWN = "down"
    PONG = "pong"


class Happened(NamedTuple):
    """An event with the generation it belongs to, for PONG also the PING's context."""

    event: Event
    generation: int
    context: bytes = b""


class Responder:
    """One XPUB towards one Mongrel2.

    Threads: request threads call :meth:`send`, :meth:`send_frames` and, in the direct topology, :meth:`wait_up` and
    :meth:`is_stalled`. Any may call :meth:`ping`. The service thread owns the rest; in the dispatcher its one thread
    does. ``_lock`` guards the socket's sending side, ``generation`` and ``phase``; ``_condition`` (on that lock) is
    notified when either changes or an origin is proven.
    """

    def __init__(self, endpoint: Endpoint, *, patience: float = PATIENCE) -> None:
        self.endpoint = endpoint
        self.phase = Phase.DOWN
        self.generation = 0
        self.topics = Topics(endpoint)
        self.retry_at = 0.0
        self.attempt = 0
        self._subscribing_since = 0.0
        self._patience = patience
        self._pause = _RETRY_FIRST
        self._opening_until = 0.0
        self._sock: socket.socket | None = None
        self._handshake = zmtp.Handshake(b"SUB", b"XSUB")
        self._decoder = zmtp.Decoder(1 << 20)
        self._lock = threading.Lock()
        self._condition = threading.Condition(self._lock)
        self._urgent: deque[bytes] = deque()
        self._amid = False
        """try_write has left a message half sent: nothing else may be written"""
        self._orphans: list[tuple[Origin, bytes]] = []
        self._complained = ""

    # -- request threads ---------------------------------------------------------------------------------------

    def send(self, origin: Origin, envelope: bytes, *parts: bytes) -> None:
        """Send one message, whole, before returning it to the kernel's care.

        Args:
            origin: where the request came from; the message leaves only over a connection proven for it.
            envelope: ``UUID SIZE:ID, `` as Mongrel2 wants it.
            parts: the bytes for the client; nothing at all closes its connection.

        Raises:
            ClientGone: that Mongrel2 is gone or did not come back in time, or does not subscribe to this sender.
        """
        size = len(envelope)
        for part in parts:
            size += len(part)
        self.send_frames(origin, envelope, b"".join((zmtp.frame_header(size), envelope, *parts)))

    def send_frames(self, origin: Origin, envelope: bytes, data: bytes, *others: bytes) -> None:
        """Send messages that are framed already.

        Args:
            envelope: of a client they are for.
            others: envelopes of the other clients, all of the same handler.

        Raises:
            ClientGone: as :meth:`send`.
        """
        with self._lock:
            if origin.proof != self.generation or self.phase is not Phase.UP or origin.dead:
                self._await(origin)
            if not self.topics.cover(envelope):
                raise ClientGone("no subscription")
            try:
                self._write(data)
            except OSError as error:
                self._orphans += [(origin, one) for one in (envelope, *others)]
                self._break()
                raise ClientGone(f"connection to {self.endpoint} broke: {error}") from None

    def try_write(self, origin: Origin, data: bytes | memoryview) -> int:
        """Write framed messages as far as the kernel takes them now; for the owner of the only sending thread.

        Returns: bytes written.
        Raises: ClientGone: the connection is not proven for *origin*, or broke.
        """
        with self._lock:
            if origin.proof != self.generation or self.phase is not Phase.UP or origin.dead or self._sock is None:
                raise ClientGone("no proven connection")
            try:
                sent = self._sock.send(data)
            except BlockingIOError:
                return 0  # still amid a message, or not, as before
            except OSError as error:
                self._break()
                raise ClientGone(str(error)) from None
            self._amid = sent < len(data)
            return sent

    def subscribes(self, sender: bytes) -> bool:
        """Whether Mongrel2 takes answers to this handler identity; complains once if not."""
        return not self.is_up or self.topics.cover(sender + b" ")

    def _await(self, origin: Origin) -> None:
        until = time.monotonic() + self._patience
        while not origin.dead and self.phase is not Phase.CLOSED:
            if self.phase is Phase.UP and origin.proof == self.generation:
                return
            left = until - time.monotonic()
            if left <= 0:
                raise ClientGone(f"no proven connection to {self.endpoint} within {self._patience:g} s")
            self._condition.wait(left)
        raise ClientGone(f"the Mongrel2 at {self.endpoint} that asked is gone")

    def _write(self, data: bytes) -> None:
        """Send all of *data*; waits while the kernel's buffer is full. Needs the lock."""
        sock = self._sock
        if sock is None:
            raise BrokenPipeError("not connected")
        try:
            sent = sock.send(data)
        except BlockingIOError:
            sent = 0
        if sent == len(data):
            return
        rest = memoryview(data)[sent:]
        poller = select.poll()
        poller.register(sock, select.POLLOUT)
        while rest:
            # XPUB with nothing dropped: a Mongrel2 that does not read holds the sender, as NODROP would.
            poller.poll(1000)
            try:
                rest = rest[sock.send(rest) :]
            except BlockingIOError:
                continue

    def wait_up(self, timeout: float) -> bool:
        """Wait until Mongrel2 is subscribed, at most *timeout* seconds; whether it is."""
        with self._lock:
            return self._condition.wait_for(lambda: self.phase is Phase.UP, timeout)

    # -- service thread ----------------------------------------------------------------------------------------

    def fileno(self) -> int:
        """The socket's descriptor, -1 while there is none."""
        return self._sock.fileno() if self._sock is not None else -1

    @property
    def is_up(self) -> bool:
        """Whether Mongrel2 is subscribed."""
        return self.phase is Phase.UP

    @property
    def wants_write(self) -> bool:
        """Whether to wait for writability: the connection is being made."""
        return self.phase is Phase.CONNECTING

    def deadline(self) -> float | None:
        """When :meth:`tick` has something to do."""
        if self.phase is Phase.DOWN:
            return self.retry_at
        if self.phase in (Phase.CONNECTING, Phase.OPENING):
            return self._opening_until
        if self._urgent:
            return time.monotonic() + _URGENT_RETRY
        if self.phase is Phase.SUBSCRIBING:
            return max(self._subscribing_since + _SUBSCRIPTION_PATIENCE, time.monotonic() + _URGENT_RETRY)
        return None

    def is_stalled(self, now: float) -> bool:
        """Mongrel2 has answered the handshake but does not subscribe.

        Its reader of answers is blocked then: it has a disconnect notice to send, and nobody takes requests and
        notices. It goes on when somebody connects to its PUSH; waiting for the subscription first would be for ever.
        """
        return self.phase is Phase.SUBSCRIBING and now - self._subscribing_since >= _SUBSCRIPTION_PATIENCE

    def tick(self, now: float) -> list[Happened]:
        """Connect when it is time; give up an opening that takes too long."""
        if self.phase is Phase.DOWN and now >= self.retry_at:
            self._connect(now)
        elif self.phase in (Phase.CONNECTING, Phase.OPENING) and now >= self._opening_until:
            return self._lose("no ZMTP handshake in time", now)
        if self._urgent:
            self._flush_urgent()
        return []

    def ready(self, now: float) -> list[Happened]:
        """The descriptor is readable, or writable while connecting."""
        try:
            if self.phase is Phase.CONNECTING:
                self._connected()
                return []
            return self._read(now)
        except BlockingIOError:
            return []
        except (OSError, TransportError, ProtocolError) as error:
            return self._lose(str(error), now)

    def ping(self, context: bytes) -> None:
        """Ask the peer for a PONG with *context*; any thread may ask."""
        self._urgent.append(zmtp.ping(context))
        self._flush_urgent()

    def prove(self, origin: Origin, generation: int) -> bool:
        """Record that *origin* ends in the same Mongrel2 as connection *generation*; False if that one is over."""
        with self._lock:
            if self.generation != generation or self.phase is not Phase.UP:
                return False
            origin.proof = generation
            orphans = [envelope for owner, envelope in self._orphans if owner is origin]
            # direct topology: others of this Mongrel2's origins may still have to be proven
            self._orphans = [o for o in self._orphans if o[0] is not origin and not o[0].dead]
            self._condition.notify_all()
        for envelope in orphans:  # their answers broke off with the old connection: let the clients know
            try:
                self.send(origin, envelope)
            except ClientGone:
                break
        return True

    def forget(self, origin: Origin) -> None:
        """*origin* has ended: whoever waits to answer it stops waiting."""
        with self._lock:
            origin.dead = True
            if self._amid:
                self._break()  # the rest of that message will not come: what follows would be taken for it
            self._condition.notify_all()

    def close(self, linger: float = 2.0) -> None:
        """Leave; what was sent is delivered first as far as *linger* seconds allow."""
        with self._lock:
            sock, self._sock = self._sock, None
            self.phase = Phase.CLOSED
            self._condition.notify_all()
        if sock is None:
            return
        try:
            # Reading to the end first: closing with unread bytes would reset the connection and lose answers.
            sock.shutdown(socket.SHUT_WR)
            sock.settimeout(linger)
            while sock.recv(4096):
                pass
        except OSError:
            pass
        sock.close()

    def _connect(self, now: float) -> None:
        try:
            self.attempt += 1
            self._sock = peer.connect(self.endpoint)
        except TransportError as error:
            self._lose(str(error), now)
            return
        self.phase = Phase.CONNECTING
        self._opening_until = now + _OPENING_LIMIT
        self._handshake = zmtp.Handshake(b"SUB", b"XSUB")
        self._decoder = zmtp.Decoder(1 << 20)

    def _connected(self) -> None:
        assert self._sock is not None
        reason = peer.connect_error(self._sock)
        if reason:
            raise TransportError(reason)
        self._sock.send(zmtp.GREETING)
        self.phase = Phase.OPENING

    def _read(self, now: float) -> list[Happened]:
        assert self._sock is not None
        chunk = self._sock.recv(65536)
        if not chunk:
            raise TransportError("closed by the peer")
        if self.phase is Phase.OPENING:
            chunk = self._handshake.feed(chunk)
            if not self._handshake.done:
                return []
            # Only now: a PUSH, to which we were sent by mistake, would hang up on it and not say what it is.
            self._sock.send(zmtp.ready(b"XPUB"))
            self._subscribing_since = now
            self.topics.forget()
            with self._lock:
                # From here on it is known where the connection ends: a PUSH connection made now is made after it.
                self.generation += 1
                self.phase = Phase.SUBSCRIBING
        happened: list[Happened] = []
        for frame in self._decoder.feed(chunk) if chunk else ():
            change = zmtp.subscription(frame)
            if change is not None:
                happened += self._subscribe(*change)
            elif frame.flags & zmtp.COMMAND:
                name, data = zmtp.split_command(frame.body)
                if name == b"PONG":
                    happened.append(Happened(Event.PONG, self.generation, data))
                elif name == b"PING":
                    self._urgent.append(zmtp.pong(data[2:]))
                    self._flush_urgent()
        return happened

    def _subscribe(self, wanted: bool, topic: bytes) -> list[Happened]:
        self.topics.change(wanted, topic)
        if self.phase is not Phase.SUBSCRIBING or not wanted:
            return []
        with self._lock:
            self.phase = Phase.UP
            self.topics.complain_again()
            self._condition.notify_all()
        self._pause = _RETRY_FIRST
        self._complained = ""
        log.info("responder connected endpoint=%s topic=%r", self.endpoint, topic.decode("latin-1"))
        return [Happened(Event.UP, self.generation)]

    def _flush_urgent(self) -> None:
        # never wait for the lock: a sender may hold it as long as Mongrel2 does not read
        if not self._lock.acquire(blocking=False):
            return
        try:
            while self._urgent and not self._amid and self.phase is Phase.UP and self._writable():
                self._write(self._urgent.popleft())
        except OSError:
            self._break()
        finally:
            self._lock.release()

    def _writable(self) -> bool:
        poller = select.poll()
        poller.register(self.fileno(), select.POLLOUT)
        return bool(poller.poll(0))

    def _break(self) -> None:
        """After a failed write, with the lock: wake the service thread, which reads the end and cleans up."""
        if self._sock is not None:
            try:
                self._sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def _lose(self, reason: str, now: float) -> list[Happened]:
        if self.phase is Phase.CLOSED:
            return []
        with self._lock:
            was_up = self.phase is Phase.UP
            if self._sock is not None:
                self._sock.close()
                self._sock = None
            self.phase = Phase.DOWN
            self._amid = False
            self._urgent.clear()
            self._condition.notify_all()
        self.retry_at = now + self._pause
        self._pause = min(self._pause * 2, _RETRY_MOST)
        if was_up:
            log.warning("responder lost endpoint=%s reason=%s", self.endpoint, reason)
        elif reason != self._complained:
            self._complained = reason
            log.warning("responder waits for Mongrel2 endpoint=%s reason=%s", self.endpoint, reason)
        return [Happened(Event.DOWN, self.generation)] if was_up else []
