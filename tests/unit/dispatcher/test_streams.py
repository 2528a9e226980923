"""Streamed uploads in the dispatcher: the first message is a request, the rest follows it to its worker."""

from __future__ import annotations

import os
import socket
import time

import pytest
from dispatching import Node, receive, wait_readable
from test_adoption import Life

from m2serve.dispatcher.outbox import framed
from m2serve.dispatcher.patience import expire
from m2serve.dispatcher.streams import Streams
from m2serve.transports import card as cards
from m2serve.transports import ledger
from m2serve.transports import uploads as tables
from m2serve.wire import crew as crew_wire
from m2serve.wire import tnet, zmtp
from m2serve.wire.control import upload_credits
from m2serve.wire.crew import Word
from m2serve.wire.pieces import ENOUGH

RING = 1 << 20


def frame(conn: int, headers: dict[bytes, bytes], body: bytes = b"") -> bytes:
    raw = b"m2 %d /up %b%b" % (conn, tnet.dump(headers), tnet.dump(body))
    return zmtp.frame_header(len(raw)) + raw


def first(conn: int, body: bytes = b"", **more: str) -> bytes:
    headers = {b"METHOD": b"POST", b"VERSION": b"HTTP/1.1", b"PATH": b"/up", b"UPLOAD_STREAM": b"0"}
    return frame(conn, {**headers, **{k.replace("_", "-").encode(): v.encode() for k, v in more.items()}}, body)


def piece(conn: int, offset: int, body: bytes, *, last: bool = False) -> bytes:
    done = {b"UPLOAD_STREAM_DONE": b"1"} if last else {}
    return frame(conn, {b"UPLOAD_STREAM": b"%d" % offset, **done}, body)


class Streaming(Life):
    """A dispatcher with one worker that is ready, and Mongrel2's side of its PUSH."""

    def __init__(self, node: Node, threads: int = 2) -> None:
        super().__init__(node, threads)
        self.worker = socket.socket(fileno=os.dup(self.post.crew_worker_fd))
        self.worker.setblocking(False)
        self.now = self.heir()
        self.router, self.ring = self.now._router, self.now._intakes[0].ring
        self.heard()
        self.say(self.now, (Word.HELLO,), (Word.SYNC, 0, 0, 1))

    def get(self, *frames: bytes) -> None:
        """Mongrel2 sends, and the dispatcher takes it in."""
        intake = self.now._intakes[0]
        data = b"".join(frames)
        until = intake.words[ledger.RECEIVED] + len(data)
        while data:
            data = data[self.node.far.send(data[:100_000]) :]
            wait_readable(intake.sock)
            self.now._on_pull(0)
        while intake.words[ledger.RECEIVED] < until:
            wait_readable(intake.sock)
            self.now._on_pull(0)

    def heard(self) -> list[crew_wire.CrewMessage]:
        """What the worker finds on the link."""
        found = []
        while True:
            try:
                found.append(crew_wire.decode(self.worker.recv(crew_wire.SIZE + crew_wire.PIECE_MOST)))
            except BlockingIOError:
                return found

    def pieces(self) -> list[tuple[int, int, int, bool, bytes]]:
        """Slot, serial, offset, last, bytes of every piece that has come."""
        return [
            (m.thread, m.a, m.b & ~crew_wire.LAST_PIECE, bool(m.b & crew_wire.LAST_PIECE), m.data)
            for m in self.heard()
            if m.word is Word.PIECE
        ]

    def sent(self) -> bytes:
        """What waits to leave for Mongrel2."""
        return b"".join(data for data, _ in self.now._outgoing.outboxes[0]._batches)

    def untaken(self) -> int:
        """Bytes of the ring that a successor would look at."""
        intake = self.now._intakes[0]
        intake.free()
        return int(intake.words[ledger.RECEIVED] - intake.words[ledger.TAIL])

    def copied(self, slot: int) -> None:
        """A thread has begun the request in *slot*."""
        self.card.words[self.card.base(slot) + cards.STATE] = cards.RUNNING

    def close(self) -> None:
        self.worker.close()
        super().close()


