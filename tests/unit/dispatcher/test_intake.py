"""One PUSH connection: handshake, frames in the ring, refusals."""

from __future__ import annotations

import socket
import time
from types import SimpleNamespace

import pytest
import zmq
from dispatching import RING, conns, message, receive, receive_bytes, wait_readable
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from m2serve.dispatcher.phase import Phase
from m2serve.dispatcher.taken import Arrival, Marked, State, Taken
from m2serve.transports import ledger
from m2serve.wire import zmtp

LARGEST = RING // 2


def parse(intake, data, sizes=()):
    """Put *data* into the ring, cut in pieces, as if it had been received."""
    found = []
    at = 0
    words, ring = intake.words, intake.ring
    for size in [*sizes, len(data)]:
        for byte in data[at : at + size]:
            ring.data[ring.offset(words[ledger.RECEIVED])] = byte
            words[ledger.RECEIVED] += 1
        at += size
        found += intake.arrivals(0.0)
    return found


def only(found):
    (one,) = found
    return one


# --- handshake ----------------------------------------------------------------


def test_ready_is_said_after_the_descriptor_was_kept_and_the_ledger_prepared(node):
    intake = node.intake()
    intake.connect(time.monotonic())
    assert node.kept >= 0
    node.accept()
    intake.opening(time.monotonic())
    assert node.read(64) == zmtp.GREETING
    assert intake.words[ledger.PHASE] == ledger.NONE
    node.send(zmtp.GREETING + zmtp.ready(b"PUSH") + message(1))
    node.open(intake)
    assert node.read(len(zmtp.ready(b"PULL"))) == zmtp.ready(b"PULL")
    assert (intake.words[ledger.PHASE], intake.epoch) == (ledger.ESTABLISHED, 1)
    assert intake.words[ledger.OPENING] == len(zmtp.GREETING + zmtp.ready(b"PUSH"))
    assert conns(receive(intake, 1)) == [1]


def test_a_sub_behind_the_address(tcp_node, caplog):
    node = tcp_node
    intake = node.intake()
    intake.connect(time.monotonic())
    node.accept()
    node.send(zmtp.GREETING + zmtp.ready(b"SUB"))
    while intake.sock is not None:
        assert not intake.opening(time.monotonic())
    assert "swapped" in caplog.text
    assert (intake.phase, node.kept) == (Phase.WAITING, -1)
    assert intake.retry_at > time.monotonic()


def test_each_connection_is_an_epoch(node):
    intake = node.opened()
    node.send(message(1))
    receive(intake, 1)
    node.far.close()
    wait_readable(intake.sock)
    assert not intake.receive()
    intake.fail("closed", 0.0)
    assert intake.words[ledger.PHASE] == ledger.NONE
    intake.tick(intake.retry_at)
    node.accept()
    node.send(zmtp.GREETING + zmtp.ready(b"PUSH") + message(2))
    node.open(intake)
    assert intake.epoch == intake.origin.epoch == 2
    assert conns(receive(intake, 1)) == [2]


def test_leaving_reads_to_the_end(node):
    intake = node.opened()
    intake.leave(0.0)
    assert intake.phase is Phase.LEAVING
    assert node.far.recv(10) == b""
    node.send(message(1))
    node.far.close()
    assert conns(receive(intake, 1)) == [1]
    wait_readable(intake.sock)
    assert not intake.receive()
    intake.fail("closed", 0.0)
    assert intake.phase is Phase.LEFT


def test_who_is_not_connected_has_left_at_once(node):
    intake = node.intake()
    intake.leave(0.0)
    assert intake.phase is Phase.LEFT


def test_an_opening_that_takes_too_long(tcp_node, caplog):
    intake = tcp_node.intake()
    intake.connect(100.0)
    intake.tick(104.9)
    assert intake.phase is Phase.CONNECTING
    intake.tick(105.1)
    assert intake.phase is Phase.WAITING
    assert intake.deadline() == intake.retry_at


# --- frames -------------------------------------------------------------------


@given(
    st.lists(st.tuples(st.integers(0, 10**18 - 1), st.integers(0, 700)), max_size=8),
    st.lists(st.integers(0, 300), max_size=30),
)
@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_chunking_gives_the_same_requests(tcp_node, requests, sizes):
    intake = tcp_node.intake()
    for word in range(len(intake.words)):
        intake.words[word] = 0
    data = b"".join(message(conn, bytes(size)) for conn, size in requests)
    found = parse(intake, data, sizes)
    assert conns(found) == [conn for conn, _ in requests]
    for one, (conn, size) in zip(found, requests, strict=True):
        assert one.sender == b"m2"
        assert zmtp.frame_header(one.size) + intake.ring.copy(one.position, one.size) == message(conn, bytes(size))


def test_positions_go_on_over_the_rings_edge(node):
    intake = node.opened()
    body = bytes(9000)
    for conn in range(40):
        node.send(message(conn, body))
        one = only(receive(intake, 1))
        assert int(one.conn) == conn
        assert intake.ring.copy(one.position, one.size).endswith(body + b",")
        one.state = State.OVER
        intake.free()
    assert intake.words[ledger.TAIL] == intake.words[ledger.RECEIVED] > 5 * RING


