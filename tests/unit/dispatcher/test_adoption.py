"""A whole dispatcher, not running, that takes over cells, ring and connection."""

from __future__ import annotations

import os
import socket
import time
from types import SimpleNamespace

import pytest
from dispatching import Node, message, receive, wait_readable
from routed import heard

from m2serve.dispatcher.loop import Dispatcher
from m2serve.dispatcher.outbox import framed
from m2serve.dispatcher.taken import Taken
from m2serve.system.link import Link
from m2serve.transports import card as cards
from m2serve.transports.card import Card
from m2serve.transports.node import NodeFds
from m2serve.wire import crew as crew_wire
from m2serve.wire import zmtp
from m2serve.wire.crew import Word

SETTINGS = SimpleNamespace(
    queue_timeout=60.0,
    queue_limit=100,
    keep_alive_interval=45.0,
    limit_post=(),
    worker_reload_mercy=60.0,
    health_check=(),
    retry_idempotent=False,
    harakiri=(),
)


class Life:
    """A predecessor's remains, and heirs."""

    def __init__(self, node, threads=2):
        self.node = node
        self.intake = node.opened()
        self.post = node.post(threads)
        self.card = Card(self.post.card_fd, threads)
        self.dispatchers = []

    def requests(self, count):
        self.node.send(b"".join(message(n) for n in range(1, count + 1)))
        return receive(self.intake, count)

    def fill(self, taken, slot, epoch=1):
        """The first half of handing out."""
        conn = int(taken.conn)
        self.card.write(slot, 0, epoch, taken.position, taken.size, conn, taken.frame, cards.ANY_ROAD)
        self.card.set_sender(slot, taken.sender)

    def heir(self):
        node = self.node
        if not self.dispatchers:
            self.intake.sock.close()
        fds = NodeFds((node.pair,), node.ring_size, os.dup(node.ledger_fd), os.eventfd(0, os.EFD_NONBLOCK))
        fds.pulls[0] = os.dup(node.kept)
        fds.posts[0] = self.post
        self.master, ours = Link.pair()
        self.ours = ours
        self.fds = fds
        heir = Dispatcher(SETTINGS, ours, fds)
        heir._adopt(time.monotonic())
        self.dispatchers.append(heir)
        return heir

    def say(self, heir, *said):
        """The worker speaks, and is heard."""
        link = socket.socket(fileno=self.post.crew_worker_fd)
        for message_ in said:
            link.send(crew_wire.encode(*message_))
        link.detach()
        heir._on_crew(heir._router.crews[0])

    def close(self):
        self.card.close()
        for heir in self.dispatchers:
            for intake in heir._intakes:
                if intake.sock is not None:
                    intake.sock.close()
            for crew in heir._router.crews:
                crew.close()
            heir._watch.close()
            os.close(self.fds.ledger_fd)
            os.close(self.fds.wake_fd)
            self.master._sock.close()
            self.ours._sock.close()


@pytest.fixture(params=["tcp", "ipc"])
def life(request, tmp_path):
    node = Node(request.param, tmp_path)
    life = Life(node)
    yield life
    life.close()
    node.close()


def waiting(heir):
    return [int(taken.conn) for taken in heir._intakes[0].queue]


def running(heir):
    return {slot: int(taken.conn) for slot, taken in heir._router.crews[0].running.items()}


def rings(life):
    wait_readable(life.post.bell_read_fd)
    return len(os.read(life.post.bell_read_fd, 100))


def test_what_waited_waits_again_and_goes_out_when_a_worker_is_ready(life):
    life.requests(3)
    heir = life.heir()
    assert waiting(heir) == [1, 2, 3]
    life.say(heir, (Word.HELLO,), (Word.SYNC, 0, 0, 1))
    assert waiting(heir) == [3]
    assert sorted(running(heir).values()) == [1, 2]


def test_death_after_the_cell_was_filled_but_before_mail(life):
    one, _ = life.requests(2)
    life.fill(one, 0)
    heir = life.heir()
    assert running(heir) == {}
    assert waiting(heir) == [1, 2]


@pytest.mark.parametrize("marked", [False, True])
def test_death_after_mail(life, marked):
    """Before the frame is marked; or before the bell rings."""
    one, _ = life.requests(2)
    life.fill(one, 1)
    life.card.mails[1] = 7
    if marked:
        life.intake.ring.take(one.frame)
    heir = life.heir()
    assert running(heir) == {1: 1}
    assert waiting(heir) == [2]
    assert rings(life) == 1
    life.say(heir, (Word.HELLO,), (Word.SYNC, 0, 0, 1))
    assert life.card.mails[0] > 7