@pytest.fixture
def it(tmp_path):
    node = Node("ipc", tmp_path, RING)
    streaming = Streaming(node)
    yield streaming
    streaming.close()
    node.close()


def only(it):
    """The one running request."""
    (taken,) = it.router.crews[0].running.values()
    return taken


def begun(it, conn: int = 7):
    it.get(first(conn, b"01234", content_length="1000"))
    taken = it.now._intakes[0].current[b"%d" % conn]
    it.copied(taken.slot)
    return taken


def test_the_first_message_is_placed_as_what_it_is(it):
    taken = begun(it)
    state, *_, road, _, kind = it.card.read(taken.slot)
    assert (state, road, kind) == (cards.RUNNING, cards.OWN_ROAD, cards.STREAM)
    assert it.pieces() == []


def test_pieces_go_where_the_request_is(it):
    one, other = begun(it, 7), begun(it, 8)
    it.get(piece(7, 5, b"56"), piece(8, 5, b"abc"), piece(7, 7, b"78", last=True), piece(8, 8, b"", last=True))
    assert it.pieces() == [
        (one.slot, one.serial, 5, False, b"56"),
        (other.slot, other.serial, 5, False, b"abc"),
        (one.slot, one.serial, 7, True, b"78"),
        (other.slot, other.serial, 8, True, b""),
    ]
    assert it.untaken() == 0


def test_a_large_piece_travels_in_parts(it):
    taken, data = begun(it), os.urandom(100_000)
    it.get(piece(7, 2**31 - 5, data), piece(7, -(2**31) + 99_995, data, last=True))
    most, start = crew_wire.PIECE_MOST, 2**31 - 5
    assert it.pieces() == [
        (taken.slot, taken.serial, start, False, data[:most]),
        (taken.slot, taken.serial, start + most, False, data[most:]),
        (taken.slot, taken.serial, start + 100_000, False, data[:most]),
        (taken.slot, taken.serial, start + 100_000 + most, True, data[most:]),
    ]


def test_pieces_for_nobody_are_dropped(it):
    it.get(piece(9, 5, b"56"), first(7), piece(9, 7, b"78"))
    assert it.pieces() == []
    it.copied(only(it).slot)
    assert it.untaken() == 0
    it.get(frame(8, {b"METHOD": b"GET", b"VERSION": b"HTTP/1.1", b"PATH": b"/"}), piece(8, 7, b"for a plain request"))
    assert it.pieces() == []


def test_pieces_after_the_end_are_dropped(it):
    taken = begun(it)
    it.card.mails[taken.slot] = 0
    assert it.router.collect()
    it.get(piece(7, 5, b"56"))
    assert it.pieces() == []
    assert it.untaken() == 0


def test_what_only_looks_like_a_stream_is_a_plain_request(it):
    forged = {
        b"METHOD": b"POST",
        b"VERSION": b"HTTP/1.1",
        b"PATH": b"/up",
        b"x": b"UPLOAD_STREAM",
        b"upload_stream": b"0",
    }
    it.get(frame(7, forged, b"13:UPLOAD_STREAM,1:0,"))
    assert it.card.read(only(it).slot)[-1] == cards.PLAIN


def test_a_piece_that_cannot_be_read_is_left_to_a_worker(it):
    """It answers such a message with 400, as any broken one."""
    raw = b"m2 7 /up 24:13:UPLOAD_STREAM,4:x017,}3:abc,"
    it.get(zmtp.frame_header(len(raw)) + raw)
    assert it.card.read(only(it).slot)[-1] == cards.PLAIN


# -- progress


def test_progress_is_shown_to_who_asks(it):
    it.get(first(7, b"01234", content_length="1000", x_progress_id="abc"), first(8, transfer_encoding="chunked"))
    table = it.now._ledger.uploads
    assert len(table.used()) == 1
    shown = table.find(b"abc")
    assert (shown.state, shown.expected, shown.frame) == (tables.STREAMED, 1000, 5)
    one = it.now._intakes[0].current[b"7"]
    it.copied(one.slot)
    it.get(piece(7, 5, b"56"), piece(7, 5, b"56"), piece(7, 7, b"78"))
    assert table.find(b"abc").frame == 9
    it.get(piece(7, 9, b"9", last=True))
    assert (table.find(b"abc").frame, table.find(b"abc").state) == (10, tables.STREAMED_WHOLE)
    it.now._streams.tick()
    assert table.find(b"abc") is not None
    it.card.mails[one.slot] = 0
    assert it.router.collect()
    it.now._streams.tick()
    assert table.find(b"abc") is None


