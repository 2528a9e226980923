"""One worker's bell, link and slots, as the dispatcher sees them."""

from __future__ import annotations

import os
import socket
from types import SimpleNamespace

import pytest

from m2serve.dispatcher.crew import Crew
from m2serve.dispatcher.taken import State, Taken
from m2serve.transports import card as cards
from m2serve.transports.card import MAX_SENDER
from m2serve.transports.ledger import Ring
from m2serve.transports.node import WorkerPost
from m2serve.wire import crew as crew_wire
from m2serve.wire.crew import Word


class Harness:
    def __init__(self, threads=3):
        self.post = WorkerPost.create(1, 4, threads)
        os.set_blocking(self.post.bell_read_fd, False)
        self.crew = Crew(self.post, 1)
        self.intake = SimpleNamespace(
            index=0,
            epoch=1,
            ring=Ring(memoryview(bytes(128)).cast("Q"), memoryview(bytearray(4096)), memoryview(b"").cast("Q")),
        )
        self.serial = 0

    def hand(self, now=0.0, sender=b"m2"):
        self.serial += 1
        taken = Taken(self.intake, 16 * self.serial, 16 * self.serial + 2, 14, sender, b"5", now)
        taken.state = State.HANDED
        self.crew.hand(taken, self.serial, 0, now)
        return taken

    def rings(self):
        try:
            return len(os.read(self.post.bell_read_fd, 1000))
        except BlockingIOError:
            return 0

    def run(self, taken):
        self.crew.card.words[self.crew.card.base(taken.slot) + cards.STATE] = cards.RUNNING


@pytest.fixture
def it():
    it = Harness()
    yield it
    it.crew.close()


def test_one_ring_for_many_requests(it):
    for _ in range(3):
        it.hand()
    assert it.rings() == 1


def test_no_ring_while_a_thread_is_up(it):
    it.crew.card.awake[0] = 1
    it.hand()
    assert it.rings() == 0


def test_who_waits_too_long_gets_a_thread_of_his_own(it):
    taken = [it.hand() for _ in range(3)]
    it.rings()
    it.crew.call(0.0005)
    assert it.rings() == 0
    it.run(taken[0])
    it.crew.call(0.01)
    assert it.rings() == 1
    it.crew.call(0.0105)
    it.run(taken[1])
    it.run(taken[2])
    it.rings()
    it.crew.call(1.0)
    it.crew.call(2.0)
    assert it.rings() <= 1
    assert it.crew.unrung == []


def test_what_was_taken_is_waited_for_no_more(it):
    """A look costs the dispatcher nothing that it would not spend anyway; while anything counts as not taken it does
    not sleep."""
    taken = it.hand()
    it.crew.call(0.00001)
    assert it.crew.unrung == [taken]
    it.run(taken)
    it.crew.call(0.00002)
    assert it.crew.unrung == []
    assert it.rings() == 1
    it.hand(0.01)
    assert it.rings() == 1, "the thread that was called has come, and sits in a request"


def test_the_slot_that_was_freed_last_is_used_first(it):
    taken = [it.hand() for _ in range(3)]
    it.crew.mails[taken[1].slot] = 0
    assert it.crew.finished(0.0) == [taken[1]]
    assert it.hand().slot == taken[1].slot


def test_has_copied(it):
    taken = it.hand()
    assert not it.crew.has_copied(taken)
    it.run(taken)
    assert it.crew.has_copied(taken)
    it.crew.mails[taken.slot] = 0
    it.crew.finished(0.0)
    again = it.hand()
    assert again.slot == taken.slot
    assert it.crew.has_copied(taken)
    assert not it.crew.has_copied(again)


def test_senders_are_written_when_they_change(it):
    for sender in (b"a" * MAX_SENDER, b"b", b"b"):
        taken = it.hand(sender=sender)
        assert it.crew.card.sender(taken.slot) == sender
        it.crew.mails[taken.slot] = 0
        it.crew.finished(0.0)


def test_a_full_bell_does_not_hold_the_dispatcher(it):
    for _ in range(70_000):
        it.crew.ring()
    it.rings()
    it.crew.ring()


def test_what_the_worker_does_not_read_is_kept(it):
    worker = socket.socket(fileno=os.dup(it.post.crew_worker_fd))
    worker.setblocking(False)
    for n in range(20000):
        it.crew.say(Word.GONE, 0, 0, n)
    assert it.crew.outbox
    heard = []
    while len(heard) < 20000:
        heard.append(crew_wire.decode(worker.recv(100)).a)
        it.crew.flush()
    assert heard == list(range(20000))
    assert not it.crew.outbox
    worker.close()


def test_a_worker_that_is_gone_is_spoken_to_in_vain(it):
    it.post.close_worker_side()
    it.crew.say(Word.LEFT)
    it.crew.ring()
    assert not it.crew.outbox
    assert it.crew.link.recv(10) == b""


def test_close_lets_go_of_everything():
    before = len(os.listdir("/proc/self/fd"))
    it = Harness()
    it.crew.close()
    assert len(os.listdir("/proc/self/fd")) == before
