"""What an answer counts, and how it goes on without its thread; the dispatcher is played by the test."""

from __future__ import annotations

import os
import uuid

import pytest

from m2serve.endpoint import Endpoint
from m2serve.errors import LocalProtocolError
from m2serve.transports import card as cards
from m2serve.transports import ledger as ledgers
from m2serve.transports.card import Card, create_card
from m2serve.transports.dispatched import MailRoom, MailSubscription
from m2serve.transports.ledger import Ledger, create_ledger
from m2serve.transports.responder import Origin, Responder
from m2serve.wire import zmtp
from m2serve.wire.crew import Word

REQUEST = b"m2 7 / 0:}0:,"
THREADS = 2
DRAIN = THREADS + 5
EPOCH = 3
ENVELOPE = b"m2 1:7, "


class Sent(Responder):
    """Keeps what would go to Mongrel2."""

    def __init__(self):
        super().__init__(Endpoint.parse("tcp://127.0.0.1:1"))
        self.messages = []

    def send_frames(self, origin, envelope, data, *others):
        self.messages += [frame.body.removeprefix(ENVELOPE) for frame in zmtp.Decoder().feed(data)]


class Worker:
    def __init__(self):
        self.fds = [create_card(THREADS), create_ledger(1, 1 << 16), os.eventfd(0, os.EFD_NONBLOCK)]
        self.card = Card(self.fds[0], THREADS)
        ledger = Ledger(self.fds[1], 1, 1 << 16)
        ledger.rings[0].data[: len(REQUEST)] = REQUEST
        self.ring = ledger.rings[0]
        self.said = []
        self.responder = Sent()
        self.room = MailRoom(
            ledger, self.card, [self.responder], (0, 0), self.fds[2], lambda *words: self.said.append(words)
        )
        self.room.origins = [Origin(EPOCH)]
        self.thread = MailSubscription(self.room, 0, uuid.uuid4())
        self.looked = 0

    def hand(self, credit=cards.UNLIMITED, slot=0, serial=9, road=cards.ANY_ROAD):
        self.card.write(slot, 0, EPOCH, 0, len(REQUEST), 7, 0, road, cards.PLAIN, credit)
        self.card.mails[slot] = serial
        channel = self.thread.receive().channel
        channel.watch(self.look)
        return channel

    def look(self):
        self.looked += 1

    def word(self, word, cell=0):
        return self.card.words[self.card.base(cell) + word]

    def give_cell(self, slot=0, serial=9):
        self.card.open_drain(DRAIN, slot, serial)
        self.room.moves(serial, DRAIN)

    def grant(self, count, cell=0):
        self.card.words[self.card.base(cell) + cards.CREDIT] += count


@pytest.fixture
def worker():
    worker = Worker()
    yield worker
    for fd in worker.fds:
        os.close(fd)


def test_nobody_counts_without_flow_control(worker):
    channel = worker.hand()
    assert channel.allowed() == cards.UNLIMITED
    assert channel.send_last(b"x" * 1_000_000)
    worker.thread.done()
    assert worker.word(cards.SENT) == 0
    assert worker.card.mails[0] == 0


@pytest.mark.parametrize("awake", [True, False])
def test_a_small_answer_counts_before_it_leaves(worker, awake):
    worker.ring.words[ledgers.AWAKE] = EPOCH if awake else 0
    channel = worker.hand(credit=1000)
    assert channel.send_last(b"head", b"body")
    assert worker.word(cards.SENT) == 8
    worker.thread.done()
    assert worker.card.answered[0] == (9 if awake else 0)
    assert worker.responder.messages == ([] if awake else [b"headbody"])


def test_more_than_allowed_does_not_leave(worker):
    channel = worker.hand(credit=10)
    assert not channel.send_last(b"x" * 11)
    assert (worker.word(cards.SENT), channel.began) == (0, False)
    with pytest.raises(LocalProtocolError):
        channel.send(b"x" * 11)
    channel.send(b"x" * 10)
    assert (channel.allowed(), channel.ask()) == (0, 0)
    assert worker.word(cards.WAITING) == 1
    worker.grant(5)
    worker.room.credit(9)
    assert (channel.allowed(), worker.looked) == (5, 1)
    channel.send(b"y" * 5)
    assert worker.word(cards.WAITING) == 0
    channel.close()
    assert worker.responder.messages == [b"x" * 10, b"y" * 5, b""]
    assert worker.word(cards.SENT) == 15