@pytest.mark.parametrize("keeps", [True, False])
def test_what_runs_is_kept_as_far_as_half_of_the_ring_reaches(node, keeps):
    intake = node.opened()
    intake.keeps_running = keeps
    node.send(message(1))
    running = only(receive(intake, 1))
    running.state, running.crew = State.HANDED, SimpleNamespace(has_copied=lambda _: True)
    intake.live.append(running)
    for conn in range(2, 2 + RING // 1000):
        node.send(message(conn, bytes(1000)))
        other = only(receive(intake, 1))
        other.state = State.OVER
        intake.live.append(other)
        intake.free()
        kept = intake.words[ledger.TAIL] == running.frame
        assert kept == (keeps and intake.words[ledger.RECEIVED] - running.frame <= RING // 2)
    running.state = State.OVER
    intake.free()
    assert intake.words[ledger.TAIL] == intake.words[ledger.RECEIVED]


def test_a_full_ring_leaves_the_rest_to_mongrel2(node):
    intake = node.opened()
    node.far.settimeout(0.05)
    sent = 0
    taken = []
    waiting = b""
    try:
        while True:
            waiting = waiting or message(sent, bytes(1000))
            waiting = waiting[node.far.send(waiting) :]
            sent += not waiting
            if sent % 16 == 0:
                intake.receive()
                found = list(intake.arrivals(0.0))
                intake.live.extend(found)
                taken += found
    except TimeoutError:
        pass
    assert intake.words[ledger.RECEIVED] - intake.words[ledger.TAIL] == RING
    assert len(taken) < sent
    node.far.settimeout(0.0)
    while len(taken) < sent:  # as requests end, the rest comes
        for one in taken:
            one.state = State.OVER
        intake.free()
        intake.receive()
        found = list(intake.arrivals(0.0))
        intake.live.extend(found)
        taken += found
        if waiting:
            try:
                waiting = waiting[node.far.send(waiting) :]
            except BlockingIOError:
                continue
            sent += not waiting
    assert conns(taken) == list(range(sent))


def test_a_giant_is_refused_by_its_head_and_skipped(node):
    intake = node.opened()
    giant = message(5, bytes(3 * RING))
    node.send(message(1) + giant[: RING // 2])
    found = receive(intake, 2)
    assert conns(found[:1]) == [1]
    found[0].state = State.OVER
    assert found[1].fault[0] == 413
    assert (found[1].sender, found[1].conn) == (b"m2", b"5")
    start = len(message(1))
    rest = memoryview(giant)[RING // 2 :]
    late = []
    while rest:
        rest = rest[node.far.send(rest[: RING // 2]) :]
        late += receive_bytes(intake, start + len(giant) - len(rest))
    node.send(message(6))
    assert conns(late + receive(intake, 1)) == [6]


def test_the_largest_that_fits(tcp_node):
    intake = tcp_node.intake()
    frame = message(1, bytes(LARGEST - 20))
    extra = LARGEST - (len(frame) - 9)
    assert conns(parse(intake, message(1, bytes(LARGEST - 20 + extra)))) == [1]
    assert only(parse(intake, message(2, bytes(LARGEST - 19 + extra)))).fault[0] == 413


def test_two_giants_one_after_the_other(tcp_node):
    node = tcp_node
    intake = node.opened()
    data = message(1, bytes(LARGEST)) + message(2, bytes(LARGEST)) + message(3)
    found = []
    while data:
        size = node.far.send(data[:9000])
        found += receive_bytes(intake, intake.words[ledger.RECEIVED] + size)
        data = data[size:]
    assert [int(one.conn) for one in found] == [1, 2, 3]
    assert [getattr(one, "fault", (0,))[0] for one in found] == [413, 413, 0]


def test_a_giant_without_a_head(tcp_node):
    intake = tcp_node.intake()
    one = only(parse(intake, zmtp.frame_header(LARGEST + 1) + bytes(1000)))
    assert (one.fault[0], one.conn) == (413, b"")


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (b"", "no sender"),
        (b"one two", "no sender"),
        (b"GET / HTTP/1.1", "connection is no number"),
        (b"m2 1x / 0:}0:,", "connection is no number"),
        (b"m2  / 0:}0:,", "connection is no number"),
        (b"m2 " + b"1" * 19 + b" / 0:}0:,", "connection is no number"),
        (b"m_2 1 / 0:}0:,", "sender cannot be answered"),
        (b"m" * 121 + b" 1 / 0:}0:,", "sender cannot be answered"),
        (b" 1 / 0:}0:,", "sender cannot be answered"),
    ],
)
def test_garbage_that_nobody_can_be_told_of(tcp_node, raw, reason):
    intake = tcp_node.intake()
    found = parse(intake, zmtp.frame_header(len(raw)) + raw + message(7))
    assert found[0].fault[0] == 400
    assert reason in found[0].fault[1]
    assert found[0].conn == b""
    assert conns(found[1:]) == [7]


@given(st.lists(st.binary(max_size=40), max_size=6))
@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_body_is_a_request_or_a_fault(tcp_node, bodies):
    intake = tcp_node.intake()
    for word in range(len(intake.words)):
        intake.words[word] = 0
    found = parse(intake, b"".join(zmtp.frame_header(len(body)) + body for body in bodies))
    assert len(found) == len(bodies)
    assert all(isinstance(one, Taken) or one.is_notice or one.fault for one in found)


def test_a_message_in_several_parts_is_refused(tcp_node):
    raw = b"m2 9 / 0:}0:,"
    one = only(parse(tcp_node.intake(), zmtp.frame_header(len(raw), zmtp.MORE) + raw))
    assert isinstance(one, Arrival)
    assert (one.fault[0], one.conn, one.sender) == (400, b"9", b"m2")


def test_notices_are_told_apart(tcp_node):
    raw = b'm2 9 @* 17:{"METHOD":"JSON"},21:{"type":"disconnect"},'
    one = only(parse(tcp_node.intake(), zmtp.frame_header(len(raw)) + raw))
    assert (one.is_notice, one.conn, one.fault) == (True, b"9", None)


def test_taken_frames_are_not_given_again(tcp_node):
    node = tcp_node
    intake = node.intake()
    first, second = parse(intake, message(1) + message(2))
    intake.ring.take(first.frame)
    again = node.intake()
    assert conns(again.arrivals(0.0)) == [2]
    assert second.frame == len(message(1))


# --- commands -----------------------------------------------------------------


def test_pings_are_answered_and_pongs_kept(node):
    intake = node.opened()
    node.send(zmtp.ping(b"who") + message(1) + zmtp.pong(b"a") + zmtp.pong(b"b"))
    assert conns(receive(intake, 1)) == [1]
    receive_bytes(intake, len(zmtp.ping(b"who") + message(1) + zmtp.pong(b"a") * 2))
    assert node.read(len(zmtp.pong(b"who"))) == zmtp.pong(b"who")
    assert list(intake.pongs) == [b"a", b"b"]
    intake.ping(b"me")
    assert node.read(len(zmtp.ping(b"me"))) == zmtp.ping(b"me")


def test_a_real_push_bears_a_second_ready_and_answers_pings():
    """What a successor does: say READY again; and only the last of many PINGs is answered."""
    context = zmq.Context()
    push = context.socket(zmq.PUSH)
    port = push.bind_to_random_port("tcp://127.0.0.1")
    try:
        with socket.create_connection(("127.0.0.1", port), 5) as sock:
            sock.sendall(zmtp.GREETING)
            shake, decoder = zmtp.Handshake(b"PUSH"), zmtp.Decoder()
            while not shake.done:
                shake.feed(sock.recv(shake.missing))
            sock.sendall(zmtp.ready(b"PULL") + zmtp.ready(b"PULL") + zmtp.ping(b"1") + zmtp.ping(b"2"))
            push.sndtimeo = 5000
            push.send(b"request")
            frames = []
            wanted = {zmtp.Frame(0, b"request"), zmtp.Frame(zmtp.COMMAND, b"\x04PONG2")}
            while not wanted <= set(frames):
                chunk = sock.recv(4096)
                assert chunk
                frames += decoder.feed(chunk)
    finally:
        push.close(0)
        context.term()


# --- marked messages -----------------------------------------------------------


def test_a_request_that_may_be_special_comes_whole(node):
    intake = node.opened()
    bodies = [b"", b"x-mongrel2-upload-start", b"", b"UPLOAD_STREAM", b"DOWNLOAD_CREDITS", b"download_credits"]
    node.send(b"".join(message(number, body) for number, body in enumerate(bodies, 1)))
    found = receive(intake, 6)
    assert [type(one) for one in found] == [Taken, Marked, Taken, Marked, Marked, Taken]
    assert found[1].taken.conn == b"2"
    assert found[1].raw == b"m2 2 / 0:}23:x-mongrel2-upload-start,"
    assert intake.ring.copy(found[1].taken.position, found[1].taken.size) == found[1].raw


def test_a_mark_may_come_in_two_pieces(node):
    intake = node.opened()
    whole = message(1) + message(2, b"x-mongrel2-upload-done")
    found = []
    for part in (whole[:-8], whole[-8:]):
        node.send(part)
        found += receive(intake, 1)
    assert [type(one) for one in found] == [Taken, Marked]


def test_credits_are_no_news_any_more(node):
    intake = node.opened()
    intake.marks_credits = False
    node.send(message(1, b"DOWNLOAD_CREDITS") + message(2, b"UPLOAD_STREAM") + message(3, b"DOWNLOAD_CREDITS"))
    assert [type(one) for one in receive(intake, 3)] == [Taken, Marked, Taken]
