"""What the dispatcher itself sends: in order, whole, and only to whom it belongs."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from m2serve.dispatcher.outbox import Outbox, framed
from m2serve.errors import ClientGone
from m2serve.transports.responder import Origin
from m2serve.wire.zmtp import Decoder


class Responder:
    """Takes *room* bytes, then none; or has gone."""

    def __init__(self):
        self.room = 1 << 30
        self.up = True
        self.taken = b""

    def try_write(self, origin, data):
        if not self.up or origin.dead:
            raise ClientGone("gone")
        now = bytes(data[: self.room])
        self.room -= len(now)
        self.taken += now
        return len(now)


@pytest.fixture
def responder():
    return Responder()


@pytest.fixture
def outbox(responder):
    return Outbox(responder)


def taken(conn):
    return SimpleNamespace(sender=b"m2", conn=b"%d" % conn)


def test_batches_leave_in_order_and_name_their_owners(outbox, responder):
    one, two, three = taken(1), taken(2), taken(3)
    outbox.put(b"first", [one, two])
    outbox.put(b"own", [])
    outbox.put(b"last", [three])
    assert outbox
    assert outbox.flush(Origin(1)) == [one, two, three]
    assert responder.taken == b"firstownlast"
    assert not outbox


def test_what_the_kernel_does_not_take_waits(outbox, responder):
    one = taken(1)
    outbox.put(b"0123456789", [one])
    for room in (4, 0, 5):
        responder.room = room
        assert outbox.flush(Origin(1)) == []
        assert outbox
    responder.room = 99
    assert outbox.flush(Origin(1)) == [one]
    assert responder.taken == b"0123456789"


def test_without_a_connection_everything_waits(outbox, responder):
    outbox.put(b"answer", [])
    responder.up = False
    assert outbox.flush(Origin(1)) == []
    responder.up = True
    outbox.flush(Origin(1))
    assert responder.taken == b"answer"


def test_for_a_dead_origin_nothing_is_sent_but_owners_are_free(outbox, responder):
    one, origin = taken(1), Origin(1)
    outbox.put(b"answer", [one])
    origin.dead = True
    assert outbox.flush(origin) == [one]
    assert not outbox
    assert responder.taken == b""


def test_a_batch_that_broke_off_is_not_repeated_its_clients_are_closed(outbox, responder):
    one, two = taken(1), taken(2)
    outbox.put(b"0123456789", [one, two])
    outbox.put(b"next", [])
    responder.room = 3
    outbox.flush(Origin(1))
    responder.up = False
    assert outbox.flush(Origin(1)) == [one, two]
    responder.up, responder.room = True, 1000
    outbox.flush(Origin(1))
    assert responder.taken == b"012" + framed(b"m2 1:1, ") + framed(b"m2 1:2, ") + b"next"


def test_it_does_not_grow_for_ever(outbox, responder):
    responder.room = 0
    for _ in range(11_000):
        outbox.put(b"x", [])
    one = taken(1)
    outbox.put(b"y", [one])  # an answer of a worker is never dropped: its slot waits for it
    responder.room = 1 << 20
    assert outbox.flush(Origin(1)) == [one]
    assert responder.taken == b"x" * 10_000 + b"y"


@pytest.mark.parametrize("size", [0, 10, 300])
def test_framed(size):
    assert Decoder().feed(framed(b"m2 1:1, ", bytes(size))) == [(0, b"m2 1:1, " + bytes(size))]