def test_a_successor_goes_on_with_the_progress(it):
    it.get(first(7, b"01234", content_length="1000", x_progress_id="abc"))
    running = list(it.router.crews[0].running.values())
    table = it.now._ledger.uploads
    for heir, found in ((Streams(table), running), (Streams(table), [])):
        it.now._uploads.adopt(found, it.now._intakes)  # leaves alone what is no file
        heir.adopt(found)
        assert (table.find(b"abc") is not None) is bool(found)


# -- no room


def fill(it, taken) -> int:
    """Send pieces until the link takes no more; the offset behind them."""
    offset = 5
    while not it.now._streams:
        it.get(piece(7, offset, bytes([offset % 251]) * 60_000))
        offset += 60_000
        assert offset < 50_000_000
    return offset


def test_what_the_link_has_no_room_for_waits_in_the_ring(it):
    taken = begun(it)
    offset = fill(it, taken)
    it.get(piece(7, offset, b"the rest", last=True))
    assert it.untaken() > 60_000
    found = []
    while it.now._streams:
        found += it.pieces()
        it.now._periodic(time.monotonic())
    found += it.pieces()
    assert [one[2] for one in found] == [*range(5, offset, 60_000), offset]
    assert all(one[4] == bytes([one[2] % 251]) * 60_000 for one in found[:-1])
    assert found[-1] == (taken.slot, taken.serial, offset, True, b"the rest")
    assert it.untaken() == 0


@pytest.mark.parametrize("waits", ["queued", "held", "parked"])
def test_a_request_that_waits_does_not_fill_the_ring_for_ever(it, waits):
    """It waits for a thread, which waits for pieces, which come through the ring."""
    plain = {b"METHOD": b"GET", b"VERSION": b"HTTP/1.1", b"PATH": b"/"}
    one = begun(it, 7)
    it.get(frame(8, plain))
    other = it.now._intakes[0].current[b"8"]
    it.copied(other.slot)
    it.router.parking = waits == "parked"
    it.get(frame(8 if waits == "held" else 9, plain))
    found = []
    for offset in range(5, 3_000_000, 60_000):
        it.get(piece(7, offset, bytes(60_000)))
        found += it.pieces()
        it.now._streams.tick()
    found += it.pieces()
    assert [(slot, offset) for slot, _, offset, _, _ in found] == [(one.slot, n) for n in range(5, 3_000_000, 60_000)]
    if waits == "held":
        assert other.doomed
    else:
        assert b" 1:9, HTTP/1.1 503 " in it.sent()


def test_it_is_tried_again_soon(it):
    fill(it, begun(it))
    now = time.monotonic()
    assert it.now._deadline(now) <= now + 0.01


@pytest.mark.parametrize("scheme", ["tcp", "ipc"])
def test_a_successor_sends_what_its_predecessor_has_not(tmp_path, scheme):
    """Or may have sent, and had no time to mark."""
    node = Node(scheme, tmp_path, RING)
    life = Life(node)
    node.send(first(7, b"01234") + piece(7, 5, b"56") + piece(7, 7, b"78") + piece(7, 9, b"", last=True))
    request, one, *_ = (marked.taken for marked in receive(life.intake, 4))
    life.fill(request, 1)
    life.card.words[life.card.base(1) + cards.KIND] = cards.STREAM
    life.card.words[life.card.base(1) + cards.STATE] = cards.RUNNING
    life.card.mails[1] = 77
    life.intake.ring.take(request.frame)
    life.intake.ring.take(one.frame)
    heir = life.heir()
    with socket.socket(fileno=os.dup(life.post.crew_worker_fd)) as worker:
        said = [crew_wire.decode(worker.recv(100)) for _ in range(3)]
    assert said == [
        (Word.PIECE, 0, 1, 77, 7, b"78"),
        (Word.PIECE, 0, 1, 77, 9 | crew_wire.LAST_PIECE, b""),
        (Word.RESUME, 0, 0, 0, 0, b""),
    ]
    (adopted,) = heir._router.crews[0].running.values()
    assert adopted.kind == cards.STREAM
    assert adopted.streaming
    life.close()
    node.close()


