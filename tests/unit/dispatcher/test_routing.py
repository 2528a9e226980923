"""Which request goes to which worker, and what becomes of it when somebody leaves."""

from __future__ import annotations

import pytest

from m2serve.dispatcher.crew import Crew
from m2serve.dispatcher.deaths import died
from m2serve.dispatcher.patience import expire, give_up
from m2serve.dispatcher.taken import State, Taken
from m2serve.transports import card as cards
from m2serve.transports import ledger
from m2serve.wire import tnet
from m2serve.wire.crew import Word

# --- choice -------------------------------------------------------------------


def test_the_least_loaded_worker(house):
    a, b = house.worker(3), house.worker(3)
    taken = [house.arrive(n) for n in range(4)]
    assert [one.crew for one in taken] == [a.crew, b.crew, a.crew, b.crew]
    b.finish(taken[1])
    b.finish(taken[3])
    assert house.router.collect()
    assert [house.arrive(n).crew for n in (10, 11)] == [b.crew, b.crew]


def test_ties_go_to_who_served_the_connection_last(house):
    a, b = house.worker(), house.worker()
    first, second = house.arrive(1), house.arrive(2)
    assert (first.crew, second.crew) == (a.crew, b.crew)
    a.finish(first)
    b.finish(second)
    house.router.collect()
    assert house.arrive(2).crew is b.crew
    assert house.arrive(1).crew is a.crew


def test_load_counts_more_than_custom(house):
    a, b = house.worker(2), house.worker(2)
    first = house.arrive(1)
    a.finish(first)
    house.router.collect()
    assert house.arrive(9).crew is a.crew
    assert house.arrive(1).crew is b.crew


def test_no_more_than_threads(house):
    house.worker(2), house.worker(3)
    taken = [house.arrive(n) for n in range(8)]
    assert [one.state for one in taken] == [State.HANDED] * 5 + [State.QUEUED] * 3
    assert (house.router.running, house.router.waiting) == (5, 3)
    assert len({(one.crew.key, one.slot) for one in taken[:5]}) == 5
    assert len({one.serial for one in taken[:5]}) == 5


def test_the_queue_is_in_order(house):
    a = house.worker()
    taken = [house.arrive(n) for n in range(5)]
    for one in taken:
        assert [t.state for t in taken].count(State.HANDED) == 1
        assert one.state is State.HANDED
        a.finish(one)
        house.router.collect()
    house.settled()


def test_endpoints_take_turns(house):
    a = house.worker()
    running = house.arrive(99)
    ones = [house.arrive(n, 0) for n in range(3)]
    others = [house.arrive(n, 1) for n in range(3)]
    order = []
    for _ in range(7):
        a.finish(running)
        house.router.collect()
        now = [t for t in ones + others if t.state is State.HANDED]
        if now:
            (running,) = now
            order.append(running)
    assert set(order) == {*ones, *others}
    assert [t for t in order if t in ones] == ones


@pytest.mark.parametrize("reason", ["not greeted", "not proven", "other epoch", "lost", "leaving"])
def test_who_gets_nothing(house, reason):
    crew = house.worker().crew
    if reason == "not greeted":
        crew.ready = False
        crew.sync(0, 1)
    elif reason == "not proven":
        crew.unsync(0)
    elif reason == "other epoch":
        crew.sync(0, 2)
    elif reason == "lost":
        crew.unsync(0)
    else:
        house.router.leaves(crew)
    assert house.arrive(1).state is State.QUEUED


def test_a_cell_says_all_about_its_request(house):
    a = house.worker(2)
    taken = house.arrive(7)
    letter = (cards.HANDED, 0, 1, taken.position, taken.size, 7, taken.frame, cards.ANY_ROAD, 0, cards.PLAIN)
    assert a.card.read(taken.slot) == letter
    assert a.card.sender(taken.slot) == b"m2"
    assert a.card.mails[taken.slot] == taken.serial > 0
    assert taken.intake.ring.is_taken(taken.frame)


# --- one connection, many requests ----------------------------------------------


def test_held_requests_go_to_the_same_worker_in_order(house):
    a, _ = house.worker(2), house.worker(2)
    taken = [house.arrive(1) for _ in range(4)]
    assert [one.state for one in taken] == [State.HANDED] + [State.HELD] * 3
    for n, one in enumerate(taken):
        assert one.crew is a.crew
        assert [t.state for t in taken[n + 1 :]] == [State.HELD] * (3 - n)
        a.finish(one)
        house.router.collect()
    assert not house.fences
    house.settled()


