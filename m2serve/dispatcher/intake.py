"""The dispatcher's side of one Mongrel2's PUSH: a plain socket, a ring in the ledger, frames out of it."""

from __future__ import annotations

import array
import fcntl
import logging
import os
import re
import socket
import struct
import termios
from collections import deque
from contextlib import suppress
from enum import Enum
from functools import partial
from typing import TYPE_CHECKING, Final

from m2serve.dispatcher import credits
from m2serve.dispatcher.credits import Debts
from m2serve.dispatcher.taken import Arrival, Marked, State, Taken
from m2serve.errors import ProtocolError, TransportError
from m2serve.transports import ledger, peer
from m2serve.transports.card import MAX_SENDER
from m2serve.transports.responder import Origin
from m2serve.wire import zmtp

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from m2serve.endpoint import ZmqPair
    from m2serve.transports.ledger import Ring

log = logging.getLogger("m2serve.dispatcher")

_BATCH: Final = 256 * 1024
_OPENING_LIMIT: Final = 5.0
_RETRY_FIRST: Final = 0.02
_RETRY_MOST: Final = 1.0
_FREE_EVERY: Final = 32 * 1024
_RELEASE_OVER: Final = 1 << 20
_SO_PEEK_OFF: Final = 42  # asm-generic/socket.h; Python has no name for it
_TCPI_BYTES_RECEIVED: Final = 128  # offset in struct tcp_info, linux/tcp.h
_FIN_TO_COME: Final = (1, 4, 5)
"""TCP states (include/net/tcp_states.h) before the peer's FIN: ESTABLISHED, FIN_WAIT1, FIN_WAIT2."""
_MARK_FILE: Final = b"mongrel2-upload"
_MARK_STREAM: Final = b"UPLOAD_STREAM"
_MARK_CREDITS: Final = b"DOWNLOAD_CREDITS"
_CREDIT_TAIL: Final = b'18:{"type":"credits"},'
# Nothing but these two headers: a client can make no message with the first, and no socket message without PATH.
_CREDIT = re.compile(
    rb"[A-Za-z0-9-]{1,%d} ([0-9]{1,18}) @\* [0-9]{2,3}:"
    rb"(?:\{(?:\"METHOD\":\"JSON\",)?\"DOWNLOAD_CREDITS\":\"([0-9]{1,10})\"(?:,\"METHOD\":\"JSON\")?\},"
    rb"|(?:6:METHOD,4:JSON,)?16:DOWNLOAD_CREDITS,[0-9]{1,2}:([0-9]{1,10}),(?:6:METHOD,4:JSON,)?\})"
    rb"%b" % (MAX_SENDER, re.escape(_CREDIT_TAIL))
)
_SENDER = re.compile(rb"[A-Za-z0-9-]{1,%d}" % MAX_SENDER)


class Phase(Enum):
    """Life of the PUSH connection."""

    IDLE = "idle"
    """nobody could serve a request yet: not connected"""
    WAITING = "waiting"
    """the last attempt failed: connects again after a pause"""
    CONNECTING = "connecting"
    OPENING = "opening"
    OPEN = "open"
    LEAVING = "leaving"
    """half-closed: reads what was sent, then LEFT"""
    LEFT = "left"


