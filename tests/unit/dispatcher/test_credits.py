"""What each client was sent and has not read."""

from __future__ import annotations

import time

import pytest
from dispatching import Node, conns, message, receive
from hypothesis import given
from hypothesis import strategies as st

from m2serve.dispatcher.credits import WINDOW, Debts, credited, settle, stalled
from m2serve.dispatcher.deaths import died
from m2serve.dispatcher.taken import Arrival
from m2serve.transports import card as cards
from m2serve.transports import ledger
from m2serve.wire import zmtp
from m2serve.wire.crew import Word

BOTH = ["json", "tnetstring"]


def table():
    return Debts(memoryview(bytearray(8 * 65536)).cast("Q"))


def notice(conn: int, count: int, protocol: str = "tnetstring", turned: bool = False) -> bytes:
    """Mongrel2's word that it has written so many bytes."""
    text = b"%d" % count
    if protocol == "json":
        pairs = [b'"METHOD":"JSON"', b'"DOWNLOAD_CREDITS":"%b"' % text]
        inside, tag = b"{%b}" % b",".join(reversed(pairs) if turned else pairs), b","
    else:
        pairs = [b"16:DOWNLOAD_CREDITS,%d:%b," % (len(text), text), b"6:METHOD,4:JSON,"]
        inside, tag = b"".join(reversed(pairs) if turned else pairs), b"}"
    raw = b'm2 %d @* %d:%b%b18:{"type":"credits"},' % (conn, len(inside), inside, tag)
    return zmtp.frame_header(len(raw)) + raw


# --- the table ------------------------------------------------------------------


@given(st.lists(st.tuples(st.integers(0, 10**18 - 1), st.integers(-5, 2 * WINDOW)), max_size=20))
def test_a_debt_is_found_again_or_forgotten_for_a_newer_connection(puts):
    debts, known = table(), {}
    for conn, debt in puts:
        debts.put(conn, debt)
        known[conn & 0xFFFF] = (conn, min(max(debt, 0), WINDOW))
    for conn, _ in puts:
        newest, debt = known[conn & 0xFFFF]
        assert debts.of(conn) == (debt if conn == newest else 0)
    debts.clear()
    assert not any(debts.of(conn) for conn, _ in puts)


def test_a_debt_is_lowered_and_never_below_nothing():
    debts = table()
    debts.put(7, 1000)
    debts.lower(7, 400)
    debts.lower(7 + 65536, 400)  # somebody else's
    assert debts.of(7) == 600
    debts.lower(7, 10**9)
    assert debts.of(7) == 0
    debts.put(7, 5)
    debts.forget(7 + 65536)
    assert debts.of(7) == 5
    debts.forget(7)
    assert debts.of(7) == 0


# --- notices --------------------------------------------------------------------


@pytest.fixture
def counting(tcp_node):
    intake = tcp_node.opened()
    intake.count_debts(proven=True)
    said = []
    intake.credited = lambda conn, count: said.append((conn, count))
    return tcp_node, intake, said


@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize("protocol", BOTH)
def test_notices_are_read_among_requests_and_marked(counting, protocol, turned):
    node, intake, said = counting
    node.send(message(1) + notice(2, 32768, protocol, turned) + notice(345678, 7, protocol, turned) + message(3))
    assert conns(receive(intake, 2)) == [1, 3]
    assert said == [(b"2", 32768), (b"345678", 7)]
    assert intake.ring.is_taken(len(message(1)))


@pytest.mark.parametrize(
    "raw",
    [
        b'm2 1 /x 0:}18:{"type":"credits"},',
        b'm2 1 @* 45:16:DOWNLOAD_CREDITS,1:5,6:METHOD,4:JSON,1:a,1:b,}18:{"type":"credits"},',
        b'm2 1 @* 42:16:DOWNLOAD_CREDITS,1:5,6:METHOD,4:JSON,4:PATH,2:@*,}18:{"type":"credits"},',
        b'm2 1 @* 40:{"METHOD":"JSON","download_credits":"5"},18:{"type":"credits"},',
        b'm2 1 @* 24:16:DOWNLOAD_CREDITS,2:-5,}18:{"type":"credits"},',
        b'm2 1 @* 40:{"METHOD":"JSON","PATH":"@*"},18:{"type":"credits"},',
    ],
)
def test_what_only_looks_like_one_is_not(counting, raw):
    node, intake, said = counting
    node.send(zmtp.frame_header(len(raw)) + raw + message(9))
    found = receive(intake, 2)
    assert len(found) == 2
    assert not said


def test_while_nobody_counts_a_notice_comes_as_any_other(tcp_node):
    intake = tcp_node.opened()
    tcp_node.send(notice(2, 5))
    (found,) = receive(intake, 1)
    assert isinstance(found, Arrival)
    assert found.is_notice


# --- whether to count -------------------------------------------------------------


def test_counting_goes_on_with_a_successor(node):
    intake = node.opened()
    intake.count_debts(proven=True)
    intake.debts.put(5, 77)
    heir = node.successor()
    assert not heir.marks_credits
    assert heir.debts.of(5) == 77


def test_a_new_connection_is_perhaps_another_mongrel2(node):
    intake = node.opened()
    intake.count_debts(proven=True)
    intake.debts.put(5, 77)
    intake.fail("gone", time.monotonic())
    intake.tick(intake.retry_at)
    node.accept()
    node.send(zmtp.GREETING + zmtp.ready(b"PUSH"))
    node.open(intake)
    assert (intake.debts, intake.marks_credits, intake.words[ledger.FLOW]) == (None, True, 0)
    intake.count_debts(proven=True)
    assert intake.debts.of(5) == 0


