"""Connections that seem idle and are not."""

from __future__ import annotations

from types import SimpleNamespace

from m2serve.dispatcher.keepalive import KeepAlive
from m2serve.dispatcher.outbox import framed
from m2serve.dispatcher.taken import Taken
from m2serve.wire import control


def intake(**arrived):
    known = SimpleNamespace(epoch=1, current={})
    for conn, when in arrived.items():
        number = conn[1:].encode()
        known.current[number] = Taken(known, 0, 0, 0, b"m2", number, when)
    return known


def test_whose_request_is_old_enough():
    found = KeepAlive(45.0).messages(intake(c1=0.0, c2=70.1, c3=70.0), 100.0)
    assert found == framed(control.keep_alive(b"m2", [b"1", b"3"]))


def test_nobody():
    assert KeepAlive(45.0).messages(intake(c1=99.0), 100.0) == b""


def test_as_few_messages_as_can_be():
    known = intake(**{f"c{n}": 0.0 for n in range(300)})
    known.current[b"7"].sender = b"other"
    found = KeepAlive(45.0).messages(known, 100.0)
    numbers = [b"%d" % n for n in range(300) if n != 7]
    parts = (numbers[:127], numbers[127:254], numbers[254:])
    assert found == b"".join(framed(control.keep_alive(b"m2", p)) for p in parts) + framed(
        control.keep_alive(b"other", [b"7"])
    )


def test_when():
    keep = KeepAlive(45.0)
    keep.said(100.0)
    assert keep.due == 145.0
    assert KeepAlive(0).due > 10**12