def test_what_waited_for_a_lost_mongrel2_is_dropped(it):
    taken = begun(it)
    fill(it, taken)
    intake = it.now._intakes[0]
    it.now._pull_ended(intake, "test", time.monotonic())
    it.pieces()
    it.now._streams.tick()
    assert not it.now._streams
    assert it.pieces() == []


def test_credit_left_over_from_before_brings_pieces_early(it):
    """Of a second upload of the connection while the first one is being answered."""
    one = begun(it)
    it.get(first(7, b"second"), piece(7, 6, b"early"))
    assert it.pieces() == []
    it.card.mails[one.slot] = 0
    assert it.router.collect()
    second = only(it)
    it.now._streams.tick()
    assert it.pieces() == [(second.slot, second.serial, 6, False, b"early")]


@pytest.mark.parametrize("behind", ["stream", "plain"])
def test_nothing_runs_behind_chunks(it, behind):
    """Mongrel2 1.12.2 may have garbled it."""
    it.get(first(7, transfer_encoding="chunked"))
    one = only(it)
    it.copied(one.slot)
    plain = frame(7, {b"METHOD": b"GET", b"VERSION": b"HTTP/1.1", b"PATH": b"/"})
    it.get(
        piece(7, 0, b"abc"), piece(7, 3, b"", last=True), first(7, content_length="9") if behind == "stream" else plain
    )
    assert [data for *_, data in it.pieces()] == [b"abc", b""]
    it.card.mails[one.slot] = 0
    assert it.router.collect()
    assert not it.router.crews[0].running
    it.now._outgoing.tick((), time.monotonic() + 60)
    assert it.sent() == ending(7)
    assert it.untaken() == 0


# -- ends


def ending(conn: int) -> bytes:
    """The connection is closed, and Mongrel2 gets credit enough to see it."""
    ident = b"%d" % conn
    return framed(b"m2 1:%b, " % ident) + framed(upload_credits(b"m2", ident, ENOUGH))


def test_a_worker_that_dies_while_it_reads(it):
    begun(it)
    it.post.close_worker_side()
    it.worker.close()
    it.now._on_crew(it.router.crews[0])
    sent = it.sent()
    assert b"HTTP/1.1 502 " in sent
    assert sent.endswith(ending(7))


def test_a_worker_that_dies_while_it_answers(it):
    taken = begun(it)
    it.card.words[it.card.base(taken.slot) + cards.STATE] = cards.ANSWERING
    it.post.close_worker_side()
    it.worker.close()
    it.now._on_crew(it.router.crews[0])
    it.now._outgoing.tick((), time.monotonic() + 60)
    assert it.sent() == ending(7)


def test_one_that_waited_too_long_for_a_thread(it):
    begun(it, 7), begun(it, 8)
    it.get(first(9))
    expire(it.router, time.monotonic() + 1)
    sent = it.sent()
    assert b"HTTP/1.1 503 " in sent
    assert sent.endswith(ending(9))


def test_one_that_comes_while_the_node_stops(it):
    it.router.parking = True
    it.get(first(7))
    sent = it.sent()
    assert b"HTTP/1.1 503 " in sent
    assert sent.endswith(ending(7))
    assert not it.router.parked


def test_one_that_was_held_when_its_connection_is_closed(it):
    """Too many requests without waiting for answers: the connection closes, and Mongrel2 waits for credit in it."""
    one = begun(it)
    plain = frame(7, {b"METHOD": b"GET", b"VERSION": b"HTTP/1.1", b"PATH": b"/"})
    it.get(*[plain] * 64, first(7))
    assert one.doomed
    it.card.mails[one.slot] = 0
    assert it.router.collect()
    it.now._outgoing.tick((), time.monotonic() + 60)
    assert it.sent() == ending(7)
