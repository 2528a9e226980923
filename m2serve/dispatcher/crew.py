"""What the dispatcher believes about one worker."""

from __future__ import annotations

import os
import socket
from collections import deque
from typing import TYPE_CHECKING, Final

from m2serve.dispatcher.credits import settle
from m2serve.dispatcher.drains import Drains
from m2serve.dispatcher.late import late_slots
from m2serve.transports import card as cards
from m2serve.transports.card import Card
from m2serve.wire import crew as words

if TYPE_CHECKING:
    from collections.abc import Sequence

    from m2serve.config.deadlines import Deadlines
    from m2serve.dispatcher.taken import Taken
    from m2serve.transports.node import WorkerPost


_PATIENCE: Final = 0.001
"""Seconds that a woken thread has to get up before another is woken."""

_TRUST: Final = 0.0001
"""Seconds for which a thread that is up is expected to come to more work by itself. A slow request breaks that trust,
and who was to be next is late by this."""


_FEW: Final = 3
"""From so many requests on it is not looked whether they were taken before it is time to ring again."""


_ROOM: Final = 1 << 20
"""Bytes that may lie in the link, if the kernel allows it: pieces of streamed uploads travel there."""

_NONE: Final = ()


class Crew:
    """A worker's slots, one a thread, as places for requests.

    Attributes:
        free: slots without mail, the one that was freed last at the end: it is filled first, its memory is warm.
        running: slot to the request in it.
        unrung: requests handed out that were not seen to be taken yet.
        waiting: requests that must go to this worker because their connection's last answer left from it.
        drains: its answers that go on without a slot.
        epochs: by endpoint the epoch whose requests may go here, 0 while none may.
        generations: endpoint to the responder's generation, while it is up.
        late: of a dead worker, slots whose requests had run for longer than they may.
    """

    __slots__ = (
        "_awake",
        "_bell",
        "_called",
        "_heads",
        "_post",
        "_progress",
        "_raw",
        "_seen",
        "_senders",
        "_synced",
        "_write",
        "card",
        "drains",
        "epochs",
        "free",
        "generations",
        "key",
        "late",
        "leaving",
        "link",
        "mails",
        "outbox",
        "ready",
        "running",
        "threads",
        "unrung",
        "waiting",
        "worker",
    )

    def __init__(self, post: WorkerPost, endpoints: int = 1) -> None:
        self._post = post
        self.key = post.key
        self.worker = post.worker
        self.threads = post.threads
        self.card = Card(post.card_fd, post.threads)
        self.mails = self.card.mails
        self.drains = Drains(self.card)
        self._write = self.card.write
        self._awake = self.card.awake
        self._heads = self.card.heads
        self.link = socket.socket(fileno=post.crew_dispatcher_fd)
        self.link.setblocking(False)
        self.link.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _ROOM)
        self.outbox: deque[bytes] = deque()
        self.ready = False
        self.leaving = False
        self.late: frozenset[int] = frozenset()
        self.free = list(range(post.threads - 1, -1, -1))
        self.running: dict[int, Taken] = {}
        self.waiting: deque[Taken] = deque()
        self.epochs = [0] * endpoints
        self._synced = [0] * endpoints
        self.generations: dict[int, int] = {}
        self.unrung: list[Taken] = []
        self._bell = post.bell_write_fd
        self._progress = 0.0
        self._called = False
        """A thread was woken and has finished nothing yet."""
        self._seen: list[int] = [0] * (2 * post.threads)
        """The heads as far as they are dealt with."""
        self._raw = b""
        """The heads as they were at the last look; what was seen to be so needs no second look."""
        self._senders: list[bytes] = [b""] * post.threads

    def __repr__(self) -> str:
        return f"worker {self.worker}"

    def serves(self, endpoint: int, epoch: int) -> bool:
        """Whether requests of that connection may go here."""
        return self.epochs[endpoint] == epoch

    def greet(self) -> None:
        """The worker has loaded its application."""
        self.ready = True
        self._settle()

    def sync(self, endpoint: int, epoch: int) -> None:
        """The worker's responder is proven for a PUSH connection."""
        self._synced[endpoint] = epoch
        self._settle()

    def unsync(self, endpoint: int) -> None:
        """The worker's responder is lost, or new and not proven."""
        self._synced[endpoint] = 0
        self._settle()

    def leave(self) -> None:
        """The worker drains."""
        self.leaving = True
        self._settle()

    def _settle(self) -> None:
        open_now = self.ready and not self.leaving
        self.epochs = list(self._synced) if open_now else [0] * len(self._synced)

    def hand(self, taken: Taken, serial: int, road: int, now: float, credit: int = cards.UNLIMITED) -> None:
        """Put *taken* into a free slot, and see to it that a thread takes it."""
        slot = self.free.pop()
        intake = taken.intake
        frame = taken.frame
        self._write(
            slot,
            intake.index,
            taken.epoch,
            taken.position,
            taken.size,
            int(taken.conn),
            frame,
            road,
            taken.kind,
            credit,
        )
        if self._senders[slot] != taken.sender:
            self.card.set_sender(slot, taken.sender)
            self._senders[slot] = taken.sender
        taken.crew = self
        taken.slot = slot
        taken.serial = serial
        taken.handed = now
        self.running[slot] = taken
        # The order matters to a successor: mail first, then the mark; a cell names its frame even when it is empty.
        self.mails[slot] = self._seen[slot] = serial
        self._raw = b""  # the word may be 0 again before the next look, as it was at the last
        intake.ring.take(frame)
        self.unrung.append(taken)
        if not self._called and self._nobody_comes(now):
            self.call(now)

    def resume(self, taken: Taken, slot: int, serial: int) -> None:
        """A predecessor had put *taken* into *slot*; it may be over by now, which :meth:`finished` will tell."""
        taken.crew = self
        taken.slot = slot
        taken.serial = serial
        self.running[slot] = taken
        self.free.remove(slot)
        self._seen[slot] = serial
        self._raw = b""

    def has_begun_to_answer(self, taken: Taken) -> bool:
        """Whether bytes of the answer may have left by the worker's responder."""
        return bool(taken.drain) or self.state(taken.slot) == cards.ANSWERING

    def keep_to_own_road(self, slot: int) -> None:
        """The answer in the making must leave by the worker's responder, unless it lies in the slot already."""
        self.card.words[self.card.base(slot) + cards.ROAD] = cards.OWN_ROAD

    def ring(self) -> None:
        """Wake one sleeping thread."""
        try:
            os.write(self._bell, b"!")
        except OSError:
            pass  # full of rings nobody has heard yet, or the worker is gone: its link tells

    def call(self, now: float) -> None:
        """See to it that what was handed out is taken: once for all that one turn of the loop has handed out.

        Nobody is woken while a thread is up, for it looks for more before it sleeps; unless it makes no progress.
        """
        few = len(self.unrung) < _FEW
        if few and self._all_taken():
            self._called = False
            return
        if self._called or not self._nobody_comes(now):
            if now - self._progress < (_TRUST if self._awake[0] else _PATIENCE):
                return
        # A ring for nothing is worse than none: it would be counted on for the next request.
        self._called = few or not self._all_taken()
        self._progress = now
        if self._called:
            self.ring()

    def _all_taken(self) -> bool:
        """Forget what was taken since it was handed out; whether that was all."""
        self.unrung = [taken for taken in self.unrung if not self.has_copied(taken)]
        return not self.unrung

    def _nobody_comes(self, now: float) -> bool:
        """Whether every thread sleeps, or sits in a request for so long that it is not counted on."""
        awake = self._awake[0]
        if not awake:
            return True
        before = now - _TRUST
        for taken in self.running.values():  # in the order in which they were handed out
            if taken.handed > before:
                return False
            awake -= 1
            if not awake:
                return True
        return False

    def finished(self, now: float) -> Sequence[Taken]:
        """Requests that have ended since the last call, and whose slots are free again.

        One with an answer in its slot is not among them until :meth:`sent` was called for it: it comes with
        ``answer`` set, once.
        """
        if not self.running:
            return _NONE
        raw = self._heads.tobytes()
        if raw == self._raw:
            return _NONE  # nearly always; the list costs five times as much
        heads = self._heads.tolist()
        self._raw = raw
        if heads == self._seen:
            return _NONE
        self._seen = heads
        threads = self.threads
        ended: list[Taken] = []
        for slot, taken in list(self.running.items()):
            serial = taken.serial
            if heads[slot] != serial:
                del self.running[slot]
                self.free.append(slot)
                if taken.drain:
                    self.vacate(slot)
                    continue
                if taken.metered:
                    settle(self.card, slot, taken)
                ended.append(taken)
            elif heads[threads + slot] == serial and taken.answer is None:
                taken.answer = self.card.answer(slot)
                ended.append(taken)
        if ended:
            self._progress = now
            self._called = False
        return ended

    def vacate(self, slot: int) -> None:
        """What the slot's cell says of credit holds no more: the answer is counted elsewhere."""
        self.card.words[self.card.base(slot) + cards.CREDIT] = cards.UNLIMITED

    def sending(self, taken: Taken) -> None:
        """The answer from the slot is about to be sent. Not marked before: a successor must close what is."""
        slot = taken.slot
        if self.running.get(slot) is taken:
            self.card.answered[slot] = self._seen[self.threads + slot] = taken.serial | cards.SENDING

    def sent(self, taken: Taken) -> None:
        """The answer from the slot has been sent; the slot is free."""
        slot = taken.slot
        if taken.metered:
            settle(self.card, slot, taken)
        self.mails[slot] = self._seen[slot] = 0
        del self.running[slot]
        self.free.append(slot)

    def has_copied(self, taken: Taken) -> bool:
        """Whether a thread has its own copy of the request."""
        return self.mails[taken.slot] != taken.serial or self.state(taken.slot) != cards.HANDED

    def state(self, slot: int) -> int:
        """How far a request is: HANDED, RUNNING or ANSWERING."""
        return int(self.card.words[self.card.base(slot) + cards.STATE]) & cards.STATES

    def bury(self, deadlines: Deadlines, now: float) -> None:
        """The worker has died: see which requests were late."""
        self.late = late_slots(self.card, self._post.sheet_fd, deadlines, now)

    def say(self, word: words.Word, endpoint: int = 0, slot: int = 0, a: int = 0, b: int = 0) -> None:
        """Tell the worker; what it has no room for now is kept for :meth:`flush`."""
        self.outbox.append(words.encode(word, endpoint, slot, a, b))
        self.flush()

    def feed(self, taken: Taken, offset: int, last: bool, data: bytes) -> bool:
        """Send a piece of the body of *taken*; False: there is no room for it now."""
        if self.outbox:
            return False
        try:
            self.link.send(words.encode_piece(taken.intake.index, taken.slot, taken.serial, offset, last, data))
        except BlockingIOError:
            return False
        except OSError:
            pass  # the worker is gone, which the end of its link tells
        return True

    def flush(self) -> None:
        """Send what waits; a worker that is gone is noticed by the end of its link."""
        while self.outbox:
            try:
                self.link.send(self.outbox[0])
            except BlockingIOError:
                return
            except OSError:
                self.outbox.clear()
                return
            self.outbox.popleft()

    def close(self) -> None:
        """Let go of every descriptor."""
        for view in (self.mails, self._heads, self._awake):
            view.release()
        self.card.close()
        self.link.detach()
        self._post.close()