class Intake:
    """One endpoint's PUSH connection and ring.

    The descriptor is also kept by the master (``keep`` gives it away before the handshake), so that it, the ring and
    the count of what was read outlive this process.
    """

    def __init__(
        self,
        index: int,
        pair: ZmqPair,
        ring: Ring,
        keep: Callable[[int, int], None],
        drop: Callable[[int], None],
        *,
        flow_control: bool = False,
    ) -> None:
        self.index = index
        self.pair = pair
        self.ring = ring
        self.words = ring.words
        self.epoch = int(ring.words[ledger.EPOCH])
        """Number of the current PUSH connection, as in the ledger."""
        self.phase = Phase.IDLE
        self.sock: socket.socket | None = None
        self.origin = Origin(self.epoch)
        self.origin.dead = True
        self.queue: deque[Taken] = deque()
        self.current: dict[bytes, Taken] = {}
        """Connection to its earliest request that is not over."""
        self.pipelining: set[bytes] = set()
        """Connections that have sent a request before the answer to an earlier one."""
        self.live: deque[Taken] = deque()
        """Taken requests in the order of the ring, for freeing its tail."""
        self.pongs: deque[bytes] = deque()
        self.strangers: list[bytes] = []
        """Handler identities seen for the first time."""
        self.debts: Debts | None = Debts(ring.debts) if ring.words[ledger.FLOW] else None
        """What connections owe; None: Mongrel2 is not known to give download credits."""
        self.marks_credits = ring.words[ledger.FLOW] != ledger.PROVEN
        """Whether requests that speak of download credits come as Marked: they prove that there are such."""
        self.doubts_credits = ring.words[ledger.FLOW] == ledger.PRESUMED
        """Whether requests may wait for credit of a Mongrel2 that has never given any."""
        self.credited: Callable[[bytes, int], None] = partial(credits.credited, self)
        self._flow_control = flow_control
        self.full = False
        """The ring is full, and something that waits in it keeps its tail where it is: see Router.make_room."""
        self.retry_at = 0.0
        self.attempt = 0
        self._keep = keep
        self._drop = drop
        self._pause = _RETRY_FIRST
        self._opening_until = 0.0
        self._handshake = zmtp.Handshake(b"PUSH")
        self._parsed = 0
        self._need = 0
        self._known_senders: set[bytes] = set()
        self._complained = ""
        self._largest = ring.size // 2

    @property
    def is_unix(self) -> bool:
        """Whether the kernel counts received bytes for us (TCP) or we keep count by peeking (Unix)."""
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
            ledger.CONSUMED,
            ledger.BASE,
        ):
            words[word] = 0
        self._forget_debts()
        if self._flow_control:
            self.count_debts(proven=False)
        words[ledger.OPENING] = self._handshake.taken
        self.epoch += 1
        words[ledger.EPOCH] = self.epoch
        words[ledger.PHASE] = ledger.ESTABLISHED
        if self.is_unix:
            self.sock.setsockopt(socket.SOL_SOCKET, _SO_PEEK_OFF, 0)
        # Only now does Mongrel2 count us in; the ledger is ready for the first byte.
        self.sock.send(zmtp.ready(b"PULL"))
        self._parsed = self._need = 0
        self.origin = Origin(self.epoch)
        self.phase = Phase.OPEN
        self._pause = _RETRY_FIRST
        self._complained = ""
        self.pongs.clear()
        log.info("pull connected endpoint=%s epoch=%d", self.pair.send, self.epoch)

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

    def count_debts(self, *, proven: bool) -> None:
        """This Mongrel2 gives download credits, or is said to: count them from now on."""
        if self.debts is None:
            self.debts = Debts(self.ring.debts)
            self.words[ledger.FLOW] = ledger.PRESUMED
            self.doubts_credits = True
        if proven and self.marks_credits:
            self.words[ledger.FLOW] = ledger.PROVEN
            self.marks_credits = self.doubts_credits = False
            log.info("flow control endpoint=%s", self.pair.send)

    def disbelieve_credits(self) -> None:
        """It does not give any."""
        self._flow_control = False
        self._forget_debts()

    def _forget_debts(self) -> None:
        """A new connection: perhaps to a Mongrel2 that was started anew."""
        if self.debts is not None:
            self.debts.clear()
            self.words[ledger.FLOW] = 0  # and not before: while it is 0 the table is empty
            self.debts = None
        self.marks_credits = True

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

    # -- bytes -------------------------------------------------------------------------------------------------

    def receive(self) -> bool:
        """Take what has come into the ring; False at the end of the stream.

        Raises:
            OSError: the connection broke.
        """
        assert self.sock is not None
        words, ring = self.words, self.ring
        received = words[ledger.RECEIVED]
        if received - words[ledger.TAIL] > _FREE_EVERY:
            self.free()
        tail = words[ledger.TAIL]
        if tail == received:
            words[ledger.BASE] = received
        start = ring.offset(received)
        room = min(ring.size - (received - tail), ring.size - start, _BATCH)
        if room == 0:
            self.free()
            self.full = words[ledger.TAIL] == tail
            return True  # full of requests that wait: Mongrel2 keeps the rest
        try:
            if self.is_unix:
                return self._receive_counted(start, room)
            count = self.sock.recv_into(ring.data[start : start + room])
        except BlockingIOError:
            return True
        words[ledger.RECEIVED] = received + count
        return count > 0

    def _receive_counted(self, start: int, room: int) -> bool:
        """Peek, commit, consume: a successor tells by the peek offset which of the three happened."""
        assert self.sock is not None
        words = self.words
        count = self.sock.recv_into(self.ring.data[start : start + room], 0, socket.MSG_PEEK)
        words[ledger.RECEIVED] += count
        self._consume(count)
        return count > 0

    def _consume(self, count: int) -> None:
        assert self.sock is not None
        while count:
            gone = len(self.sock.recv(count))
            self.words[ledger.CONSUMED] += gone
            count -= gone

    def arrivals(self, now: float) -> Iterable[Taken | Marked | Arrival]:
        """Every message that is complete in the ring and was not given before.

        Requests come as Taken, those that may speak of uploads or credits as Marked, what is notice or fault as
        Arrival; commands are handled here.
        """
        words, ring = self.words, self.ring
        received = words[ledger.RECEIVED]
        at = self._parsed
        if words[ledger.GIANT] < at < words[ledger.SKIP]:
            at = self._parsed = min(received, words[ledger.SKIP])
        if received < self._need or at == received:
            return
        data = ring.copy(at, received - at)
        # one look at all that came; hardly ever is there anything to be found
        marked = _MARK_FILE in data or _MARK_STREAM in data or (self.marks_credits and _MARK_CREDITS in data)
        counts = self.debts is not None
        i, end = 0, len(data)
        while end - i >= 2:
            flags = data[i]
            if flags & zmtp.LONG:
                if end - i < 9:
                    break
                size = int.from_bytes(data[i + 1 : i + 9], "big")
                start = i + 9
            else:
                size = data[i + 1]
                start = i + 2
            stop = start + size
            if size > self._largest:
                # the head is enough to refuse it; the rest is skipped as it comes
                if end - start < 512:
                    self._need = at + start + 512
                    break
                words[ledger.GIANT], words[ledger.SKIP] = at + i, at + stop
                self._parsed = received if received < at + stop else at + stop
                self._need = 0
                if not flags & ledger.TAKEN:  # else a predecessor has refused it
                    yield self._refused(at + i, at + start, size, data[start : start + 512])
                if received > at + stop:
                    yield from self.arrivals(now)
                return
            if stop > end:
                self._need = at + stop
                break
            i_frame, i = i, stop
            self._parsed = at + stop
            if flags & ledger.TAKEN:
                continue
            if flags & zmtp.COMMAND:
                ring.take(at + i_frame)
                self._command(data[start:stop])
            elif counts and data.endswith(_CREDIT_TAIL, start, stop) and (said := _CREDIT.fullmatch(data, start, stop)):
                # one for each message we send: the shortest way there is; TAKEN first, for twice would be too much
                ring.take(at + i_frame)
                self.credited(said[1], int(said[2] or said[3]))
            else:
                found = self._head(at + i_frame, at + start, size, data, start, stop, flags)
                if isinstance(found, Arrival):
                    yield found
                else:
                    taken = Taken(self, at + i_frame, at + start, size, found[0], found[1], now)
                    yield Marked(taken, data[start:stop]) if marked and self._is_marked(data, start, stop) else taken

    def _head(
        self, frame: int, position: int, size: int, data: bytes, start: int, stop: int, flags: int
    ) -> Arrival | tuple[bytes, bytes]:
        """Sender and connection of a request; an Arrival for everything else."""
        first = data.find(b" ", start, stop)
        second = data.find(b" ", first + 1, stop)
        if first < 0 or second < 0:
            return Arrival(frame, position, size, b"", b"", False, (400, "no sender and connection"))
        sender = data[start:first]
        conn = data[first + 1 : second]
        if sender not in self._known_senders:
            if not _SENDER.fullmatch(sender):
                return Arrival(frame, position, size, b"", b"", False, (400, "sender cannot be answered"))
            if len(self._known_senders) < 1024:
                self._known_senders.add(sender)
                self.strangers.append(sender)
        if not conn.isdigit() or len(conn) > 18:
            return Arrival(frame, position, size, b"", b"", False, (400, "connection is no number"))
        if flags & ~zmtp.LONG:
            return Arrival(frame, position, size, sender, conn, False, (400, "message in several parts"))
        if data.startswith(b"@* ", second + 1):
            return Arrival(frame, position, size, sender, conn, True, None)
        return sender, conn

    def _is_marked(self, data: bytes, start: int, stop: int) -> bool:
        """Whether the message between *start* and *stop* is one of those that the batch was marked for."""
        if data.find(_MARK_FILE, start, stop) >= 0 or data.find(_MARK_STREAM, start, stop) >= 0:
            return True
        return self.marks_credits and data.find(_MARK_CREDITS, start, stop) >= 0

    def _refused(self, frame: int, position: int, size: int, head: bytes) -> Arrival:
        found = self._head(frame, position, size, head, 0, len(head), 0)
        sender, conn = (found.sender, found.conn) if isinstance(found, Arrival) else found
        reason = f"message of {size} bytes, at most {self._largest} (request-buffer / 2)"
        return Arrival(frame, position, size, sender, conn, False, (413, reason))

    def _command(self, body: bytes) -> None:
        name, data = zmtp.split_command(body)
        if name == b"PONG":
            self.pongs.append(data)
        elif name == b"PING" and self.sock is not None:
            try:
                self.sock.send(zmtp.pong(data[2:]))
            except OSError as error:
                log.debug("pong endpoint=%s failed: %s", self.pair.send, error)

    def free(self) -> None:
        """Move the tail over everything that nobody needs to read any more."""
        live = self.live
        while live and _is_copied(live[0]):
            live.popleft()
        tail = live[0].frame if live else self._parsed
        words = self.words
        received = words[ledger.RECEIVED]
        words[ledger.TAIL] = tail
        if tail == received and received - words[ledger.BASE] > _RELEASE_OVER:
            words[ledger.BASE] = received

    def free_if_due(self) -> None:
        """Free, but not after each request: it is a walk."""
        words = self.words
        if words[ledger.RECEIVED] - words[ledger.TAIL] > _FREE_EVERY or not self.current:
            self.free()

    # -- succession --------------------------------------------------------------------------------------------

    def adopt(self, fd: int, now: float, claimed: set[tuple[int, int]]) -> None:
        """Take over a predecessor's connection.

        Args:
            fd: the descriptor that the master kept.
            claimed: ``(epoch, frame)`` of every request that some slot's cell names.
        """
        self.sock = socket.socket(fileno=fd)
        words = self.words
        if words[ledger.PHASE] == ledger.NONE:
            # no READY was sent: Mongrel2 never dealt us anything over it
            self.fail("predecessor died during the handshake", now)
            return
        try:
            self._recount()
            if words[ledger.PHASE] == ledger.ESTABLISHED:
                # the predecessor may have died before its own; a second one is ignored
                self.sock.send(zmtp.ready(b"PULL"))
        except (OSError, TransportError) as error:
            self.origin = Origin(self.epoch)
            self.phase = Phase.OPEN
            self.fail(str(error), now)
            return
        self.origin = Origin(self.epoch)
        self.phase = Phase.OPEN
        if self._flow_control:
            self.count_debts(proven=False)
        if words[ledger.PHASE] == ledger.LEAVING:
            self.phase = Phase.LEAVING
            with suppress(OSError):  # done already, and perhaps Mongrel2 has closed its half
                self.sock.shutdown(socket.SHUT_WR)
        self._parsed = words[ledger.TAIL]
        self._need = 0
        for epoch, frame in claimed:
            if epoch == self.epoch and words[ledger.TAIL] <= frame < words[ledger.RECEIVED]:
                self.ring.take(frame)
        log.info("pull taken over endpoint=%s epoch=%d", self.pair.send, self.epoch)

    def _recount(self) -> None:
        """Find out what the predecessor had taken from the socket when it died."""
        assert self.sock is not None
        words = self.words
        if self.is_unix:
            peeked = struct.unpack("i", self.sock.getsockopt(socket.SOL_SOCKET, _SO_PEEK_OFF, 4))[0]
            behind = words[ledger.RECEIVED] - words[ledger.CONSUMED]
            if peeked and behind:  # died before it had consumed, or amid: the kernel counts down as bytes go
                self._consume(min(peeked, behind))
            words[ledger.CONSUMED] = words[ledger.RECEIVED]  # it may have died before it noted that
            self.sock.setsockopt(socket.SOL_SOCKET, _SO_PEEK_OFF, 0)
            return
        unread, info = -1, b""
        while unread != (unread := _unread(self.sock)):  # else more came between the two: they do not belong together
            info = self.sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 256)
        arrived = struct.unpack_from("Q", info, _TCPI_BYTES_RECEIVED)[0]
        received = arrived - unread - words[ledger.OPENING]
        if info[0] not in _FIN_TO_COME:
            error = self.sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            if error:
                raise TransportError(os.strerror(error).lower())
            received -= 1  # the peer's FIN counts as a byte that has arrived, but not as one that is unread
        if not words[ledger.RECEIVED] <= received <= words[ledger.RECEIVED] + _BATCH:
            raise TransportError(f"ledger says {words[ledger.RECEIVED]} bytes, kernel {received}")
        words[ledger.RECEIVED] = received


def _unread(sock: socket.socket) -> int:
    """Bytes that have arrived and were not read."""
    count = array.array("i", [0])
    fcntl.ioctl(sock, termios.FIONREAD, count)
    return count[0]


def _is_copied(taken: Taken) -> bool:
    """Whether nobody will read the request's bytes from the ring again."""
    if taken.state is State.OVER:
        return True
    if taken.state is State.HANDED:
        assert taken.crew is not None
        return taken.crew.has_copied(taken)
    return False
