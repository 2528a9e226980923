"""Requests that are taken away from their threads: somebody answers, and never two."""

from __future__ import annotations

import os
import uuid

import pytest

from m2serve.endpoint import Endpoint
from m2serve.errors import ClientGone
from m2serve.transports import card as cards
from m2serve.transports import ledger as ledgers
from m2serve.transports.card import Card, create_card
from m2serve.transports.channel import Verdict
from m2serve.transports.direct import DirectSubscription
from m2serve.transports.dispatched import MailRoom, MailSubscription
from m2serve.transports.held import DirectChannel, HeldAnswers
from m2serve.transports.ledger import Ledger, create_ledger
from m2serve.transports.responder import Origin, Responder
from m2serve.wire import zmtp

REQUEST = b"m2 7 / 0:}0:,"
THREADS = 2
SERIAL = 9
EPOCH = 3
ENVELOPE = b"m2 1:7, "
LATE = b"HTTP/1.1 504 ..."


class Sent(Responder):
    """Keeps what would go to Mongrel2."""

    def __init__(self):
        super().__init__(Endpoint.parse("tcp://127.0.0.1:1"))
        self.messages = []
        self.broken = False

    def send_frames(self, origin, envelope, data, *others):
        if self.broken:
            raise ClientGone("broken")
        self.messages += [frame.body.removeprefix(ENVELOPE) for frame in zmtp.Decoder().feed(data)]


class Worker:
    def __init__(self):
        self.fds = [create_card(THREADS), create_ledger(1, 1 << 16), os.eventfd(0, os.EFD_NONBLOCK), *os.pipe()]
        self.card = Card(self.fds[0], THREADS)
        ledger = Ledger(self.fds[1], 1, 1 << 16)
        self.ring = ledger.rings[0]
        self.ring.data[: len(REQUEST)] = REQUEST
        self.responder = Sent()
        self.room = MailRoom(ledger, self.card, [self.responder], (0, self.fds[4]), self.fds[2], lambda *words: None)
        os.set_blocking(self.fds[4], False)
        self.room.origins = [Origin(EPOCH)]
        self.thread = MailSubscription(self.room, 1, uuid.uuid4())

    def hand(self, credit=cards.UNLIMITED, kind=cards.PLAIN, serial=SERIAL):
        self.card.write(0, 0, EPOCH, 0, len(REQUEST), 7, 0, cards.ANY_ROAD, kind, credit)
        self.card.mails[0] = serial
        return self.thread.receive().channel

    @property
    def state(self):
        return self.card.words[self.card.base(0) + cards.STATE]

    @property
    def sent(self):
        return self.responder.messages


@pytest.fixture(params=["asleep", "awake"])
def worker(request):
    worker = Worker()
    worker.ring.words[ledgers.AWAKE] = EPOCH if request.param == "awake" else 0
    yield worker
    for fd in worker.fds:
        os.close(fd)


def test_the_card_says_which_thread_runs_it(worker):
    worker.hand()
    assert worker.state == cards.RUNNING | 2 << cards.THREAD_AT
    assert worker.state & cards.STATES == cards.RUNNING


def test_one_without_an_answer(worker):
    channel = worker.hand()
    assert channel.seize() is Verdict.UNANSWERED
    assert worker.state == cards.ANSWERING, "from here on the dispatcher must not answer"
    channel.reply(Verdict.UNANSWERED, LATE)
    assert worker.sent == [LATE, b""]
    # the thread comes back
    for send in (channel.send, channel.send_last):
        with pytest.raises(ClientGone):
            send(b"late")
    channel.close()
    worker.thread.done()
    assert worker.sent == [LATE, b""]
    assert worker.card.answered[0] == 0
    assert worker.card.mails[0] == SERIAL, "its slot must not be filled again"
    worker.room.stop()
    assert worker.card.mails[0] == 0


def test_the_slot_is_free_when_all_has_come_in_any_order(worker):
    for last in ("reply", "thread", "LEFT"):
        worker.room.stopping = False
        channel = worker.hand(serial=SERIAL + len(worker.sent))
        channel.seize()
        steps = {
            "reply": lambda channel=channel: channel.reply(Verdict.UNANSWERED, LATE),
            "thread": worker.thread.done,
            "LEFT": worker.room.stop,
        }
        final = steps.pop(last)
        for step in steps.values():
            step()
        if last != "thread":
            assert worker.card.mails[0]
        final()
        assert worker.card.mails[0] == 0


def test_a_slot_with_other_mail_is_left_alone(worker):
    channel = worker.hand()
    channel.seize()
    channel.reply(Verdict.UNANSWERED, LATE)
    worker.card.mails[0] = SERIAL + 1
    worker.room.stop()
    worker.thread.done()
    assert worker.card.mails[0] == SERIAL + 1


