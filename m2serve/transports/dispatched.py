"""A worker's mail from the dispatcher: slots in the card, and a bell for threads that sleep.

A thread that has finished takes the next request of the card itself; the bell wakes a sleeping one only when nobody
is at work, or when whoever is has not come back soon. A busy worker so serves request after request without a
switch of threads between them.
"""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING

from m2serve.errors import ClientGone
from m2serve.transports import card as cards
from m2serve.transports import ledger as ledgers
from m2serve.transports.base import Delivery
from m2serve.transports.channel import Channel
from m2serve.transports.responder import Origin, Responder
from m2serve.wire import zmtp

if TYPE_CHECKING:
    import uuid

    from m2serve.transports.card import Card
    from m2serve.transports.channel import Sink
    from m2serve.transports.ledger import Ledger


_new = tuple.__new__


class MailRoom:
    """What the subscriptions of one worker share.

    Threads: ``_lock`` guards ``_begun``. ``origins`` and ``channels`` have one writer an item: the service thread,
    and the thread that serves the slot.
    """

    def __init__(
        self, ledger: Ledger, card: Card, responders: list[Responder], bell: tuple[int, int], dispatcher_bell: int
    ) -> None:
        self.ledger = ledger
        self.card = card
        self.responders = responders
        self.bell_read, self.bell_write = bell
        self.dispatcher_bell = dispatcher_bell
        self.origins = [Origin(0) for _ in responders]
        self.channels: list[MailChannel | None] = [None] * card.threads
        self._sinks: dict[int, Sink] = {}
        """By slot, the bodies of streamed uploads."""
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

    def _has_mail(self) -> bool:
        begun = self._begun
        return any(serial and serial != begun[slot] for slot, serial in enumerate(self._mails.tolist()))

    def rise(self) -> None:
        """A thread does not sleep any more."""
        with self._lock:
            self._awake += 1
            self.card.awake[0] = self._awake

    def sleep(self) -> None:
        """Sleep until the bell rings, unless there is mail after all."""
        with self._lock:
            self._awake -= 1
            self.card.awake[0] = self._awake
        # The dispatcher writes mail, then looks whether anybody is up; we did the reverse, so one of us sees the other.
        if not self.stopping and not self._has_mail():
            os.read(self.bell_read, 1)
        self.rise()

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
        """The dispatcher says that the client of the request with this mail serial has left."""
        channel = self.channels[slot]
        if channel is not None and channel.serial == serial:
            self._lose(slot, channel)

    def _lose(self, slot: int, channel: MailChannel) -> None:
        channel.gone = True
        sink = self._sinks.get(slot)
        if sink is not None:
            sink.lose()

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
        for slot, channel in enumerate(self.channels):
            if channel is not None and (channel.endpoint, channel.epoch) == (index, epoch):
                self._lose(slot, channel)

    def stop(self) -> None:
        """No mail will come any more: threads leave when the card is empty."""
        self.stopping = True
        try:
            os.write(self.bell_write, bytes(self.card.threads))
        except BlockingIOError:
            pass  # there are more rings in it than threads


class MailChannel(Channel):
    """The road back for a request from the card.

    A complete small answer is left in the slot while the dispatcher is at work: it sends the answers of many
    requests with one call, and Mongrel2 takes them with one. Everything else leaves by the worker's responder.
    """

    __slots__ = ("_closes", "_last", "_room", "_slot", "_state", "endpoint", "epoch", "serial")

    def __init__(
        self, room: MailRoom, slot: int, serial: int, endpoint: int, epoch: int, origin: Origin, envelope: bytes
    ) -> None:
        # what Channel sets, without the call
        self._responder = room.responders[endpoint]
        self._origin = origin
        self._envelope = envelope
        self.gone = origin.dead
        self.began = False
        self._room = room
        self._slot = slot
        self._state = room.bases[slot]
        self._last: bytes | None = None
        self._closes = False
        self.serial = serial
        self.endpoint = endpoint
        self.epoch = epoch

    def _begin(self) -> None:
        # from now on the dispatcher must not answer in our place
        self._room.words[self._state] = cards.ANSWERING
        self.began = True

    def send_last(self, *parts: bytes) -> None:
        """Keep a small answer until the request is over; see :meth:`leave`."""
        if self.began or self._room.words[self._state + cards.ROAD]:
            self.send(*parts)
            return
        message = b"".join((self._envelope, *parts))
        size = len(message)
        if size > cards.ANSWER_ROOM - 64 or size == len(self._envelope):
            self.send(*parts)
            return
        self._last = zmtp.frame_header(size) + message

    def expect(self, sink: Sink | None) -> None:
        """Where pieces of the request's body are to go; None: nowhere."""
        self._room.expect(self._slot, sink)
        if sink is not None and self.gone:
            sink.lose()  # the notice came before there was somebody to tell

    def close(self) -> None:
        """Close the client's connection behind what was sent."""
        if self._last is not None:
            self._closes = True
        else:
            super().close()

    def leave(self) -> None:
        """The request is over: send what is kept, free the slot."""
        room, slot, data = self._room, self._slot, self._last
        if data is not None and not self.gone:
            if self._closes:
                data += zmtp.frame_header(len(self._envelope)) + self._envelope
            ring = room.rings[self.endpoint].words
            if ring[ledgers.AWAKE] == self.epoch and not room.words[self._state + cards.ROAD]:
                room.channels[slot] = None
                room.put_answer(slot, self.serial, data)
                # It may have gone to sleep since: it says so first and looks for answers then, we do the reverse.
                if ring[ledgers.AWAKE] != self.epoch or room.ledger_words[ledgers.WANT_WAKE]:
                    os.eventfd_write(room.dispatcher_bell, 1)
                return
            self._begin()
            try:
                self._responder.send_frames(self._origin, self._envelope, data)
            except ClientGone:
                self.gone = True
        room.over(slot)


class MailSubscription:
    """One thread's claim to the worker's mail."""

    def __init__(self, room: MailRoom, thread: int, identity: uuid.UUID) -> None:
        self.uuid = str(identity)
        self._room = room
        self._channel: MailChannel | None = None
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

    def _open(self, slot: int, serial: int) -> Delivery | None:
        room = self._room
        _, index, epoch, position, size, conn, _, _, _, kind = room.read(slot)
        raw = room.rings[index].copy(position, size)
        room.words[room.bases[slot] + cards.STATE] = cards.RUNNING
        origin = room.origins[index]
        if origin.epoch != epoch or origin.dead:
            room.over(slot)  # its Mongrel2 has gone
            return None
        ident = b"%d" % conn
        envelope = b"%b %d:%b, " % (raw[: raw.find(b" ")], len(ident), ident)
        self._channel = channel = MailChannel(room, slot, serial, index, epoch, origin, envelope)
        room.channels[slot] = channel
        return _new(Delivery, (raw, channel, index, kind))

    def done(self) -> None:
        """The request is over."""
        channel, self._channel = self._channel, None
        if channel is not None:
            channel.leave()

    def client_gone(self, conn: bytes, endpoint: int) -> None:
        """Notices come by slot here: see :meth:`MailRoom.gone`."""

    def stop(self) -> None:
        """See :meth:`MailRoom.stop`."""
        self._room.stop()