def test_no_serial_is_given_twice_though_its_cell_is_empty(life):
    """The worker remembers what it has begun last in each slot, and does not begin that again."""
    life.requests(2)
    heir = life.heir()
    life.say(heir, (Word.HELLO,), (Word.SYNC, 0, 0, 1))
    given = life.card.mails.tolist()
    assert len(set(given)) == 2
    for slot in range(2):
        life.card.wipe(slot)
    successor = Dispatcher(SETTINGS, life.ours, life.fds)
    successor._watch.close()
    assert successor._router._serial > max(given)
    assert successor._router._serial + 2**39 < cards.SENDING


def test_finished_before_the_mark(life):
    one, _ = life.requests(2)
    life.fill(one, 1)
    life.card.words[life.card.base(1) + cards.STATE] = cards.RUNNING
    heir = life.heir()
    assert running(heir) == {}
    assert waiting(heir) == [2]


def test_an_answer_that_lies_in_its_slot_is_collected(life):
    one, _ = life.requests(2)
    life.fill(one, 0)
    life.card.mails[0] = 7
    life.card.words[life.card.base(0) + cards.STATE] = cards.RUNNING
    life.card.put_answer(0, 7, b"answer")
    heir = life.heir()
    assert heir._router.collect()
    assert [taken.answer for taken in heir._router.answers] == [b"answer"]


def test_an_answer_half_sent_is_closed_not_repeated(life):
    one, _ = life.requests(2)
    life.fill(one, 0)
    life.card.mails[0] = 7
    life.card.words[life.card.base(0) + cards.STATE] = cards.RUNNING
    life.card.put_answer(0, 7, b"answer")
    life.card.answered[0] = 7 | cards.SENDING
    heir = life.heir()
    assert running(heir) == {}
    assert waiting(heir) == [2]
    assert [envelope for *_, envelope in heir._outgoing.closing] == [framed(b"m2 1:1, ")]
    assert not heir._router.collect()
    assert life.card.mails[0] == 0


def test_requests_of_an_older_connection_do_not_hold_the_tail(life):
    life.requests(1)
    life.intake.ring.take(0)
    old = Taken(life.intake, 10**6, 10**6 + 2, 10, b"m2", b"9", 0.0)
    life.fill(old, 0, epoch=0)
    life.card.mails[0] = 7
    heir = life.heir()
    assert running(heir) == {0: 9}
    assert not heir._intakes[0].live
    assert b"9" not in heir._intakes[0].current


def test_a_worker_that_died_meanwhile(life):
    one, _ = life.requests(2)
    life.fill(one, 0)
    life.card.mails[0] = 7
    life.post.close_worker_side()
    heir = life.heir()
    crew = heir._router.crews[0]
    heir._on_crew(crew)
    assert waiting(heir) == [1, 2]
    assert not heir._router.crews
    assert life.master.receive().payload == {"key": 0}


# --- answers without a thread, and what clients owe -----------------------------


def detached(life, one, slot=0, serial=7, credit=50_000, sent=30_000):
    """An answer amid its way, with a cell besides its slot; gives the cell."""
    life.fill(one, slot)
    words, at = life.card.words, life.card.base(slot)
    words[at + cards.CREDIT], words[at + cards.SENT] = credit, sent
    words[at + cards.STATE] = cards.ANSWERING
    life.card.mails[slot] = serial
    life.intake.ring.take(one.frame)
    life.intake.count_debts(proven=True)
    life.card.open_drain(2, slot, serial)
    return 2


def debt(heir, conn):
    return heir._intakes[0].debts.of(conn)


def test_a_drain_goes_on_with_the_successor(life):
    one, _ = life.requests(2)
    cell = detached(life, one)
    life.card.move_to_drain(0, cell)
    life.node.send(message(1))
    heir = life.heir()
    crew = heir._router.crews[0]
    assert running(heir) == {}
    assert [taken.conn for taken in crew.drains.running.values()] == [b"1"]
    assert sorted(crew.free) == [0, 1]
    receive(heir._intakes[0], 1)
    heir._router.arrive(Taken(heir._intakes[0], 900, 902, 5, b"m2", b"1", 0.0))
    assert waiting(heir) == [2], "the next of that connection is held"
    life.card.words[life.card.base(cell) + cards.STATE] = cards.IDLE
    life.say(heir, (Word.DRAINED, 0, cell, 7))
    assert heir._router.draining == 0
    assert debt(heir, 1) == 102400 - 50_000 + 30_000
    assert waiting(heir) == [2, 1]


