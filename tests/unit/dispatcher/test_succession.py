"""A dispatcher dies between any two lines; its successor loses nothing and repeats nothing."""

from __future__ import annotations

import socket
import struct
import time

import pytest
from dispatching import RING, Node, conns, message, receive, receive_bytes, wait_readable

from m2serve.dispatcher import recount as recounts
from m2serve.dispatcher.phase import Phase
from m2serve.dispatcher.taken import Arrival
from m2serve.errors import TransportError
from m2serve.transports import ledger
from m2serve.wire import zmtp

MANY = b"".join(message(n) for n in range(20))


def rest_of(intake, count):
    """What a successor finds in the ring, and what comes until there are *count*."""
    found = list(intake.arrivals(0.0))
    return found + receive(intake, count - len(found))


def read_to(intake, position):
    """Read up to a position; what comes keeps its place in the ring."""
    found = []
    while intake.words[ledger.RECEIVED] < position:
        wait_readable(intake.sock)
        assert intake.receive()
        found += intake.arrivals(0.0)
    return found


def check_goes_on(node, intake, upto):
    """The stream is still in step."""
    node.send(message(upto))
    assert conns(receive(intake, 1)) == [upto]


def peek_offset(sock):
    return struct.unpack("i", sock.getsockopt(socket.SOL_SOCKET, 42, 4))[0]


def test_quiet(node):
    intake = node.opened()
    heir = node.successor()
    assert (heir.phase, heir.epoch, heir.origin.epoch) == (Phase.OPEN, intake.epoch, intake.epoch)
    assert node.read(len(zmtp.ready(b"PULL"))) == zmtp.ready(b"PULL")
    check_goes_on(node, heir, 0)


def test_unread_bytes_are_still_in_the_socket(node):
    node.opened()
    node.send(MANY)
    heir = node.successor()
    assert conns(rest_of(heir, 20)) == list(range(20))
    check_goes_on(node, heir, 20)


def test_bytes_that_arrive_while_they_are_counted(node, monkeypatch):
    """The kernel is asked twice, for all that has come and for what is unread; a request in between belongs to both."""
    intake = node.opened()
    node.send(MANY)
    receive(intake, 20)
    real, sent = recounts._unread, []

    def unread(sock):
        if len(sent) < 3:
            before, data = real(sock), message(20 + len(sent))
            sent.append(data)
            node.send(data)
            deadline = time.monotonic() + 20
            while real(sock) < before + len(data):
                assert time.monotonic() < deadline
        return real(sock)

    monkeypatch.setattr(recounts, "_unread", unread)
    heir = node.successor()
    assert heir.phase is Phase.OPEN
    if not heir.is_unix:
        assert len(sent) == 3
        found = rest_of(heir, 23)
        assert conns(found) == list(range(23))


def test_what_was_queued_is_found_again(node):
    intake = node.opened()
    node.send(MANY + message(20)[:5])
    found = receive(intake, 20)
    for one in found[:7]:
        intake.ring.take(one.frame)
    heir = node.successor()
    assert conns(heir.arrivals(0.0)) == list(range(7, 20))
    node.send(message(20)[5:])
    assert conns(receive(heir, 1)) == [20]


def test_the_tail_is_where_the_walk_starts(node):
    intake = node.opened()
    node.send(MANY)
    found = receive(intake, 20)
    intake.live.extend(found[10:])
    for one in found[:10]:
        intake.ring.take(one.frame)
    intake.free()
    assert intake.words[ledger.TAIL] == found[10].frame
    assert conns(node.successor().arrivals(0.0)) == list(range(10, 20))


def test_claimed_frames_are_not_given_again(node):
    intake = node.opened()
    node.send(MANY)
    found = receive(intake, 20)
    claimed = {(intake.epoch, found[3].frame), (intake.epoch, found[4].frame), (intake.epoch - 1, found[5].frame)}
    claimed.add((intake.epoch, 10**9))  # of an older life of the words
    heir = node.successor(claimed)
    assert conns(heir.arrivals(0.0)) == [n for n in range(20) if n not in (3, 4)]
    # and the mark stays: a third one need not know the claims
    assert conns(node.successor().arrivals(0.0)) == [n for n in range(20) if n not in (3, 4)]