def test_what_is_known_needs_no_sign(tmp_path):
    node = Node("ipc", tmp_path)
    intake = node.intake(flow_control=True)
    intake.connect(time.monotonic())
    node.accept()
    node.send(zmtp.GREETING + zmtp.ready(b"PUSH"))
    node.open(intake)
    assert intake.debts is not None
    assert intake.marks_credits, "it is not proven"
    node.send(message(3) + notice(3, 100))
    assert conns(receive(intake, 1)) == [3]
    assert not intake.marks_credits
    assert not node.successor().marks_credits
    node.close()


def test_what_is_not_true_is_found_out(owing):
    """Told that there are credits; but none ever come."""
    a = owing.worker(2)
    intake = owing.intakes[0]
    one, other = owing.arrive(5, arrived=100.0), owing.arrive(6, arrived=100.0)
    a.run(other)
    assert stalled(intake, 200.0) == []
    a.card.words[a.card.base(one.slot) + cards.WAITING] = 1
    assert stalled(intake, 109.0) == []
    assert stalled(intake, 111.0) == [one]


def test_a_notice_is_a_sign_too(tcp_node):
    intake = tcp_node.opened()
    credited(intake, b"5", 100)
    assert intake.debts is not None


# --- requests ---------------------------------------------------------------------


@pytest.fixture
def owing(house):
    """A house whose first Mongrel2 gives credits."""
    house.intakes[0].debts = table()
    return house


def cell(worker, taken):
    words, at = worker.card.words, worker.card.base(taken.drain or taken.slot)
    return words[at + cards.CREDIT], words[at + cards.SENT]


def send(worker, taken, size):
    worker.card.words[worker.card.base(taken.drain or taken.slot) + cards.SENT] += size


def test_nobody_counts_without_flow_control(owing):
    a = owing.worker()
    taken = owing.arrive(1, intake=1)
    assert not taken.metered
    assert cell(a, taken) == (cards.UNLIMITED, 0)


def test_what_is_sent_and_not_read_is_missing_next_time(owing):
    a = owing.worker()
    one = owing.arrive(5)
    assert cell(a, one) == (WINDOW, 0)
    send(a, one, 1000)
    credited(owing.intakes[0], b"5", 300)
    a.finish(one)
    owing.router.collect()
    assert owing.intakes[0].debts.of(5) == 700
    credited(owing.intakes[0], b"5", 100)
    two = owing.arrive(5)
    assert cell(a, two) == (WINDOW - 600, 0)
    send(a, two, 50)
    credited(owing.intakes[0], b"5", 650)
    a.finish(two)
    owing.router.collect()
    assert owing.intakes[0].debts.of(5) == 0


def test_an_answer_that_left_by_the_dispatcher_counts(owing):
    a = owing.worker()
    one = owing.arrive(5)
    send(a, one, 800)
    a.answer(one)
    owing.router.collect()
    credited(owing.intakes[0], b"5", 300)
    owing.router.sent([one])
    assert owing.intakes[0].debts.of(5) == 500


def test_who_waits_is_told(owing):
    a = owing.worker()
    one = owing.arrive(5)
    send(a, one, WINDOW)
    credited(owing.intakes[0], b"5", 10)
    assert not a.heard()
    a.card.words[a.card.base(one.slot) + cards.WAITING] = 1
    credited(owing.intakes[0], b"5", 10)
    (said,) = a.heard()
    assert (said.word, said.thread, said.a) == (Word.CREDIT, one.slot, one.serial)
    assert cell(a, one) == (WINDOW + 20, WINDOW)


def test_bytes_of_another_time_give_no_credit(owing):
    a = owing.worker()
    one = owing.arrive(5)
    send(a, one, 100)
    credited(owing.intakes[0], b"5", 5000)
    assert cell(a, one) == (WINDOW + 100, 100)


def test_pipelined_requests_hand_the_debt_on(owing):
    """Also when two end in one look, and the slot of one is filled again at once."""
    a = owing.worker(2)
    ones = [owing.arrive(5), owing.arrive(6)]
    held = [owing.arrive(5), owing.arrive(6)]
    for one, size in zip(ones, (100, 200), strict=True):
        send(a, one, size)
        a.finish(one)
    owing.router.collect()
    assert [cell(a, one) for one in held] == [(WINDOW - 100, 0), (WINDOW - 200, 0)]


@pytest.mark.parametrize("state", [cards.HANDED, cards.RUNNING, cards.ANSWERING])
def test_a_worker_that_dies_leaves_its_debts(owing, state):
    a = owing.worker()
    owing.intakes[0].debts.put(5, 1000)
    one = owing.arrive(5)
    a.run(one, state)
    died(owing.router, a.crew)
    assert owing.intakes[0].debts.of(5) == 1000


def test_a_client_that_has_gone_owes_nothing(owing):
    owing.worker()
    owing.intakes[0].debts.put(5, 1000)
    owing.router.gone(owing.intakes[0], b"5")
    assert owing.intakes[0].debts.of(5) == 0


def test_the_debt_of_another_epoch_is_nobodys(owing):
    a = owing.worker()
    one = owing.arrive(5)
    send(a, one, 1000)
    owing.router.lost(owing.intakes[0])
    owing.intakes[0].epoch = 2
    a.finish(one)
    owing.router.collect()
    assert owing.intakes[0].debts.of(5) == 0


def test_settling_twice_is_settling_once(owing):
    a = owing.worker()
    one = owing.arrive(5)
    send(a, one, 1000)
    settle(a.card, one.slot, one)
    owing.intakes[0].debts.put(5, 400)
    settle(a.card, one.slot, one)
    assert owing.intakes[0].debts.of(5) == 400