def test_who_is_held_behind_keeps_to_the_workers_road(house):
    a = house.worker()
    first = house.arrive(1)
    assert a.card.read(first.slot)[7] == cards.ANY_ROAD
    second = house.arrive(1)
    assert a.card.read(first.slot)[7] == cards.OWN_ROAD
    a.finish(first)
    house.router.collect()
    assert a.card.read(second.slot)[7] == cards.OWN_ROAD


def test_a_fence_when_the_answer_before_left_by_the_dispatcher(house):
    a = house.worker(2)
    first, second = house.arrive(1), house.arrive(1)
    a.answer(first)
    house.router.collect()
    assert house.router.answers == [first]
    assert first.answer == b"answer"
    house.router.sent([first])
    assert second.state is State.QUEUED
    (passed,) = house.fences
    passed()
    assert (second.state, second.crew) == (State.HANDED, a.crew)
    a.finish(second)
    house.router.collect()
    house.settled()


@pytest.mark.parametrize("how", ["gone", "lost"])
def test_a_fence_that_passes_too_late(house, how):
    a = house.worker(2)
    first, second = house.arrive(1), house.arrive(1)
    a.answer(first)
    house.router.collect()
    house.router.sent([first])
    if how == "gone":
        house.router.gone(house.intakes[0], b"1")
    else:
        house.router.lost(house.intakes[0])
    house.fences[0]()
    assert second.state is State.OVER
    house.settled()


def test_a_worker_that_leaves_while_the_fence_is_up(house):
    a, b = house.worker(), house.worker()
    first, second = house.arrive(1), house.arrive(1)
    a.answer(first)
    house.router.collect()
    house.router.sent([first])
    house.router.leaves(a.crew)
    house.fences[0]()
    assert (second.state, second.crew) == (State.HANDED, b.crew)


def test_a_client_that_pipelines_waits_for_its_worker(house):
    a, _ = house.worker(), house.worker()
    first, second = house.arrive(1), house.arrive(1)
    for one in (first, second):
        a.finish(one)
        house.router.collect()
    house.arrive(2)  # takes the thread of a
    third = house.arrive(1)
    assert (third.state, house.router.waiting) == (State.QUEUED, 1)
    a.finish(house.intakes[0].current[b"2"])
    house.router.collect()
    assert third.crew is a.crew


def test_too_many_pipelined_requests_leave_nothing_behind(house):
    a = house.worker()
    first = house.arrive(1)
    taken = [house.arrive(1) for _ in range(70)]
    assert house.router.waiting == 0
    assert all(one.state is State.OVER for one in taken)
    assert house.closed == []
    a.finish(first)
    house.router.collect()
    assert house.closed == [first]
    house.settled()


# --- too much -------------------------------------------------------------------


def test_the_queue_limit(house):
    house.build(2)
    a = house.worker()
    taken = [house.arrive(n) for n in range(5)]
    assert house.refused == [(taken[3], 503), (taken[4], 503)]
    assert house.router.waiting == 2
    for one in taken[:3]:
        a.finish(one)
        house.router.collect()
    house.settled()


@pytest.mark.parametrize("seen", [False, True], ids=["answering", "over"])
def test_a_full_queue_closes_on_nobody_who_has_his_answer(house, seen):
    house.build(1)
    a = house.worker()
    running, waiting = house.arrive(1), house.arrive(2)
    a.run(running, cards.ANSWERING)
    if seen:
        a.finish(running)
    following = house.arrive(1)
    if not seen:
        assert following.state is State.HELD
        a.finish(running)
        house.router.collect()
    for one in (following, waiting):
        if one.state is State.HANDED:
            a.finish(one)
            house.router.collect()
    assert waiting.state is State.OVER
    assert following.state in (State.HANDED, State.OVER)
    assert house.closed == house.refused == []
    assert house.router.waiting == 0


def test_one_who_does_not_wait_for_his_answer_is_closed_by_a_full_queue(house):
    house.build(1)
    a = house.worker()
    running, waiting = house.arrive(1), house.arrive(2)
    assert house.arrive(1).state is State.OVER
    a.finish(running)
    house.router.collect()
    assert house.closed == [running]
    a.finish(waiting)
    house.router.collect()
    house.settled()


def test_threads_that_are_free_again_count_before_the_queue_limit(house):
    house.build(1)
    a = house.worker(2)
    first, second, waiting = (house.arrive(n) for n in range(3))
    a.finish(first)
    a.finish(second)
    late = house.arrive(3)
    assert [one.state for one in (waiting, late)] == [State.HANDED] * 2
    assert house.refused == []
    assert house.router.waiting == 0


