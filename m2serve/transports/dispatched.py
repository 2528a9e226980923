"""A worker's mail from the dispatcher: slots in the card, and a bell for threads that sleep.

A thread that has finished takes the next request of the card itself; the bell wakes a sleeping one only when nobody
is at work, or when whoever is has not come back soon. A busy worker so serves request after request without a
switch of threads between them.
"""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING

from m2serve.transports import card as cards
from m2serve.transports import ledger as ledgers
from m2serve.transports.base import Delivery
from m2serve.transports.mailchannel import MailChannel
from m2serve.transports.responder import Origin, Responder
from m2serve.wire.crew import Word

if TYPE_CHECKING:
    import uuid
    from collections.abc import Callable

    from m2serve.transports.card import Card
    from m2serve.transports.channel import Sink
    from m2serve.transports.ledger import Ledger


_new = tuple.__new__


class MailRoom:
    """What the subscriptions of one worker share.

    Threads: ``_lock`` guards ``_begun``, and the moves of detached answers. ``origins`` and ``channels`` have one
    writer an item: the service thread, and the thread that serves the slot. ``looks`` and ``detached`` are
    dictionaries of which each operation is atomic.

    Args: say: sends a word to the dispatcher, with slot or cell and serial; any thread.
    """

    def __init__(
        self,
        ledger: Ledger,
        card: Card,
        responders: list[Responder],
        bell: tuple[int, int],
        dispatcher_bell: int,
        say: Callable[[Word, int, int], None],
    ) -> None:
        self.ledger = ledger
        self.card = card
        self.responders = responders
        self.bell_read, self.bell_write = bell
        self.dispatcher_bell = dispatcher_bell
        self.origins = [Origin(0) for _ in responders]
        self.say = say
        self.channels: list[MailChannel | None] = [None] * card.threads
        self._sinks: dict[int, Sink] = {}
        """By slot, the bodies of streamed uploads."""
        self.detached: dict[int, MailChannel] = {}
        """By serial, answers that go on without a thread."""
        self._seized: dict[int, MailChannel] = {}
        """By serial, requests that somebody else answers in place of their threads: few, for the worker leaves then."""
        self._replied: set[int] = set()
        """Serials of those whose answers have left."""
        self.looks: dict[int, Callable[[], None]] = {}
        """By serial, whom to call when there is more credit or the client has left."""
        # parts of ledger and card that every request touches
        self.ledger_words = ledger.words
        self.rings = ledger.rings
        self.words = card.words
        self.read = card.read
        self.put_answer = card.put_answer
        self.bases = [card.base(slot) for slot in range(card.threads)]
        self.stopping = False
        self._begun = [0] * card.threads
        self._awake = 0
        self._lock = threading.Lock()
        self._mails = card.mails

    def claim(self) -> tuple[int, int] | None:
        """The oldest request that nobody has begun: slot and serial."""
        begun = self._begun
        with self._lock:
            slot, least = -1, 0
            for i, serial in enumerate(self._mails.tolist()):
                if serial and serial != begun[i] and (slot < 0 or serial < least):
                    slot, least = i, serial
            if slot < 0:
                return None
            begun[slot] = least
            return slot, least

    def has_mail(self) -> bool:
        """Whether there is a request that nobody has begun."""
        begun = self._begun
        return any(serial and serial != begun[slot] for slot, serial in enumerate(self._mails.tolist()))

    def rise(self) -> None:
        """A thread does not sleep any more."""
        with self._lock:
            self._awake += 1
            self.card.awake[0] = self._awake

    def sleep(self) -> None:
        """Sleep until the bell rings, unless there is mail after all."""
        if self.doze():
            os.read(self.bell_read, 1)
            self.rise()

    def doze(self) -> bool:
        """A thread is about to wait for the bell, until :meth:`rise`; False: there is mail after all, or no more."""
        with self._lock:
            self._awake -= 1
            self.card.awake[0] = self._awake
        # The dispatcher writes mail, then looks whether anybody is up; we did the reverse, so one of us sees the other.
        if not self.stopping and not self.has_mail():
            return True
        self.rise()
        return False

    def over(self, slot: int) -> None:
        """The slot's request is over and its answer has left."""
        self.channels[slot] = None
        self.card.mails[slot] = 0
        self.ring_dispatcher()

    def ring_dispatcher(self) -> None:
        """Wake it if somebody waits for a free slot."""
        if self.ledger.words[ledgers.WANT_WAKE]:
            os.eventfd_write(self.dispatcher_bell, 1)

    def gone(self, slot: int, serial: int) -> None:
        """The dispatcher says that the client of the request with this mail serial has left.

        Args: slot: or the cell of a detached answer, which its serial tells.
        """
        channel = self.detached.get(serial) or (self.channels[slot] if slot < len(self.channels) else None)
        if channel is not None and channel.serial == serial:
            self._lose(channel.slot, channel)

    def _lose(self, slot: int, channel: MailChannel) -> None:
        channel.gone = True
        sink = self._sinks.get(slot)
        if sink is not None and self.channels[slot] is channel:
            sink.lose()
        self.credit(channel.serial)

    def feed(self, slot: int, serial: int, offset: int, last: bool, data: bytes) -> None:
        """A piece of the body of the request with this mail serial has come; too late for it, it is dropped."""
        channel, sink = self.channels[slot], self._sinks.get(slot)
        if sink is not None and channel is not None and channel.serial == serial:
            sink.feed(offset, data, last)

    def expect(self, slot: int, sink: Sink | None) -> None:
        """From now on *sink* gets what comes for the slot."""
        if sink is not None:
            self._sinks[slot] = sink
        else:
            self._sinks.pop(slot, None)

    def epoch_lost(self, index: int, epoch: int) -> None:
        """A Mongrel2 has gone, and all its clients with it."""
        for channel in [*self.channels, *list(self.detached.values())]:
            if channel is not None and (channel.endpoint, channel.epoch) == (index, epoch):
                self._lose(channel.slot, channel)

    # -- answers that go on without a thread ---------------------------------------------------------------------

    def credit(self, serial: int) -> None:
        """The answer of the request with this mail serial may go on, or its client has left."""
        look = self.looks.get(serial)
        if look is not None:
            look()

    def moves(self, serial: int, cell: int) -> None:
        """The dispatcher has a cell for a detached answer: whoever sends next for it moves there."""
        channel = self.detached.get(serial)
        if channel is None:
            return  # asked for twice, because a dispatcher died, and answered twice
        with self._lock:
            channel.cell = cell
            over = channel.over
        if over:
            channel.end()
        else:
            self.credit(serial)

    def is_over(self, channel: MailChannel) -> bool:
        """Note that a detached answer is over; whether it can end, or has to wait for its cell."""
        with self._lock:
            channel.over = True
            return channel.cell is not None

    def ask_again(self) -> None:
        """A new dispatcher may not have heard who wanted to detach."""
        for serial, channel in list(self.detached.items()):
            if channel.cell is None:
                self.say(Word.DETACH, channel.slot, serial)

    # -- requests whose threads are stuck ------------------------------------------------------------------------

    def seize(self, channel: MailChannel) -> bool:
        """Take the client away from the thread that serves it; False: that one is leaving, and has answered.

        The thread stores, then looks at ``gone``, before it begins to answer and before it leaves; we store ``gone``,
        then look what it has stored. So never do both of us answer.
        """
        with self._lock:
            before, channel.gone = channel.gone, True
            if self.channels[channel.slot] is not channel:
                channel.gone = before
                return False
            self._seized[channel.serial] = channel
        self._lose(channel.slot, channel)
        return True

    def replied(self, channel: MailChannel) -> None:
        """The seized request has its answer."""
        self._replied.add(channel.serial)
        self.free_seized(channel)

    def is_seized(self, channel: MailChannel) -> bool:
        """Whether somebody else has answered in its place, which is asked where the client has gone."""
        with self._lock:  # it may be about to be decided
            return channel.serial in self._seized

    def free_seized(self, channel: MailChannel) -> None:
        """Whoever comes last, the answer, the thread or LEFT, frees the slot.

        Not before LEFT: a slot with a thread that is stuck must not be filled again.
        """
        serial = channel.serial
        if self.stopping and serial in self._replied and serial not in self.detached:
            if self.card.mails[channel.slot] == serial:
                self.over(channel.slot)

    def stop(self) -> None:
        """No mail will come any more: threads leave when the card is empty."""
        self.stopping = True
        for channel in list(self._seized.values()):
            self.free_seized(channel)
        try:
            os.write(self.bell_write, bytes(self.card.threads))
        except BlockingIOError:
            pass  # there are more rings in it than threads


