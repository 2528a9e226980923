"""What comes from one Mongrel2: bytes from its PUSH into a ring in the ledger, frames out of it."""

from __future__ import annotations

import logging
import re
import socket
from collections import deque
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Final

from m2serve.dispatcher import credits
from m2serve.dispatcher.credits import Debts
from m2serve.dispatcher.phase import Phase
from m2serve.dispatcher.pull import Pull
from m2serve.dispatcher.recount import ARM_AFTER, BATCH, arm, recount
from m2serve.dispatcher.taken import Arrival, Marked, State, Taken
from m2serve.errors import TransportError
from m2serve.transports import ledger
from m2serve.transports.card import MAX_SENDER
from m2serve.transports.responder import Origin
from m2serve.wire import zmtp

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from m2serve.endpoint import ZmqPair
    from m2serve.transports.ledger import Ring

log = logging.getLogger("m2serve.dispatcher")

_FREE_EVERY: Final = 32 * 1024
_RELEASE_OVER: Final = 1 << 20
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
_UNUSUAL: Final = ~zmtp.LONG
_SENDER = re.compile(rb"[A-Za-z0-9-]{1,%d}" % MAX_SENDER)


class Intake(Pull):
    """One endpoint's connection, its ring, and what has come by it."""

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
        super().__init__(index, pair, ring.words, keep, drop)
        self.ring = ring
        self.queue: deque[Taken] = deque()
        self.urgent: deque[Taken] = deque()
        """Health checks that wait."""
        self.keeps_running = False
        """What runs stays in the ring until it is over, as far as half of the ring reaches: it may run again."""
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
        self._parsed = 0
        self._need = 0
        self._known_senders: set[bytes] = set()
        self._largest = ring.size // 2

    def _begin_anew(self) -> None:
        self._parsed = self._need = 0
        self.pongs.clear()
        self._forget_debts()
        if self._flow_control:
            self.count_debts(proven=False)

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
        room = min(ring.size - (received - tail), ring.size - start, BATCH)
        if room == 0:
            self.free()
            self.full = words[ledger.TAIL] == tail
            return True  # full of requests that wait: Mongrel2 keeps the rest
        try:
            count = self.sock.recv_into(ring.data[start : start + room])
        except BlockingIOError:
            return True
        # should we die before this, a successor learns from the kernel how many they were
        words[ledger.RECEIVED] = received = received + count
        if received - words[ledger.ARMED] > ARM_AFTER and self.is_unix:
            arm(self.sock, words)
        return count > 0

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
        known = self._known_senders
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
                continue
            if counts and data.endswith(_CREDIT_TAIL, start, stop) and (said := _CREDIT.fullmatch(data, start, stop)):
                # one for each message we send: the shortest way there is; TAKEN first, for twice would be too much
                ring.take(at + i_frame)
                self.credited(said[1], int(said[2] or said[3]))
                continue
            first = data.find(b" ", start, stop)
            second = data.find(b" ", first + 1, stop)
            sender, conn = data[start:first], data[first + 1 : second]
            if (
                first < 0
                or second < 0
                or flags & _UNUSUAL
                or sender not in known
                or not conn.isdigit()
                or len(conn) > 18
                or data.startswith(b"@", second + 1)
            ):
                found = self._head(at + i_frame, at + start, size, data, start, stop, flags)
                if isinstance(found, Arrival):
                    yield found
                    continue
                sender, conn = found
            taken = Taken(self, at + i_frame, at + start, size, sender, conn, now)
            yield Marked(taken, data[start:stop]) if marked and self._is_marked(data, start, stop) else taken

    def _head(
        self, frame: int, position: int, size: int, data: bytes, start: int, stop: int, flags: int
    ) -> Arrival | tuple[bytes, bytes]:
        """Sender and connection of a request; an Arrival for everything else. The usual ones do not come here."""
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
        while live and _is_copied(live[0]) and not (self.keeps_running and self._keeps(live[0])):
            live.popleft()
        tail = live[0].frame if live else self._parsed
        words = self.words
        received = words[ledger.RECEIVED]
        words[ledger.TAIL] = tail
        if tail == received and received - words[ledger.BASE] > _RELEASE_OVER:
            words[ledger.BASE] = received

    def _keeps(self, taken: Taken) -> bool:
        return (
            taken.state is State.HANDED
            and not taken.retried
            and not taken.drain
            and self.words[ledger.RECEIVED] - taken.frame <= self._largest
        )

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
            recount(self.sock, words, is_unix=self.is_unix)
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


def _is_copied(taken: Taken) -> bool:
    """Whether nobody will read the request's bytes from the ring again."""
    if taken.state is State.OVER:
        return True
    if taken.state is State.HANDED:
        assert taken.crew is not None
        return taken.crew.has_copied(taken)
    return False
