"""uWSGI's wiring: each thread has its own PULL connection to every Mongrel2.

What that costs is in docs/topologies.md. In short: Mongrel2 deals round-robin, so a request may wait behind a slow
one although other threads are idle, and what waits in a dying worker's connections is lost.
"""

from __future__ import annotations

import logging
import select
import socket
import time
import uuid
from collections import deque
from contextlib import suppress
from typing import TYPE_CHECKING, Final, Protocol

from m2serve.errors import ClientGone, ProtocolError, TransportError
from m2serve.transports import peer
from m2serve.transports.base import Delivery
from m2serve.transports.held import DirectChannel, HeldAnswers
from m2serve.transports.responder import Origin
from m2serve.wire import mongrel2, zmtp

if TYPE_CHECKING:
    from m2serve.endpoint import Endpoint, ZmqPair
    from m2serve.transports.channel import Channel
    from m2serve.transports.responder import Responder

log = logging.getLogger("m2serve.worker")

_CHUNK: Final = 64 * 1024
_STEP: Final = 0.2
_OPENING_LIMIT: Final = 5.0
_RETRY_MOST: Final = 1.0


class Office(Protocol):
    """What a direct subscription needs of its worker; each method may be called from any thread."""

    def prove(self, index: int, origin: Origin, generation: int) -> None:
        """Have a responder connection proven alive after *origin*'s connection, which was alive after that one."""

    def announce_gone(self, index: int, conn: bytes) -> None:
        """A disconnect notice came, perhaps for another thread's client."""


class _Pull:
    """One blocking connection to one PUSH, opened and read by its thread."""

    def __init__(self, endpoint: Endpoint) -> None:
        self.endpoint = endpoint
        self.sock: socket.socket | None = None
        self.origin = Origin(0)
        self.origin.dead = True
        self.retry_at = 0.0
        self.pause = 0.02
        self.left = False
        self._decoder = zmtp.Decoder()
        self._complained = ""

    def open(self, now: float) -> bool:
        """Connect and shake hands; False if that failed, then ``retry_at`` says when to try again."""
        try:
            self.sock = self._connected()
        except (OSError, TransportError, ProtocolError) as error:
            self.retry_at = now + self.pause
            self.pause = min(self.pause * 2, _RETRY_MOST)
            if str(error) != self._complained:
                self._complained = str(error)
                log.warning("pull waits for Mongrel2 endpoint=%s reason=%s", self.endpoint, error)
            return False
        self.origin = Origin(self.origin.epoch + 1)
        self._decoder = zmtp.Decoder()
        self.pause = 0.02
        self._complained = ""
        return True

    def _connected(self) -> socket.socket:
        sock = peer.connect(self.endpoint)
        try:
            poller = select.poll()
            poller.register(sock, select.POLLOUT)
            poller.poll(_OPENING_LIMIT * 1000)
            reason = peer.connect_error(sock)
            if reason:
                raise TransportError(reason)
            sock.settimeout(_OPENING_LIMIT)
            sock.sendall(zmtp.GREETING)
            handshake = zmtp.Handshake(b"PUSH")
            while not handshake.done:
                chunk = sock.recv(handshake.missing)
                if not chunk:
                    raise TransportError("closed by the peer")
                handshake.feed(chunk)
            sock.sendall(zmtp.ready(b"PULL"))
            sock.settimeout(None)
        except BaseException:
            sock.close()
            raise
        return sock

    def read(self) -> list[zmtp.Frame]:
        """Wait for bytes; the frames that are complete.

        Raises:
            TransportError: the connection has ended.
        """
        assert self.sock is not None
        try:
            chunk = self.sock.recv(_CHUNK)
        except OSError as error:
            raise TransportError(str(error)) from None
        if not chunk:
            raise TransportError("closed by Mongrel2")
        return self._decoder.feed(chunk)

    def hung_up(self) -> bool:
        """Whether the peer has closed, without reading."""
        sock = self.sock
        fd = -1 if sock is None else sock.fileno()
        if fd < 0:
            return True
        poller = select.poll()
        poller.register(fd, select.POLLRDHUP)
        return bool(poller.poll(0))

    def close(self) -> None:
        sock, self.sock = self.sock, None
        if sock is not None:
            sock.close()