def test_the_queue_timeout(house):
    a = house.worker()
    taken = [house.arrive(n, arrived=float(n)) for n in range(4)]
    held = house.arrive(1)
    assert expire(house.router, 0.5) == 1.0
    assert not house.refused
    assert expire(house.router, 2.5) == 3.0
    assert house.refused == [(taken[1], 503), (taken[2], 503)]
    assert held.state is State.OVER
    assert house.router.waiting == 1
    a.finish(taken[0])
    house.router.collect()
    assert taken[3].state is State.HANDED
    assert expire(house.router, 9.0) is None


# --- slots ----------------------------------------------------------------------


def test_handed_and_finished_between_two_looks(house):
    a = house.worker()
    assert not house.router.collect()
    for n in range(3):
        one = house.arrive(n)
        a.finish(one)
        assert house.router.collect()
        assert one.state is State.OVER
        two = house.arrive(n)
        a.answer(two)
        assert house.router.collect()
        house.router.sent([two])
    house.router.answers.clear()
    house.settled()
    assert not house.router.collect()


def test_an_answer_is_collected_once_and_keeps_its_slot_until_sent(house):
    a = house.worker()
    one = house.arrive(1)
    waiting = house.arrive(2)
    a.answer(one)
    house.router.collect()
    assert not house.router.collect()
    assert house.router.answers == [one]
    assert a.card.answered[one.slot] == one.serial, "a successor may still send it"
    a.crew.sending(one)
    assert a.card.answered[one.slot] == one.serial | cards.SENDING
    assert not house.router.collect()
    assert waiting.state is State.QUEUED
    house.router.sent([one])
    assert one.state is State.OVER
    assert waiting.state is State.HANDED


# --- leaving --------------------------------------------------------------------


def test_a_client_leaves_while_its_request(house):
    a = house.worker()
    running, held, queued = house.arrive(1), house.arrive(1), house.arrive(2)
    intake = house.intakes[0]
    house.router.gone(intake, b"2")
    house.router.gone(intake, b"1")
    house.router.gone(intake, b"3")
    assert (running.state, held.state, queued.state) == (State.HANDED, State.OVER, State.OVER)
    (said,) = a.heard()
    assert (said.word, said.thread, said.a) == (Word.GONE, running.slot, running.serial)
    assert house.router.waiting == 0
    a.finish(running)
    house.router.collect()
    house.settled()


def test_who_left_the_queue_holds_up_nobody(house):
    a = house.worker()
    running = house.arrive(1)
    queued = [house.arrive(n) for n in (2, 3)]
    for conn in (b"2", b"3"):
        house.router.gone(house.intakes[0], conn)
    a.finish(running)
    house.router.collect()
    assert {one.state for one in queued} == {State.OVER}
    newcomer = house.arrive(4)
    assert (newcomer.state, newcomer.crew) == (State.HANDED, a.crew)


def test_mongrel2_leaves(house):
    a = house.worker()
    running, held, queued = house.arrive(1), house.arrive(1), house.arrive(2)
    other = house.arrive(3, 1)
    intake = house.intakes[0]
    house.router.lost(intake)
    assert (held.state, queued.state, other.state) == (State.OVER, State.OVER, State.QUEUED)
    assert house.router.waiting == 1
    assert not (intake.queue or intake.current or intake.live)
    again = Taken(intake, 0, 2, 14, b"m2", b"1", 0.0)  # the same number, another client
    intake.epoch = again.epoch = intake.origin.epoch = 2
    house.router.arrive(again)
    a.finish(running)
    house.router.collect()
    assert (running.state, other.state, again.state) == (State.OVER, State.HANDED, State.QUEUED)
    assert intake.current == {b"1": again}


def test_a_worker_drains(house):
    a, b = house.worker(), house.worker()
    first = house.arrive(1)
    held = house.arrive(1)
    house.router.leaves(a.crew)
    assert [house.arrive(n).crew for n in (5,)] == [b.crew]
    queued = house.arrive(6)
    a.finish(first)
    house.router.collect()
    assert a.crew.running == {}
    b.finish(house.intakes[0].current[b"5"])
    house.router.collect()
    b.finish(queued)
    house.router.collect()
    assert (held.state, held.crew) == (State.HANDED, b.crew)


def test_what_waited_for_a_worker_that_drains_goes_elsewhere(house):
    a, b = house.worker(), house.worker()
    for one in (house.arrive(1), house.arrive(1)):
        a.finish(one)
        house.router.collect()
    house.arrive(2)
    third = house.arrive(1)
    assert third.state is State.QUEUED
    house.router.leaves(a.crew)
    house.router.refill()
    assert third.crew is b.crew


# --- stop -----------------------------------------------------------------------


