"""A router with workers that are cards, and nothing around it."""

from __future__ import annotations

import socket
from collections import deque
from types import SimpleNamespace

from m2serve.dispatcher.crew import Crew
from m2serve.dispatcher.routing import Router
from m2serve.dispatcher.taken import State, Taken
from m2serve.transports import card as cards
from m2serve.transports.card import Card
from m2serve.transports.ledger import Ring
from m2serve.transports.node import WorkerPost
from m2serve.wire import crew as crew_wire


class Intake:
    """What the router needs of an intake."""

    def __init__(self, index=0, epoch=1):
        self.index = index
        self.epoch = epoch
        self.origin = SimpleNamespace(dead=False, epoch=epoch)
        self.queue = deque()
        self.urgent = deque()
        self.current = {}
        self.pipelining = set()
        self.debts = None
        self.marks_credits = False
        self.live = deque()
        self.ring = Ring(
            memoryview(bytearray(128)).cast("Q"),
            memoryview(bytearray(65536)),
            memoryview(bytearray(8 * 65536)).cast("Q"),
        )
        self.words = self.ring.words


class Worker:
    """A crew and the worker's view of its card."""

    def __init__(self, number, threads, endpoints):
        self.post = WorkerPost.create(number, number, threads)
        self.card = Card(self.post.card_fd, threads)
        self.crew = Crew(self.post, endpoints)
        self.crew.greet()
        for endpoint in range(endpoints):
            self.crew.sync(endpoint, 1)

    def run(self, taken, state=cards.RUNNING):
        self.card.words[self.card.base(taken.slot) + cards.STATE] = state

    def finish(self, taken):
        """The answer has left by the worker's own responder."""
        assert self.card.mails[taken.slot] == taken.serial
        self.run(taken, cards.ANSWERING)
        self.card.mails[taken.slot] = 0

    def answer(self, taken, data=b"answer"):
        """The answer lies in the slot."""
        self.run(taken)
        self.card.put_answer(taken.slot, taken.serial, data)

    def heard(self):
        """What the dispatcher has said."""
        return heard(self.post)

    def close(self):
        self.card.close()
        self.crew.close()


def heard(post):
    """What lies in a worker's end of the crew link."""
    link = socket.socket(fileno=post.crew_worker_fd)
    link.setblocking(False)
    said = []
    try:
        while True:
            said.append(crew_wire.decode(link.recv(100)))
    except BlockingIOError:
        return said
    finally:
        link.detach()


class House:
    """A router and all around it."""

    def __init__(self):
        self.intakes = (Intake(0), Intake(1))
        self.refused = []
        self.closed = []
        self.fences = []
        self.workers = []
        self.router = self.build(100)

    def build(self, limit, **options):
        self.router = Router(
            lambda taken, status, _: self.refused.append((taken, status)),
            self.closed.append,
            lambda _, passed: self.fences.append(passed),
            limit=limit,
            **options,
        )
        self.router.intakes = self.intakes
        for worker in self.workers:
            self.router.crews.append(worker.crew)
        return self.router

    def worker(self, threads=1):
        worker = Worker(len(self.workers), threads, 2)
        self.workers.append(worker)
        self.router.crews.append(worker.crew)
        return worker

    def arrive(self, conn, intake=0, arrived=0.0, raw=b""):
        intake = self.intakes[intake]
        frame = len(intake.live) * 128 if raw else len(intake.live) * 16
        intake.ring.data[frame + 2 : frame + 2 + len(raw)] = raw
        taken = Taken(intake, frame, frame + 2, len(raw) or 14, b"m2", b"%d" % conn, arrived)
        self.router.arrive(taken)
        return taken

    def settled(self):
        """Nothing waits or runs, and everything is marked."""
        assert (self.router.waiting, self.router.running) == (0, 0)
        for intake in self.intakes:
            assert not intake.current
            assert all(one.state is State.OVER for one in intake.live)
            assert all(intake.ring.is_taken(one.frame) for one in intake.live)