class MailSubscription:
    """One thread's claim to the worker's mail."""

    def __init__(self, room: MailRoom, thread: int, identity: uuid.UUID) -> None:
        self.uuid = str(identity)
        self._room = room
        self.channel: MailChannel | None = None
        self._running = cards.RUNNING | (thread + 1) << cards.THREAD_AT
        room.rise()
        room.card.set_uuid(thread, identity.bytes)

    def receive(self) -> Delivery | None:
        """Take the oldest request, or sleep until the bell rings; mark the request RUNNING."""
        room = self._room
        while True:
            claimed = room.claim()
            if claimed is not None:
                delivery = self._open(*claimed)
                if delivery is not None:
                    return delivery
            elif room.stopping:
                return None
            else:
                room.sleep()

    def take(self) -> Delivery | None:
        """As :meth:`receive`, but without waiting; None: there is nothing."""
        while (claimed := self._room.claim()) is not None:
            if (delivery := self._open(*claimed)) is not None:
                return delivery
        return None

    @property
    def room(self) -> MailRoom:
        """Shared with the worker's other threads."""
        return self._room

    def _open(self, slot: int, serial: int) -> Delivery | None:
        room = self._room
        _, index, epoch, position, size, conn, _, _, _, kind = room.read(slot)
        raw = room.rings[index].copy(position, size)
        room.words[room.bases[slot] + cards.STATE] = self._running
        origin = room.origins[index]
        if origin.epoch != epoch or origin.dead:
            room.over(slot)  # its Mongrel2 has gone
            return None
        ident = b"%d" % conn
        envelope = b"%b %d:%b, " % (raw[: raw.find(b" ")], len(ident), ident)
        self.channel = channel = MailChannel(room, slot, serial, index, epoch, origin, envelope)
        room.channels[slot] = channel
        return _new(Delivery, (raw, channel, index, kind))

    def done(self) -> None:
        """The request is over."""
        channel, self.channel = self.channel, None
        if channel is not None:
            channel.leave()

    def client_gone(self, conn: bytes, endpoint: int) -> None:
        """Notices come by slot here: see :meth:`MailRoom.gone`."""

    def stop(self) -> None:
        """See :meth:`MailRoom.stop`."""
        self._room.stop()