def test_who_waited_and_was_left_asks_no_more(worker):
    channel = worker.hand(credit=0)
    channel.ask()
    worker.room.gone(0, 9)
    assert (channel.connected(), worker.looked) == (False, 1)
    worker.thread.done()
    assert worker.word(cards.WAITING) == 0
    assert worker.room.looks == {}
    worker.room.credit(9)
    assert worker.looked == 1


def test_without_a_thread_in_a_cell_of_its_own(worker):
    channel = worker.hand(credit=10)
    channel.send(b"x" * 4)
    channel.detach()
    worker.thread.done()
    assert worker.said == [(Word.DETACH, 0, 9)]
    assert worker.card.mails[0] == 9, "the slot is not free before there is another place"
    channel.send(b"x" * 3)
    worker.give_cell()
    assert worker.looked == 1
    channel.send(b"x" * 2)
    assert worker.word(cards.SENT) == 9, "between two messages, not before"
    channel.settle()
    assert worker.card.mails[0] == 0
    # the slot serves others meanwhile
    other = worker.hand(serial=10)
    worker.room.looks.pop(10)  # whole answers have nobody to look
    assert other.send_last(b"z")
    worker.thread.done()
    worker.grant(100, DRAIN)
    channel.settle()
    channel.send(b"y" * 50)
    assert (worker.word(cards.SENT, DRAIN), channel.allowed()) == (59, 51)
    channel.ask()
    assert worker.word(cards.WAITING, DRAIN) == 1
    worker.room.gone(DRAIN, 9)
    assert channel.gone
    assert not other.gone
    channel.ended()
    assert worker.said[1:] == [(Word.DRAINED, DRAIN, 9)]
    assert worker.word(cards.STATE, DRAIN) == cards.IDLE
    assert worker.room.detached == worker.room.looks == {}


def test_over_before_there_is_a_cell(worker):
    channel = worker.hand(credit=10)
    channel.detach()
    worker.thread.done()
    channel.send(b"x" * 7)
    channel.ended()
    assert worker.room.detached, "the worker does not leave before the dispatcher knows"
    assert worker.card.mails[0] == 9
    worker.give_cell()
    assert worker.word(cards.SENT, DRAIN) == 7
    assert worker.word(cards.STATE, DRAIN) == cards.IDLE
    assert (worker.card.mails[0], worker.said[1:]) == (0, [(Word.DRAINED, DRAIN, 9)])
    assert worker.room.detached == {}


def test_a_new_dispatcher_is_asked_again(worker):
    channel = worker.hand(credit=10)
    channel.detach()
    worker.thread.done()
    worker.room.ask_again()
    assert worker.said == [(Word.DETACH, 0, 9)] * 2
    worker.give_cell()
    worker.room.ask_again()
    assert len(worker.said) == 2
    channel.ended()
    worker.room.moves(9, DRAIN)  # the answer to the second question
    assert worker.said[2:] == [(Word.DRAINED, DRAIN, 9)]


def test_a_mongrel2_that_ends_ends_all(worker):
    detached, other = worker.hand(credit=10), worker.hand(credit=10, slot=1, serial=10)
    detached.detach()
    worker.give_cell()
    detached.settle()
    worker.room.epoch_lost(0, EPOCH - 1)
    assert not detached.gone
    worker.room.epoch_lost(0, EPOCH)
    assert (detached.gone, other.gone) == (True, True)


def test_a_probe_is_an_order_that_counts_nothing(worker):
    channel = worker.hand(credit=0)
    channel.probe()
    assert worker.word(cards.SENT) == 0
    assert worker.responder.messages == [b"m2 3:X 7, 27:3:ctl,17:10:keep-alive,0:,}]"]
    assert not channel.began