class DirectSubscription:
    """One thread's connections.

    Threads: the service thread calls :meth:`stop`, :meth:`client_gone`, :meth:`look_after` and :meth:`reprove`; the
    rest belongs to the subscribed thread.
    """

    def __init__(
        self,
        pairs: tuple[ZmqPair, ...],
        responders: list[Responder],
        office: Office,
        identity: uuid.UUID,
        largest: int,
    ) -> None:
        self.uuid = str(identity)
        self.channel: Channel | None = None
        self._pulls = [_Pull(pair.send) for pair in pairs]
        self._responders = responders
        self._office = office
        self._largest = largest
        self._ready: deque[tuple[int, bytes, bytes, bytes]] = deque()
        self._current: tuple[int, bytes] | None = None
        self._stopping = False
        self._left = False
        self._held = HeldAnswers()

    def receive(self) -> Delivery | None:
        """Wait for the next request on any connection; connects where it must."""
        while True:
            while self._ready:
                delivery = self._deliver(*self._ready.popleft())
                if delivery is not None:
                    return delivery
            self._held.flush()
            if not self._stopping:
                self._connect_missing()
            elif not self._left:
                self._leave()
            elif all(pull.sock is None for pull in self._pulls):
                return None
            self._wait_and_read()

    def done(self) -> None:
        """The request is over."""
        self._held.end()
        self.channel = self._current = None

    def client_gone(self, conn: bytes, endpoint: int) -> None:
        """If it is this thread's client that has left, say so to its channel."""
        channel = self.channel
        if channel is not None and self._current == (endpoint, conn):
            channel.gone = True

    def bequeath(self) -> DirectSubscription:
        """Our thread is stuck: a subscription for another one, which goes on with our connections and with what was
        read from them. Ours ends when it comes back."""
        heir = DirectSubscription((), self._responders, self._office, uuid.UUID(self.uuid), self._largest)
        heir._pulls, self._pulls = self._pulls, []
        heir._ready, self._ready = self._ready, deque()
        self._stopping = self._left = True
        return heir

    def stop(self) -> None:
        """Leave Mongrel2's PUSH, at once if idle, else when what was read has been served.

        A busy thread keeps its connection: when nobody at all takes notices, the first answer to a client that has
        left blocks Mongrel2's reader, and with it the answers of the others.
        """
        self._stopping = True
        if self.channel is None and not self._ready:
            self._leave()

    def _leave(self) -> None:
        """Half-close: Mongrel2 stops dealing to this thread; what it wrote is still read and served."""
        self._left = True
        for pull in self._pulls:
            sock = pull.sock
            if sock is not None:
                try:
                    sock.shutdown(socket.SHUT_WR)
                except OSError:
                    pass

    def look_after(self, index: int) -> bool:
        """The responder of an endpoint is away, or new: if its Mongrel2 is gone let nobody wait to answer it. A busy
        thread does not read its own connection, so it would wait long.

        Returns: whether the PUSH connection stands.
        """
        pull = self._pulls[index]
        if not pull.hung_up():
            return True
        if not self._left:  # else it was us who left, and Mongrel2 may well be there
            self._responders[index].forget(pull.origin)
        return False

    def reprove(self, index: int) -> None:
        """The responder of an endpoint is a new connection: is the PUSH connection still to the same Mongrel2?"""
        pull = self._pulls[index]
        sock = pull.sock
        if not self.look_after(index) or sock is None:
            return
        try:
            sock.send(zmtp.ping(self._responders[index].generation.to_bytes(8, "big")))
        except OSError:
            self._responders[index].forget(pull.origin)

    def _connect_missing(self) -> None:
        for index, pull in enumerate(self._pulls):
            if pull.sock is not None:
                continue
            # no request is taken before Mongrel2 listens to our answers
            up = self._responders[index].wait_up(_STEP if len(self._pulls) == 1 else 0.0)
            now = time.monotonic()
            if not up and not self._responders[index].is_stalled(now):
                continue
            if now < pull.retry_at:
                time.sleep(min(_STEP, pull.retry_at - now))
                continue
            generation = self._responders[index].generation
            if pull.open(now):
                if self._stopping:
                    self._leave()
                    return
                self._office.prove(index, pull.origin, generation)

    def _wait_and_read(self) -> None:
        live = [(index, pull) for index, pull in enumerate(self._pulls) if pull.sock is not None]
        if len(self._pulls) > 1:
            live = self._readable(live)
        for index, pull in live:
            try:
                self._sort(index, pull, pull.read())
            except (OSError, TransportError, ProtocolError) as error:
                if self._stopping:
                    log.debug("pull left endpoint=%s", pull.endpoint)
                else:
                    log.warning("pull lost endpoint=%s reason=%s", pull.endpoint, error)
                    self._responders[index].forget(pull.origin)
                pull.close()

    def _readable(self, live: list[tuple[int, _Pull]]) -> list[tuple[int, _Pull]]:
        poller = select.poll()
        by_fd = {}
        for index, pull in live:
            if pull.sock is not None:
                by_fd[pull.sock.fileno()] = (index, pull)
                poller.register(pull.sock, select.POLLIN)
        step = _STEP * 1000 if len(live) < len(self._pulls) else 1000
        return [by_fd[fd] for fd, _ in poller.poll(step)]

    def _sort(self, index: int, pull: _Pull, frames: list[zmtp.Frame]) -> None:
        for flags, body in frames:
            if flags & zmtp.COMMAND:
                name, data = zmtp.split_command(body)
                if name == b"PONG":
                    self._office.prove(index, pull.origin, int.from_bytes(data, "big"))
                elif name == b"PING" and pull.sock is not None:
                    pull.sock.send(zmtp.pong(data[2:]))
                continue
            named = mongrel2.client(body)
            if named is None:
                log.warning("bad message endpoint=%s conn=- dropped head=%r", pull.endpoint, body[:60])
                continue
            sender, conn = named
            kind = mongrel2.notice(body)
            if kind is not None:
                if kind is mongrel2.Kind.DISCONNECT:
                    self._office.announce_gone(index, conn)
                continue
            self._ready.append((index, sender, conn, body))

    def _deliver(self, index: int, sender: bytes, conn: bytes, raw: bytes) -> Delivery | None:
        origin = self._pulls[index].origin
        if origin.dead:
            return None
        self._held.more = bool(self._ready)
        self._held.begin()
        channel = DirectChannel(self._responders[index], origin, mongrel2.head(sender, conn), self._held)
        if len(raw) > self._largest:
            log.warning("request answered 413 conn=%s size=%d", conn.decode("latin-1"), len(raw))
            with suppress(ClientGone):
                channel.send(mongrel2.error_answer(413))
                channel.close()
            return None
        self._current = (index, conn)
        self.channel = channel
        return Delivery(raw, channel, index)
