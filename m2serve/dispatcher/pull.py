"""The connection to one Mongrel2's PUSH: made, proven, left, and taken over from a predecessor."""

from __future__ import annotations

import logging
import socket
from typing import TYPE_CHECKING, Final

from m2serve.dispatcher.phase import Phase
from m2serve.dispatcher.recount import arm
from m2serve.errors import ProtocolError, TransportError
from m2serve.transports import ledger, peer
from m2serve.transports.responder import Origin
from m2serve.wire import zmtp

if TYPE_CHECKING:
    from collections.abc import Callable

    from m2serve.endpoint import ZmqPair

log = logging.getLogger("m2serve.dispatcher")

_OPENING_LIMIT: Final = 5.0
_RETRY_FIRST: Final = 0.02
_RETRY_MOST: Final = 1.0


class Pull:
    """The connection of one endpoint, and its words in the ledger.

    The descriptor is also kept by the master (``keep`` gives it away before the handshake), so that it, and the count
    of what was read, outlive this process.
    """

    def __init__(
        self,
        index: int,
        pair: ZmqPair,
        words: memoryview,
        keep: Callable[[int, int], None],
        drop: Callable[[int], None],
    ) -> None:
        self.index = index
        self.pair = pair
        self.words = words
        self.epoch = int(words[ledger.EPOCH])
        """Number of the current connection, as in the ledger."""
        self.phase = Phase.IDLE
        self.sock: socket.socket | None = None
        self.origin = Origin(self.epoch)
        self.origin.dead = True
        self.retry_at = 0.0
        self.attempt = 0
        self._keep = keep
        self._drop = drop
        self._pause = _RETRY_FIRST
        self._opening_until = 0.0
        self._handshake = zmtp.Handshake(b"PUSH")
        self._complained = ""

    @property
    def is_unix(self) -> bool:
        """Whether it is a Unix socket, and not TCP."""
        return self.pair.send.scheme == "ipc"

    def fileno(self) -> int:
        """The socket's descriptor, -1 while there is none."""
        return self.sock.fileno() if self.sock is not None else -1

    @property
    def wants_write(self) -> bool:
        """Whether to wait for writability: the connection is being made."""
        return self.phase is Phase.CONNECTING

    def deadline(self) -> float | None:
        """When :meth:`tick` has something to do."""
        if self.phase is Phase.WAITING:
            return self.retry_at
        if self.phase in (Phase.CONNECTING, Phase.OPENING):
            return self._opening_until
        return None

    # -- connection --------------------------------------------------------------------------------------------

    def tick(self, now: float) -> None:
        """Connect when it is time; give up an opening that takes too long."""
        if self.phase is Phase.WAITING and now >= self.retry_at:
            self.connect(now)
        elif self.phase in (Phase.CONNECTING, Phase.OPENING) and now >= self._opening_until:
            self.fail("no ZMTP handshake in time", now)

    def connect(self, now: float) -> None:
        """Begin a new connection."""
        try:
            self.attempt += 1
            self.sock = peer.connect(self.pair.send)
        except TransportError as error:
            self.fail(str(error), now)
            return
        # Before the handshake: a request can only come over a connection that the master holds, too.
        self.words[ledger.PHASE] = ledger.NONE
        self._keep(self.index, self.sock.fileno())
        self._handshake = zmtp.Handshake(b"PUSH")
        self._opening_until = now + _OPENING_LIMIT
        self.phase = Phase.CONNECTING

    def opening(self, now: float) -> bool:
        """Go on with the handshake when the socket is ready; True once the connection is open."""
        assert self.sock is not None
        try:
            if self.phase is Phase.CONNECTING:
                reason = peer.connect_error(self.sock)
                if reason:
                    raise TransportError(reason)
                self.sock.send(zmtp.GREETING)
                self.phase = Phase.OPENING
                return False
            while not self._handshake.done:
                # never past the handshake: position 0 of the ring must be the start of a frame
                chunk = self.sock.recv(self._handshake.missing)
                if not chunk:
                    raise TransportError("closed by the peer")
                self._handshake.feed(chunk)
            self._establish()
            return True
        except BlockingIOError:
            return False
        except (OSError, TransportError, ProtocolError) as error:
            self.fail(str(error), now)
            return False

    def _establish(self) -> None:
        assert self.sock is not None
        words = self.words
        for word in (
            ledger.RECEIVED,
            ledger.TAIL,
            ledger.GIANT,
            ledger.SKIP,
            ledger.ARMED,
            ledger.BASE,
        ):
            words[word] = 0
        self._begin_anew()
        words[ledger.OPENING] = self._handshake.taken
        self.epoch += 1
        words[ledger.EPOCH] = self.epoch
        words[ledger.PHASE] = ledger.ESTABLISHED
        if self.is_unix:
            arm(self.sock, words)
        # Only now does Mongrel2 count us in; the ledger is ready for the first byte.
        self.sock.send(zmtp.ready(b"PULL"))
        self.origin = Origin(self.epoch)
        self.phase = Phase.OPEN
        self._pause = _RETRY_FIRST
        self._complained = ""
        log.info("pull connected endpoint=%s epoch=%d", self.pair.send, self.epoch)

    def _begin_anew(self) -> None:
        """Before the first byte of a new connection."""

    def fail(self, reason: str, now: float) -> None:
        """The connection, or the attempt, is over; try again later unless we are leaving."""
        was_open = self.phase in (Phase.OPEN, Phase.LEAVING)
        if self.sock is not None:
            self.sock.close()
            self.sock = None
            self.words[ledger.PHASE] = ledger.NONE
            self.words[ledger.AWAKE] = 0
            self._drop(self.index)
        if self.phase is Phase.LEAVING:
            self.phase = Phase.LEFT
            log.info("pull left endpoint=%s", self.pair.send)
            return
        self.phase = Phase.WAITING
        self.retry_at = now + self._pause
        self._pause = min(self._pause * 2, _RETRY_MOST)
        if was_open:
            log.warning("pull lost endpoint=%s reason=%s", self.pair.send, reason)
        elif reason != self._complained:
            self._complained = reason
            log.warning("pull waits for Mongrel2 endpoint=%s reason=%s", self.pair.send, reason)

    def leave(self, now: float) -> None:
        """Half-close: Mongrel2 stops dealing to us; what it has written is still read and served."""
        if self.phase is Phase.OPEN and self.sock is not None:
            self.phase = Phase.LEAVING
            self.words[ledger.PHASE] = ledger.LEAVING
            try:
                self.sock.shutdown(socket.SHUT_WR)
            except OSError as error:
                self.fail(str(error), now)
        elif self.phase is not Phase.LEAVING:
            if self.sock is not None:
                self.sock.close()
                self.sock = None
                self._drop(self.index)
            self.phase = Phase.LEFT

    def ping(self, context: bytes) -> None:
        """Ask Mongrel2 for a PONG over this connection."""
        if self.sock is not None and self.phase is Phase.OPEN:
            try:
                self.sock.send(zmtp.ping(context))
            except OSError as error:
                log.debug("ping endpoint=%s failed: %s", self.pair.send, error)
