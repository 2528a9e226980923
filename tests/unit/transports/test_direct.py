"""A thread's own connections against a real libzmq PUSH, and what must never end or hold up the thread."""

from __future__ import annotations

import threading
import time
import uuid
from types import SimpleNamespace

import pytest
import zmq

from m2serve.endpoint import Endpoint
from m2serve.errors import ClientGone
from m2serve.transports.direct import DirectSubscription

LIMIT = 20.0
LARGEST = 1000


class Answers:
    """A responder of generation 3 to a Mongrel2 that does not subscribe, and whose clients have all gone."""

    generation = 3

    def __init__(self):
        self.forgotten = []

    def wait_up(self, timeout):
        time.sleep(0.01)
        return False

    def is_stalled(self, now):
        return True

    def send(self, origin, envelope, *parts):
        raise ClientGone("gone")

    def forget(self, origin):
        origin.dead = True
        self.forgotten.append(origin)


class Office:
    def __init__(self):
        self.proofs = []

    def prove(self, index, origin, generation):
        self.proofs.append((index, origin, generation))

    def announce_gone(self, index, conn):
        raise AssertionError("no notice was sent")


@pytest.fixture
def push():
    context = zmq.Context()
    socket = context.socket(zmq.PUSH)
    socket.sndtimeo = int(LIMIT * 1000)
    socket.bind_to_random_port("tcp://127.0.0.1")
    yield socket
    socket.close(0)
    context.term()


@pytest.fixture
def answers():
    return Answers()


@pytest.fixture
def office():
    return Office()


@pytest.fixture
def subscription(push, answers, office):
    pair = SimpleNamespace(send=Endpoint.parse(push.last_endpoint.rstrip(b"\0").decode()))
    made = DirectSubscription((pair,), [answers], office, uuid.uuid4(), LARGEST)
    yield made
    for pull in made._pulls:
        pull.close()


def receive(subscription):
    """In a thread of its own, so that a test can fail."""
    got = []
    thread = threading.Thread(target=lambda: got.append(subscription.receive()), daemon=True)
    thread.start()
    return thread, got


def finish(thread, got):
    thread.join(LIMIT)
    assert got, "the thread waits, or has died"
    return got[0]


def wait_until(condition):
    deadline = time.monotonic() + LIMIT
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_a_connection_made_while_mongrel2_is_stalled_is_proven_by_its_order(push, subscription, office):
    """The responder's connection was there before it, so no PONG is needed, which a busy thread would not read."""
    thread, got = receive(subscription)
    push.send(b"m2 7 / 0:,")
    assert finish(thread, got).raw == b"m2 7 / 0:,"
    ((index, origin, generation),) = office.proofs
    assert (index, generation) == (0, 3)
    assert origin is subscription._pulls[0].origin


def test_too_large_a_request_of_a_client_that_has_gone_does_not_end_the_thread(push, subscription):
    thread, got = receive(subscription)
    push.send(b"m2 6 / " + bytes(LARGEST))
    push.send(b"m2 7 / 0:,")
    assert finish(thread, got).raw == b"m2 7 / 0:,"


def test_a_busy_thread_is_told_that_its_mongrel2_is_gone(push, subscription, answers):
    thread, got = receive(subscription)
    push.send(b"m2 7 / 0:,")
    finish(thread, got)
    assert subscription.look_after(0)
    assert answers.forgotten == []
    push.close(0)
    wait_until(lambda: not subscription.look_after(0))
    assert answers.forgotten[0] is subscription._pulls[0].origin


def test_who_has_left_cannot_tell_whether_mongrel2_is_gone(push, subscription, answers):
    thread, got = receive(subscription)
    push.send(b"m2 7 / 0:,")
    finish(thread, got)
    subscription._leave()
    wait_until(lambda: not subscription.look_after(0))
    assert answers.forgotten == []


def test_a_pong_proves_the_responder_it_was_asked_for(push, subscription, answers, office):
    thread, got = receive(subscription)
    wait_until(lambda: office.proofs)
    answers.generation = 4
    subscription.reprove(0)
    wait_until(lambda: len(office.proofs) == 2)
    assert office.proofs[1] == (0, subscription._pulls[0].origin, 4)
    push.send(b"m2 7 / 0:,")
    finish(thread, got)
