"""Link over a real socket pair: descriptors, a full queue, the end."""

from __future__ import annotations

import os

import pytest

from m2serve.errors import RemoteProtocolError
from m2serve.system.fds import open_fds
from m2serve.system.link import EOF, Link
from m2serve.wire.link import Verb


@pytest.fixture
def pair():
    before = open_fds()
    ours, theirs = Link.pair()
    yield ours, theirs
    ours.close()
    theirs.close()
    assert open_fds() == before


def test_nothing_there_is_none(pair):
    assert pair[0].receive() is None


def test_the_end_is_eof_after_the_last_words(pair):
    ours, theirs = pair
    ours.send(Verb.DRAIN)
    theirs.send(Verb.READY, {"threads": []})
    theirs.close()
    # Our unread DRAIN makes the kernel report a reset first; nothing said may be lost by that.
    received = ours.receive()
    assert received is not None
    assert received is not EOF
    assert received.verb is Verb.READY
    assert ours.receive() is EOF


def test_sending_to_nobody_is_false(pair):
    ours, theirs = pair
    theirs.close()
    assert ours.send(Verb.DRAIN) is False


@pytest.mark.parametrize("count", [0, 1, 200, 201, 250, 500])
def test_descriptors_arrive_in_order_and_close_on_exec(pair, count):
    ours, theirs = pair
    readers = []
    for _ in range(count):
        reader, writer = os.pipe()
        os.close(writer)
        readers.append(reader)
    assert ours.send(Verb.WORKER, {"key": 1}, readers)
    received = theirs.receive()
    assert received is not None
    assert received is not EOF
    assert received.payload == {"key": 1}
    assert [os.fstat(fd).st_ino for fd in received.fds] == [os.fstat(fd).st_ino for fd in readers]
    assert not any(os.get_inheritable(fd) for fd in received.fds)
    for fd in (*readers, *received.fds):
        os.close(fd)


def test_what_the_kernel_does_not_take_waits_with_its_descriptors(pair):
    ours, theirs = pair
    sent = 0
    while not ours.pending:
        reader, writer = os.pipe()
        os.close(writer)
        assert ours.send(Verb.WORKER, {"key": sent}, [reader])
        os.close(reader)
        sent += 1
    ours.send(Verb.STOP)
    keys = []
    last = None
    while last is not Verb.STOP:
        received = theirs.receive()
        if received is None:
            assert ours.flush()
            continue
        assert received is not EOF
        last = received.verb
        keys += [received.payload["key"]] if last is Verb.WORKER else []
        for fd in received.fds:
            os.fstat(fd)
            os.close(fd)
    assert keys == list(range(sent))
    assert not ours.pending


def test_garbage_is_refused_and_the_link_goes_on(pair):
    ours, theirs = pair
    ours._sock.send(b"NONSENSE {}")
    ours.send(Verb.DRAIN)
    with pytest.raises(RemoteProtocolError):
        theirs.receive()
    received = theirs.receive()
    assert received is not None
    assert received is not EOF
    assert received.verb is Verb.DRAIN
