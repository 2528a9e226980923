"""The road back for a request from the card."""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from m2serve.errors import ClientGone, LocalProtocolError
from m2serve.transports import card as cards
from m2serve.transports import ledger as ledgers
from m2serve.transports.card import UNLIMITED
from m2serve.transports.channel import Channel, Verdict
from m2serve.wire import control, pieces, zmtp
from m2serve.wire.crew import Word

if TYPE_CHECKING:
    from collections.abc import Callable

    from m2serve.transports.channel import Sink
    from m2serve.transports.dispatched import MailRoom
    from m2serve.transports.responder import Origin


class MailChannel(Channel):
    """The road back for a request from the card.

    A complete small answer is left in the slot while the dispatcher is at work: it sends the answers of many
    requests with one call, and Mongrel2 takes them with one. Everything else leaves by the worker's responder.
    """

    __slots__ = ("_closes", "_last", "_room", "_state", "cell", "endpoint", "epoch", "over", "serial", "slot")

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
        self._state = room.bases[slot]
        self._last: bytes | None = None
        self._closes = False
        self.slot = slot
        self.serial = serial
        self.endpoint = endpoint
        self.epoch = epoch

    # set by detach() only
    cell: int | None
    """The cell of the card that the dispatcher gave."""
    over: bool

    @property
    def detachable(self) -> bool:
        """The dispatcher knows of requests without a thread."""
        return True

    def _begin(self) -> None:
        # from now on the dispatcher must not answer in our place
        self._room.words[self._state] = cards.ANSWERING
        self.began = True

    def allowed(self) -> int:
        """Bytes that may leave now."""
        words, state = self._room.words, self._state
        return int(words[state + cards.CREDIT]) - int(words[state + cards.SENT])

    def ask(self) -> int:
        """As :meth:`allowed`, and be called when it has grown."""
        # The dispatcher writes CREDIT, then looks at WAITING; we did the reverse, so one of us sees the other.
        self._room.words[self._state + cards.WAITING] = 1
        return self.allowed()

    def watch(self, look: Callable[[], None]) -> None:
        """Have *look* called, from any thread."""
        self._room.looks[self.serial] = look

    def probe(self) -> None:
        """Have Mongrel2 say whether the client is there.

        It does not notice, or does not tell, when one breaks off while it is blocked writing to it; but an order about
        a connection that has ended it answers with a notice, as any message.
        """
        sender, conn = self._client()
        self.control(control.keep_alive(sender, [conn]))

    def _spend(self, parts: tuple[bytes, ...]) -> bool:
        """Count what is about to be sent, if it is allowed. Before it leaves: a debt nobody knows of would cut the
        next answer of the connection off."""
        words, state = self._room.words, self._state
        sent = words[state + cards.SENT] + sum(map(len, parts))
        if sent > words[state + cards.CREDIT]:
            return False
        words[state + cards.SENT] = sent
        words[state + cards.WAITING] = 0
        return True

    def send(self, *parts: bytes) -> None:
        """Send one message to the client.

        Raises:
            ClientGone: it cannot arrive any more.
        """
        if self._room.words[self._state + cards.CREDIT] < UNLIMITED and not self._spend(parts):
            raise LocalProtocolError("more bytes than the client has credit for")
        super().send(*parts)

    def send_last(self, *parts: bytes) -> bool:
        """Keep a small answer until the request is over; see :meth:`leave`."""
        words, state = self._room.words, self._state
        if words[state + cards.CREDIT] < UNLIMITED and not self._spend(parts):
            return False
        if self.began or words[state + cards.ROAD]:
            super().send(*parts)
            return True
        message = b"".join((self._envelope, *parts))
        size = len(message)
        if size > cards.ANSWER_ROOM - 64 or size == len(self._envelope):
            super().send(*parts)
        else:
            self._last = zmtp.frame_header(size) + message
        return True

    def expect(self, sink: Sink | None) -> None:
        """Where pieces of the request's body are to go; None: nowhere."""
        self._room.expect(self.slot, sink)
        if sink is not None and self.gone:
            sink.lose()  # the notice came before there was somebody to tell

    def close(self) -> None:
        """Close the client's connection behind what was sent."""
        if self._last:
            self._closes = True
        else:
            super().close()

    def leave(self) -> None:
        """The request is over: send what is kept, free the slot."""
        room, slot, data = self._room, self.slot, self._last
        if data:
            # before the look at *gone*: whoever answers in our place does the reverse
            room.channels[slot] = None
        if data and not (self.gone and self._has_lost()):
            if self._closes:
                data += zmtp.frame_header(len(self._envelope)) + self._envelope
            ring = room.rings[self.endpoint].words
            if ring[ledgers.AWAKE] == self.epoch and not room.words[self._state + cards.ROAD]:
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
        elif data == _DETACHED:
            return
        else:
            room.channels[slot] = None
            room.looks.pop(self.serial, None)
            if self.gone and room.is_seized(self):
                room.free_seized(self)
                return
            room.words[self._state + cards.WAITING] = 0
        room.over(slot)

    def _has_lost(self) -> bool:
        """Whether the client has gone, or was taken away from us, once that is decided."""
        return self._room.is_seized(self) or self.gone

    # -- a thread that is stuck --------------------------------------------------------------------------------------

    def seize(self) -> Verdict | None:
        """Take the client away from the thread; see :class:`~m2serve.transports.channel.Channel`."""
        was_gone = self.gone
        if not self._room.seize(self):
            return None
        if self.began:
            verdict = Verdict.BEGUN
        else:
            self._begin()  # should we die now, the dispatcher closes the connection
            verdict = Verdict.COMPLETE if self._last else Verdict.UNANSWERED
        return Verdict.GONE if was_gone else verdict

    def reply(self, verdict: Verdict, message: bytes) -> None:
        """End a seized request; see :class:`~m2serve.transports.channel.Channel`."""
        words, close = self._room.words, zmtp.frame_header(len(self._envelope)) + self._envelope
        data = b""
        if verdict is Verdict.COMPLETE:
            data = self._last or b""
        elif verdict is Verdict.UNANSWERED and (
            words[self._state + cards.CREDIT] >= UNLIMITED or self._spend((message,))
        ):
            data = b"".join((zmtp.frame_header(len(self._envelope) + len(message)), self._envelope, message))
        if verdict is not Verdict.COMPLETE or self._closes:
            data += close
            if words[self._state + cards.KIND] == cards.STREAM:
                # Mongrel2 waits for credit to read on, and until it has some does not look at the connection
                sender, conn = self._client()
                order = control.upload_credits(sender, conn, pieces.ENOUGH)
                data += zmtp.frame_header(len(order)) + order
        if verdict is not Verdict.GONE:
            with suppress(ClientGone):
                self._responder.send_frames(self._origin, self._envelope, data)
        self._room.replied(self)

    def _client(self) -> tuple[bytes, bytes]:
        """Handler identity and connection."""
        sender, _, ids = self._envelope.partition(b" ")
        return sender, ids[ids.index(b":") + 1 : -2]

    # -- without a thread: the courier's, but for detach() ---------------------------------------------------------

    def detach(self) -> None:
        """The thread leaves: ask for another place, so that the slot can have the next request.

        Until there is one the answer goes on in its slot.
        """
        self._last = _DETACHED
        self.cell = None
        self.over = False
        self._room.detached[self.serial] = self
        self._room.say(Word.DETACH, self.slot, self.serial)

    def settle(self) -> None:
        """Move to the cell that the dispatcher gave, if it has. Between two messages: each counts in one cell."""
        room, slot = self._room, self.slot
        if self._last != _DETACHED or self.cell is None:
            return
        base = room.card.base(self.cell)
        if base != self._state:
            self._state = base
            room.channels[slot] = None
            room.card.move_to_drain(slot, self.cell)
            room.ring_dispatcher()

    def ended(self) -> None:
        """The detached answer is over."""
        self._room.looks.pop(self.serial, None)
        if self._room.is_over(self):
            self.end()
        # else the dispatcher gives it a cell, now or later, and does not know otherwise that it has not one any more

    def end(self) -> None:
        """It is over, and has a cell: leave that."""
        room, cell = self._room, self.cell
        assert cell is not None
        self.settle()
        room.words[self._state] = cards.IDLE
        room.say(Word.DRAINED, cell, self.serial)
        del room.detached[self.serial]


_DETACHED: Final = b""
"""In place of an answer that is kept: it is neither there nor yet to come."""