def test_what_comes_while_stopping_is_parked_until_the_push_is_left(house):
    a = house.worker()
    running = house.arrive(1)
    house.router.parking = True
    parked, gone = house.arrive(2), house.arrive(3)
    a.finish(running)
    house.router.collect()
    assert (parked.state, gone.state) == (State.PARKED, State.PARKED)
    house.router.gone(house.intakes[0], b"3")
    house.router.unpark()
    assert (parked.state, gone.state) == (State.HANDED, State.OVER)
    a.finish(parked)
    house.router.collect()
    house.settled()


def test_giving_up_answers_everybody_who_waits(house):
    house.worker()
    running = house.arrive(1)
    queued, other = house.arrive(2), house.arrive(3, 1)
    house.router.parking = True
    parked = house.arrive(4)
    give_up(house.router)
    assert sorted((taken.conn, status) for taken, status in house.refused) == [(b"2", 503), (b"3", 503), (b"4", 503)]
    assert {one.state for one in (queued, other, parked)} == {State.OVER}
    assert (running.state, house.router.waiting) == (State.HANDED, 0)


# --- health checks ----------------------------------------------------------------


def request(conn, path=b"/", method=b"GET"):
    return b"m2 %d %b " % (conn, path) + tnet.dump({b"METHOD": method, b"PATH": path, b"VERSION": b"HTTP/1.1"}) + b"0:,"


def test_a_health_check_waits_in_front_and_beside_the_limit(house):
    house.build(2, health=(b"/health",))
    a = house.worker()
    first, second, third = [house.arrive(n, raw=request(n)) for n in (1, 2, 3)]
    check = house.arrive(4, raw=request(4, b"/health"))
    refused = house.arrive(5, raw=request(5, b"/healthy"))
    assert (house.refused, house.router.waiting) == ([(refused, 503)], 3)
    assert house.router.queued(house.intakes[0])[0] == 3
    for running, following in ((first, check), (check, second), (second, third)):
        assert running.state is State.HANDED and following.state is State.QUEUED
        a.finish(running)
        house.router.collect()
    a.finish(third)
    house.router.collect()
    house.settled()


def test_health_checks_wait_no_longer_than_others(house):
    house.build(10, health=(b"/health",))
    house.worker()
    house.arrive(1, raw=request(1), arrived=1.0)
    old = house.arrive(2, raw=request(2), arrived=2.0)
    check = house.arrive(3, raw=request(3, b"/health"), arrived=3.0)
    late = house.arrive(4, raw=request(4, b"/health"), arrived=5.0)
    assert expire(house.router, 4.0) == 5.0
    assert house.refused == [(check, 503), (old, 503)]
    house.router.gone(house.intakes[0], b"4")
    assert (late.state, house.router.waiting) == (State.OVER, 0)


def test_so_many_health_checks_are_no_health_checks(house):
    house.build(10, health=(b"/health",))
    house.worker()
    taken = [house.arrive(n, raw=request(n, b"/health")) for n in range(1, 31)]
    assert [one.state for one in taken].count(State.OVER) == 13, "one runs, 16 are in front, none fits behind them"
    assert house.router.waiting == 16


# --- death ----------------------------------------------------------------------


def test_a_worker_dies_before_it_began(house):
    a = house.worker(2)
    one, two = house.arrive(1), house.arrive(2)
    later = house.arrive(3)
    died(house.router, a.crew)
    assert [t.state for t in (one, two, later)] == [State.QUEUED] * 3
    assert not one.intake.ring.is_taken(one.frame)
    assert list(house.intakes[0].queue) == [one, two, later]
    b = house.worker(3)
    fourth = house.arrive(4)
    assert fourth.state is State.QUEUED  # behind those that were there before
    house.router.refill()
    assert [t.crew for t in (one, two, later)] == [b.crew] * 3
    assert house.router.waiting == 1
    assert not house.refused
    assert not any(a.card.mails)


def test_another_worker_takes_over_at_once(house):
    a, b = house.worker(), house.worker()
    one = house.arrive(1)
    died(house.router, a.crew)
    assert (one.state, one.crew) == (State.HANDED, b.crew)
    assert one.intake.ring.is_taken(one.frame)
    b.finish(one)
    house.router.collect()
    house.settled()


def test_a_worker_dies_while_it_runs(house):
    a, _ = house.worker(), house.worker()
    one, held = house.arrive(1), house.arrive(1)
    a.run(one)
    died(house.router, a.crew)
    assert house.refused == [(one, 502)]
    assert held.state is State.OVER
    house.settled()