def test_a_drain_whose_slot_is_not_given_back_yet(life):
    """DETACHED was perhaps not said: the worker asks again."""
    (one,) = life.requests(1)
    cell = detached(life, one)
    heir = life.heir()
    assert running(heir) == {0: 1}
    heard(life.post)
    life.say(heir, (Word.DETACH, 0, 0, 7))
    (said,) = heard(life.post)
    assert (said.word, said.thread, said.a, said.b) == (Word.DETACHED, 0, 7, cell)
    life.card.move_to_drain(0, cell)
    assert not heir._router.collect()
    assert running(heir) == {}
    assert heir._router.draining == 1


@pytest.mark.parametrize("seen", [False, True])
def test_a_drain_that_ended_between_the_two(life, seen):
    """And so the debt is right, whether or not the predecessor had counted it."""
    (one,) = life.requests(1)
    cell = detached(life, one)
    life.card.move_to_drain(0, cell)
    words, at = life.card.words, life.card.base(cell)
    words[at + cards.SENT] += 5000
    words[at + cards.STATE] = cards.IDLE
    if seen:
        life.intake.debts.put(1, 1000)
        words[at + cards.CREDIT] = words[life.card.base(0) + cards.CREDIT] = cards.UNLIMITED
    heir = life.heir()
    assert heir._router.draining == 0
    assert debt(heir, 1) == (1000 if seen else 102400 - 50_000 + 35_000)
    life.say(heir, (Word.DRAINED, 0, cell, 7))
    assert words[at + cards.CREDIT] == cards.UNLIMITED


def test_death_before_the_cell_was_complete(life):
    (one,) = life.requests(1)
    cell = detached(life, one)
    life.card.words[life.card.base(cell) + cards.STATE] = cards.IDLE
    heir = life.heir()
    assert running(heir) == {0: 1}
    assert heir._router.draining == 0
    heard(life.post)
    life.say(heir, (Word.DETACH, 0, 0, 7))
    assert [(said.word, said.b) for said in heard(life.post)] == [(Word.DETACHED, cell)]


def test_an_answer_that_was_over_leaves_its_debt_to_the_successor(life):
    (one,) = life.requests(1)
    life.intake.count_debts(proven=True)
    life.fill(one, 0)
    words, at = life.card.words, life.card.base(0)
    words[at + cards.STATE] = cards.ANSWERING
    words[at + cards.CREDIT], words[at + cards.SENT] = 102400, 400
    life.intake.ring.take(one.frame)
    heir = life.heir()
    assert debt(heir, 1) == 400
    assert running(heir) == {}


def test_a_worker_with_drains_that_died_meanwhile(life):
    (one,) = life.requests(1)
    cell = detached(life, one)
    life.card.move_to_drain(0, cell)
    life.post.close_worker_side()
    heir = life.heir()
    heir._on_crew(heir._router.crews[0])
    assert [envelope for *_, envelope in heir._outgoing.closing] == [crew_frame(b"m2 1:1, ")]


def crew_frame(envelope):
    return zmtp.frame_header(len(envelope)) + envelope


@pytest.mark.parametrize(("road", "pinned"), [(cards.ANY_ROAD, False), (cards.OWN_ROAD, True)])
def test_a_connection_that_pipelined_keeps_its_worker(life, road, pinned):
    """Its last answer is over, and had left by the worker's own responder: the next one leaves by that, too."""
    (one,) = life.requests(1)
    life.fill(one, 0)
    at = life.card.base(0)
    life.card.words[at + cards.ROAD] = road
    life.card.words[at + cards.STATE] = cards.ANSWERING
    heir = life.heir()
    life.say(heir, (Word.HELLO,), (Word.SYNC, 0, 0, 1))
    life.node.send(message(1))
    wait_readable(heir._intakes[0].sock)
    heir._on_pull(0)
    (taken,) = heir._router.crews[0].running.values()
    assert (taken.conn, taken.road == cards.OWN_ROAD) == (b"1", pinned)
