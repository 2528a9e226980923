"""Answers of the direct topology that leave together: when they may, and when they must not."""

from __future__ import annotations

import pytest

from m2serve.errors import ClientGone
from m2serve.transports import held
from m2serve.transports.held import DirectChannel, HeldAnswers
from m2serve.transports.responder import Origin
from m2serve.wire import mongrel2, zmtp


class Responder:
    def __init__(self):
        self.calls = []
        self.broken = False

    def send(self, origin, envelope, *parts):
        self.send_frames(
            origin, envelope, zmtp.frame_header(len(envelope) + len(b"".join(parts))) + b"".join((envelope, *parts))
        )

    def send_frames(self, origin, envelope, data, *others):
        if self.broken:
            raise ClientGone("broken")
        self.calls.append([frame.body for frame in zmtp.Decoder().feed(data)])


class Clock:
    now = 100.0

    def monotonic(self):
        return self.now


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(held, "time", clock)
    return clock


@pytest.fixture
def thread(clock):
    return Thread(clock)


class Thread:
    """What a subscription does around each request."""

    def __init__(self, clock):
        self.clock, self.held, self.responder, self.origin = clock, HeldAnswers(), Responder(), Origin(1)

    def serve(self, conn, *, more, takes=0.0001, last=True):
        self.held.more = more
        self.held.begin()
        channel = DirectChannel(self.responder, self.origin, mongrel2.head(b"m2", b"%d" % conn), self.held)
        self.clock.now += takes
        (channel.send_last if last else channel.send)(b"answer %d" % conn)
        self.held.end()
        return channel


def test_quick_answers_leave_with_the_last_one_read(thread):
    for conn, more in ((1, True), (2, True), (3, False)):
        thread.serve(conn, more=more)
    assert thread.responder.calls == [[b"m2 1:1, answer 1", b"m2 1:2, answer 2"], [b"m2 1:3, answer 3"]]


def test_a_lone_answer_leaves_at_once(thread):
    thread.serve(1, more=False)
    assert thread.responder.calls == [[b"m2 1:1, answer 1"]]


def test_after_a_slow_request_nothing_is_held_for_a_second(thread):
    thread.serve(1, more=True)
    thread.serve(2, more=True, takes=0.25)
    assert thread.responder.calls == [[b"m2 1:1, answer 1", b"m2 1:2, answer 2"]]
    thread.serve(3, more=True)
    assert thread.responder.calls[1:] == [[b"m2 1:3, answer 3"]]
    thread.clock.now += 1.0
    thread.serve(4, more=True)
    assert len(thread.responder.calls) == 2
    thread.serve(5, more=False)
    assert thread.responder.calls[2:] == [[b"m2 1:4, answer 4"], [b"m2 1:5, answer 5"]]


def test_a_stream_and_a_close_keep_their_place(thread):
    thread.serve(1, more=True)
    thread.serve(2, more=True, last=False)
    thread.serve(3, more=True).close()
    assert thread.responder.calls == [
        [b"m2 1:1, answer 1"],
        [b"m2 1:2, answer 2"],
        [b"m2 1:3, answer 3"],
        [b"m2 1:3, "],
    ]


def test_another_mongrel2_gets_its_own(thread):
    thread.serve(1, more=True)
    first = thread.responder
    thread.responder = Responder()
    thread.serve(2, more=True)
    assert first.calls == [[b"m2 1:1, answer 1"]]
    thread.held.flush()
    assert thread.responder.calls == [[b"m2 1:2, answer 2"]]


def test_much_is_not_held(thread, monkeypatch):
    monkeypatch.setattr(held, "_MOST", 30)
    thread.serve(1, more=True)
    assert not thread.responder.calls
    thread.serve(2, more=True)
    assert [len(call) for call in thread.responder.calls] == [2]


def test_a_broken_connection_ends_nothing(thread):
    thread.responder.broken = True
    thread.serve(1, more=True)
    thread.held.flush()
    thread.responder.broken = False
    thread.serve(2, more=False)
    assert thread.responder.calls == [[b"m2 1:2, answer 2"]]
