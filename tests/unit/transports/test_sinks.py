"""Pieces of streamed uploads inside a worker: from the crew link to the body of the request in a slot."""

from __future__ import annotations

import os

import pytest

from m2serve.errors import ClientGone
from m2serve.transports.card import Card, create_card
from m2serve.transports.dispatched import MailChannel, MailRoom
from m2serve.transports.ledger import Ledger, create_ledger
from m2serve.transports.responder import Origin
from m2serve.wire import zmtp
from m2serve.wire.control import upload_credits

ENVELOPE = b"m2 1:7, "


class Sink:
    def __init__(self):
        self.fed = []
        self.lost = 0

    def feed(self, offset, data, last):
        self.fed.append((offset, data, last))

    def lose(self):
        self.lost += 1


class Responder:
    def __init__(self):
        self.sent = []
        self.broken = False

    def send_frames(self, origin, envelope, data, *others):
        if self.broken:
            raise ClientGone("broken")
        self.sent.append((envelope, data))


class Room:
    def __init__(self):
        self.fds = [create_ledger(1, 65536), create_card(2)]
        self.card = Card(self.fds[1], 2)
        self.responder = Responder()
        self.room = MailRoom(Ledger(self.fds[0], 1, 65536), self.card, [self.responder], (-1, -1), -1, print)

    def channel(self, slot=0, serial=5, epoch=1):
        channel = MailChannel(self.room, slot, serial, 0, epoch, Origin(epoch), ENVELOPE)
        self.room.channels[slot] = channel
        return channel

    def close(self):
        for fd in self.fds:
            os.close(fd)


@pytest.fixture
def it():
    room = Room()
    yield room
    room.close()


def test_pieces_reach_the_body_of_their_request(it):
    ones, others = Sink(), Sink()
    it.channel(0, 5).expect(ones)
    it.channel(1, 6).expect(others)
    it.room.feed(0, 5, 100, False, b"abc")
    it.room.feed(1, 6, 7, True, b"")
    assert ones.fed == [(100, b"abc", False)]
    assert others.fed == [(7, b"", True)]


def test_late_pieces_reach_nobody(it):
    sink = Sink()
    channel = it.channel(0, 5)
    it.room.feed(0, 5, 0, False, b"nobody expects it yet")
    channel.expect(sink)
    it.room.feed(0, 4, 0, False, b"of the request before")
    channel.expect(None)
    it.room.feed(0, 5, 0, False, b"over")
    it.room.feed(1, 5, 0, False, b"empty slot")
    assert sink.fed == []


@pytest.mark.parametrize("how", ["gone", "lost", "gone before"])
def test_a_client_that_leaves(it, how):
    sink = Sink()
    channel = it.channel(0, 5)
    if how == "gone before":
        it.room.gone(0, 5)
    channel.expect(sink)
    if how == "gone":
        it.room.gone(0, 4)
        assert not sink.lost
        it.room.gone(0, 5)
    elif how == "lost":
        it.room.epoch_lost(0, 2)
        assert not sink.lost
        it.room.epoch_lost(0, 1)
    assert sink.lost == 1
    assert channel.gone


def test_an_order_to_mongrel2_is_no_part_of_the_answer(it):
    channel = it.channel()
    order = upload_credits(b"m2", b"7", 1000)
    channel.control(order)
    # with the plain envelope: should the connection break, the client's is closed, not granted more
    assert it.responder.sent == [(ENVELOPE, zmtp.frame_header(len(order)) + order)]
    assert not channel.began
    it.responder.broken = True
    with pytest.raises(ClientGone):
        channel.control(order)
    channel.gone = True
    with pytest.raises(ClientGone, match="has left"):
        channel.control(order)