def test_one_amid_its_answer(worker):
    channel = worker.hand()
    channel.send(b"first")
    verdict = channel.seize()
    assert verdict is Verdict.BEGUN
    channel.reply(verdict, LATE)
    with pytest.raises(ClientGone):
        channel.send(b"second")
    assert worker.sent == [b"first", b""]


@pytest.mark.parametrize("closes", [False, True])
def test_one_whose_answer_is_complete(worker, closes):
    """Its thread is stuck in the close() of the answer."""
    channel = worker.hand()
    channel.send_last(b"all of it")
    if closes:
        channel.close()
    verdict = channel.seize()
    assert verdict is Verdict.COMPLETE
    channel.reply(verdict, LATE)
    worker.thread.done()
    assert worker.sent == [b"all of it", *[b""] * closes]
    assert worker.card.answered[0] == 0


def test_one_whose_client_has_left(worker):
    channel = worker.hand()
    worker.room.gone(0, SERIAL)
    verdict = channel.seize()
    assert verdict is Verdict.GONE
    channel.reply(verdict, LATE)
    assert worker.sent == []


def test_one_that_has_just_finished(worker):
    channel = worker.hand()
    channel.send_last(b"all of it")
    worker.thread.done()
    before = list(worker.sent)
    assert channel.seize() is None
    assert not channel.gone
    assert worker.sent == before


@pytest.mark.parametrize("kept", [True, False])
def test_a_thread_that_leaves_while_it_is_decided(worker, kept):
    """Whatever it sees of ``gone``: where it was first, it finishes."""
    channel = worker.hand()
    if kept:
        channel.send_last(b"all of it")
    else:
        channel.send(b"all of it")
    room = worker.room

    class Gate:
        """The lock, held by who seizes; the thread leaves meanwhile."""

        def __enter__(self):
            room.channels[0] = None  # its first step

        def __exit__(self, *_):
            pass

    lock, room._lock = room._lock, Gate()
    assert channel.seize() is None
    room._lock = lock
    assert not channel.gone
    worker.thread.done()
    left = worker.card.answered[0] == SERIAL if kept and worker.ring.words[ledgers.AWAKE] else worker.sent
    assert left


def test_what_the_credit_does_not_allow_is_a_close(worker):
    channel = worker.hand(credit=len(LATE) - 1)
    channel.reply(channel.seize(), LATE)
    assert worker.sent == [b""]


def test_it_counts(worker):
    channel = worker.hand(credit=1000)
    channel.reply(channel.seize(), LATE)
    assert worker.sent == [LATE, b""]
    assert worker.card.words[worker.card.base(0) + cards.SENT] == len(LATE)


def test_a_streamed_upload_wakes_mongrel2(worker):
    class Sink:
        lost = False

        def lose(self):
            self.lost = True

    channel, sink = worker.hand(kind=cards.STREAM), Sink()
    channel.expect(sink)
    channel.reply(channel.seize(), LATE)
    assert sink.lost
    answer, close, credit = worker.sent
    assert (answer, close) == (LATE, b"")
    assert b"credits" in credit


def test_a_mongrel2_that_has_gone(worker):
    channel = worker.hand()
    worker.responder.broken = True
    channel.reply(channel.seize(), LATE)
    worker.room.stop()
    assert worker.card.mails[0] == 0


# --- the direct topology ----------------------------------------------------------------------------------------------


def test_what_a_stuck_thread_holds_leaves_first():
    responder, origin, held = Sent(), Origin(1), HeldAnswers()
    held.more, held._slow = True, -10.0
    held.begin()
    before = DirectChannel(responder, origin, ENVELOPE, held)
    assert before.send_last(b"earlier")
    assert responder.messages == []
    channel = DirectChannel(responder, origin, ENVELOPE, held)
    assert channel.seize() is Verdict.UNANSWERED
    channel.reply(Verdict.UNANSWERED, LATE)
    with pytest.raises(ClientGone):
        channel.send_last(b"late")
    channel.close()
    assert responder.messages == [b"earlier", LATE, b""]


def test_a_direct_answer_that_has_begun():
    responder = Sent()
    channel = DirectChannel(responder, Origin(1), ENVELOPE, HeldAnswers())
    channel.send(b"first")
    verdict = channel.seize()
    assert verdict is Verdict.BEGUN
    channel.reply(verdict, LATE)
    assert responder.messages == [b"first", b""]
    assert channel.seize() is Verdict.GONE


def test_an_heir_has_the_connections_and_the_stuck_thread_ends():
    stuck = DirectSubscription((), [], None, uuid.uuid4(), 1000)
    stuck._pulls, pulls = ["pull"], ["pull"]
    stuck._ready.append((0, b"m2", b"7", REQUEST))
    heir = stuck.bequeath()
    assert (heir._pulls, list(heir._ready)) == (pulls, [(0, b"m2", b"7", REQUEST)])
    assert heir.uuid == stuck.uuid
    assert stuck.receive() is None