def test_what_a_dead_worker_ran_runs_again_once(house):
    house.build(10, retry=True)
    a, b = house.worker(), house.worker()
    one, held = house.arrive(1, raw=request(1)), house.arrive(1, raw=request(1))
    a.run(one)
    died(house.router, a.crew)
    assert (one.state, one.crew, held.state) == (State.HANDED, b.crew, State.HELD)
    b.run(one)
    died(house.router, b.crew)
    assert house.refused == [(one, 502)]
    assert held.state is State.OVER
    house.settled()


@pytest.mark.parametrize("case", ["post", "garbage", "answering", "upload", "overwritten", "not asked for"])
def test_what_must_not_run_again(house, case):
    house.build(10, retry=case != "not asked for")
    a, _ = house.worker(), house.worker()
    raw = request(1, method=b"POST" if case == "post" else b"HEAD")
    one = house.arrive(1, raw=b"m2 1 / 9:nothing" if case == "garbage" else raw)
    a.run(one, cards.ANSWERING if case == "answering" else cards.RUNNING)
    if case == "upload":
        one.kind = cards.UPLOAD
    if case == "overwritten":
        one.intake.words[ledger.TAIL] = one.frame + 1
    died(house.router, a.crew)
    assert one.state is State.OVER
    assert (house.refused, house.closed) == (([], [one]) if case == "answering" else ([(one, 502)], []))
    house.settled()


def test_a_worker_dies_while_it_answers(house):
    a = house.worker()
    one = house.arrive(1)
    a.run(one, cards.ANSWERING)
    died(house.router, a.crew)
    assert house.closed == [one]
    assert not house.refused
    house.settled()


def test_a_worker_dies_after_it_answered_in_the_slot(house):
    a, b = house.worker(), house.worker()
    one, held = house.arrive(1), house.arrive(1)
    a.answer(one)
    died(house.router, a.crew)
    assert house.router.answers == [one]
    assert one.answer == b"answer"
    assert (house.refused, house.closed) == ([], [])
    house.router.sent([one])  # which comes later
    house.fences[0]()
    assert held.crew is b.crew
    b.finish(held)
    house.router.collect()
    house.settled()


def test_a_worker_dies_after_it_finished(house):
    a = house.worker()
    one = house.arrive(1)
    a.finish(one)
    died(house.router, a.crew)
    assert (house.refused, house.closed) == ([], [])
    house.settled()


def test_a_worker_dies_with_requests_of_a_mongrel2_that_has_gone(house):
    a = house.worker(2)
    one, two = house.arrive(1), house.arrive(2)
    a.run(two)
    house.intakes[0].origin.dead = True
    house.router.lost(house.intakes[0])
    died(house.router, a.crew)
    assert (one.state, two.state) == (State.OVER, State.OVER)
    assert (house.refused, house.closed, house.router.waiting) == ([], [], 0)


# --- succession -----------------------------------------------------------------


def test_a_successor_goes_on_with_what_runs(house):
    a = house.worker(2)
    one, two = house.arrive(1), house.arrive(2)
    a.run(one)
    heir = Crew(a.post, 2)
    heir.greet()
    heir.sync(0, 1)
    old = house.router
    for intake in house.intakes:
        intake.current.clear()
    house.build(100).crews[:] = [heir]
    for was in (one, two):
        state, _, epoch, position, size, conn, frame, *_ = heir.card.read(was.slot)
        assert (state, epoch) == (cards.RUNNING if was is one else cards.HANDED, 1)
        taken = Taken(was.intake, frame, position, size, heir.card.sender(was.slot), b"%d" % conn, 0.0)
        house.router.start_serials_after(two.serial)
        house.router.resume(taken, heir, was.slot, was.serial)
    assert heir.free == []
    assert house.router.running == 2
    held = house.arrive(1)
    assert held.state is State.HELD
    a.finish(one)
    house.router.collect()
    assert held.state is State.HANDED
    assert held.serial > max(one.serial, two.serial)
    a.finish(two)
    a.finish(held)
    house.router.collect()
    assert house.router.running == 0
    assert old is not house.router
    heir.card.close()
    heir.link.detach()


def test_a_successor_notices_what_ended_before_it_looked(house):
    a = house.worker()
    one = house.arrive(1)
    heir = Crew(a.post, 2)
    house.build(100).crews[:] = [heir]
    a.finish(one)  # between the successor's look at the cell and its first collect
    taken = Taken(one.intake, one.frame, one.position, one.size, b"m2", b"1", 0.0)
    house.router.resume(taken, heir, one.slot, one.serial)
    assert house.router.collect()
    assert taken.state is State.OVER
    heir.card.close()
    heir.link.detach()