@pytest.mark.parametrize("taken", [1, 7, 30, len(MANY) - 1, len(MANY)])
def test_tcp_death_after_recv_before_the_count(tcp_node, taken):
    node = tcp_node
    intake = node.opened()
    node.send(message(100))
    receive(intake, 1)
    node.send(MANY)
    start = intake.ring.offset(intake.words[ledger.RECEIVED])
    at = 0
    while at < taken:
        wait_readable(intake.sock)
        at += intake.sock.recv_into(intake.ring.data[start + at : start + taken])
    intake.ring.take(0)
    heir = node.successor()
    assert conns(rest_of(heir, 20)) == list(range(20))
    check_goes_on(node, heir, 20)


@pytest.mark.parametrize("unread", [True, False])
@pytest.mark.parametrize("half_closed", [True, False])
@pytest.mark.parametrize("eof_seen", [True, False])
def test_death_beside_the_end_of_the_stream(node, half_closed, unread, eof_seen):
    """TCP counts the FIN as a received byte."""
    intake = node.opened()
    node.send(MANY[: len(MANY) // 2])
    read_to(intake, len(MANY) // 2)
    if half_closed:
        intake.leave(0.0)
    if not unread:
        node.send(MANY[len(MANY) // 2 :])
        read_to(intake, len(MANY))
    else:
        node.send(MANY[len(MANY) // 2 :])
    node.far.shutdown(socket.SHUT_WR)
    if eof_seen and not unread:
        wait_readable(intake.sock)
        assert not intake.receive()
    heir = node.successor()
    assert heir.phase is (Phase.LEAVING if half_closed else Phase.OPEN)
    assert conns(rest_of(heir, 20)) == list(range(20))
    wait_readable(heir.sock)
    assert not heir.receive()
    assert heir.words[ledger.RECEIVED] == len(MANY)


def test_death_amid_leaving(node):
    intake = node.opened()
    node.send(MANY)
    receive(intake, 20)
    intake.leave(0.0)
    heir = node.successor()
    assert heir.phase is Phase.LEAVING
    node.send(message(20))
    assert conns(rest_of(heir, 21)) == list(range(21))
    node.far.close()
    wait_readable(heir.sock)
    assert not heir.receive()
    heir.fail("end", 0.0)
    assert heir.phase is Phase.LEFT


def test_death_before_the_half_close_was_done(node):
    intake = node.opened()
    intake.words[ledger.PHASE] = ledger.LEAVING
    heir = node.successor()
    assert heir.phase is Phase.LEAVING
    assert node.far.recv(1) == b""


def test_a_reset_meanwhile_is_a_lost_connection(tcp_node, caplog):
    node = tcp_node
    intake = node.opened()
    node.far.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    node.far.close()
    wait_readable(intake.sock)
    heir = node.successor()
    assert heir.sock is None
    assert heir.phase is Phase.WAITING
    assert "pull lost" in caplog.text


def test_a_ledger_that_disagrees_with_the_kernel_is_not_believed(tcp_node, caplog):
    intake = tcp_node.opened()
    intake.words[ledger.RECEIVED] = 17
    heir = tcp_node.successor()
    assert heir.sock is None
    assert "kernel 0" in caplog.text


@pytest.mark.parametrize("amount", [1, 200, len(MANY)])
@pytest.mark.parametrize("noted", [True, False])
def test_unix_death_between_taking_and_noting(tmp_path, noted, amount):
    node = Node("ipc", tmp_path)
    intake = node.opened()
    node.send(message(100))
    receive(intake, 1)
    intake.ring.take(0)
    node.send(MANY)
    wait_readable(intake.sock)
    words, start = intake.words, intake.ring.offset(intake.words[ledger.RECEIVED])
    count = intake.sock.recv_into(intake.ring.data[start : start + amount])
    assert count == amount
    if noted:
        words[ledger.RECEIVED] += count
    heir = node.successor()
    assert heir.words[ledger.RECEIVED] == len(message(100)) + count
    assert conns(rest_of(heir, 20)) == list(range(20))
    assert heir.words[ledger.RECEIVED] == len(message(100) + MANY)
    check_goes_on(node, heir, 20)
    node.close()


@pytest.mark.parametrize("point", ["before", "amid", "after"])
def test_the_count_of_a_unix_socket_begins_anew_before_it_ends(tmp_path, monkeypatch, point):
    node = Node("ipc", tmp_path)
    intake = node.opened()
    monkeypatch.setattr("m2serve.dispatcher.intake.ARM_AFTER", len(MANY) // 2)
    if point == "before":
        monkeypatch.setattr("m2serve.dispatcher.intake.arm", lambda sock, words: None)
    elif point == "amid":
        monkeypatch.setattr("m2serve.dispatcher.intake.arm", lambda sock, words: recounts.arm(sock, [0] * len(words)))
    node.send(MANY)
    found = receive(intake, 20)
    assert conns(found) == list(range(20))
    monkeypatch.undo()
    for one in found:
        intake.ring.take(one.frame)
    assert (intake.words[ledger.ARMED] == len(MANY)) is (point == "after")
    assert (peek_offset(intake.sock) == (1 << 31) - 1) is (point != "before")
    heir = node.successor()
    assert heir.words[ledger.RECEIVED] == heir.words[ledger.ARMED] == len(MANY)
    check_goes_on(node, heir, 20)
    node.close()


def test_a_count_of_a_unix_socket_that_cannot_be_is_not_believed(tmp_path, caplog):
    node = Node("ipc", tmp_path)
    intake = node.opened()
    node.send(MANY)
    receive(intake, 20)
    intake.words[ledger.RECEIVED] = 17
    intake.words[ledger.ARMED] += 1 << 29
    heir = node.successor()
    assert heir.sock is None
    assert "ledger says 17 bytes" in caplog.text
    node.close()


def test_death_during_the_handshake(node):
    intake = node.intake()
    intake.connect(time.monotonic())
    node.accept()
    heir = node.successor()
    assert (heir.phase, heir.sock, node.kept) == (Phase.WAITING, None, -1)
    heir.tick(heir.retry_at)
    node.accept()
    node.send(zmtp.GREETING + zmtp.ready(b"PUSH") + message(1))
    node.open(heir)
    assert conns(receive(heir, 1)) == [1]


def test_death_before_ready_was_said(node):
    """The ledger says ESTABLISHED, Mongrel2 may have heard nothing yet: it is said again."""
    node.opened()
    heir = node.successor()
    assert node.read(len(zmtp.ready(b"PULL"))) == zmtp.ready(b"PULL")
    check_goes_on(node, heir, 1)


# --- giants -------------------------------------------------------------------

GIANT = message(50, bytes(RING))


def refusals(found):
    return [one.fault[0] for one in found if isinstance(one, Arrival)]


@pytest.mark.parametrize("marked", [True, False])
def test_death_amid_a_giant_keeps_what_is_queued_before_it(node, marked):
    intake = node.opened()
    node.send(message(1) + message(2) + GIANT[:5000])
    found = read_to(intake, len(message(1) + message(2)) + 5000)
    assert refusals(found) == [413]
    if marked:
        intake.ring.take(found[2].frame)
    intake.ring.take(found[0].frame)
    heir = node.successor()
    again = list(heir.arrivals(0.0))
    assert refusals(again) == ([] if marked else [413])
    assert conns(again[:1]) == [2]
    for one in again:
        heir.ring.take(one.frame)
    go_over_giant(node, heir, 5000)


def test_death_amid_a_giant_that_holds_the_tail(node):
    intake = node.opened()
    node.send(GIANT[:5000])
    (one,) = read_to(intake, 5000)
    intake.ring.take(one.frame)
    intake.free()
    assert intake.words[ledger.TAIL] == 5000
    heir = node.successor()
    assert list(heir.arrivals(0.0)) == []
    go_over_giant(node, heir, 5000)
    # and a third, when all is behind
    third = node.successor()
    check_goes_on(node, third, 52)


def test_death_at_the_end_of_a_giant(node):
    intake = node.opened()
    node.send(GIANT[:5000])
    (one,) = read_to(intake, 5000)
    intake.ring.take(one.frame)
    intake.free()
    go_over_giant(node, intake, 5000)
    check_goes_on(node, node.successor(), 52)


def go_over_giant(node, intake, at):
    """Send the rest of the giant and one more request, which is all that comes."""
    data = memoryview(GIANT + message(51))[at:]
    found = []
    while data:
        size = node.far.send(data[:8000])
        data = data[size:]
        found += receive_bytes(intake, intake.words[ledger.RECEIVED] + size)
    assert conns(found) == [51]
    intake.ring.take(found[0].frame)
    intake.free()


def test_recount_refuses_what_cannot_be(tcp_node):
    intake = tcp_node.opened()
    intake.words[ledger.OPENING] = 0
    intake.words[ledger.RECEIVED] = 10**6
    with pytest.raises(TransportError, match="ledger says"):
        recounts.recount(intake.sock, intake.words, is_unix=False)
