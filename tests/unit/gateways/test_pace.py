"""Streams: soon enough for the reader, slowly enough for Mongrel2."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import pytest
from serving import HeldBack, serve
from support.channel import FakeChannel, FakeClock

from m2serve.gateways.courier import Courier
from m2serve.gateways.pace import JOIN, LARGEST_BLOCK, Pace

if TYPE_CHECKING:
    from collections.abc import Iterable


def streamed(generate: Any, headers: Any = ()) -> Any:
    def app(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        start_response("200 OK", list(headers))
        return generate()  # type: ignore[no-any-return]

    return app


def test_bucket() -> None:
    clock = FakeClock()
    pace = Pace(clock, burst=2, interval=0.5)

    def take() -> bool:
        if pace.delay():
            return False
        pace.spend(1)
        return True

    assert [take() for _ in range(3)] == [True, True, False]
    clock.now += 0.25
    assert not take()
    assert pace.delay() == pytest.approx(0.25)
    clock.now += 0.25
    assert take()
    clock.now += 100
    assert [take() for _ in range(3)] == [True, True, False]


def test_blocks_grow_and_the_largest_take_their_time() -> None:
    """With the one being written Mongrel2 takes 16 messages unread: so much must fit into the first of them."""
    clock = FakeClock()
    pace = Pace(clock)
    sent = []
    while len(sent) < 20:
        clock.now += pace.delay()
        assert pace.delay() == 0
        sent.append(pace.block)
        pace.spend(pace.block)
    assert sum(sent[:15]) > 90_000_000
    before = clock.now
    clock.now += pace.delay()
    pace.spend(pace.block)
    assert clock.now - before == pytest.approx(LARGEST_BLOCK / JOIN / 1000, abs=0.002)


def test_slow_pieces_leave_at_once() -> None:
    clock = FakeClock()
    channel = FakeChannel()

    def generate() -> Any:
        for number in range(50):
            clock.now += 0.01
            assert len(channel.messages) == number
            yield b"x"

    served = serve(streamed(generate), clock=clock, channel=channel)
    assert served.answer.body == b"x" * 50
    assert clock.naps == []


def test_a_burst_is_joined() -> None:
    served = serve(streamed(lambda: iter([b"0123456789"] * 10_000)))
    assert served.answer.body == b"0123456789" * 10_000
    # the burst, two times 64 KiB, the end
    assert len(served.channel.messages) <= 11
    assert max(map(len, served.channel.messages)) < 70_000


def test_fast_pieces_wait_for_their_turn() -> None:
    clock = FakeClock()
    piece = b"x" * 65_536
    served = serve(streamed(lambda: iter([piece] * 20)), clock=clock)
    assert len(served.answer.body) == 20 * 65_536
    assert len(served.channel.messages) == 21
    assert sum(clock.naps) == pytest.approx(0.013)


def test_a_large_piece_is_one_message() -> None:
    piece = b"x" * 10_000_000
    for app in (streamed(lambda: iter([piece])), streamed(lambda: [piece, b"y"])):
        served = serve(app)
        assert len(served.answer.body) >= len(piece)
        assert len(served.channel.messages) <= 2


def test_a_body_at_hand_is_one_message() -> None:
    assert len(serve(streamed(lambda: [b"x" * 1000] * 1000)).channel.messages) == 1


def test_held_pieces_leave_while_the_application_is_silent() -> None:
    clock = FakeClock()
    channel = FakeChannel()
    courier = HeldBack()

    def generate() -> Any:
        for number in range(12):
            yield b"%x" % number
        assert len(channel.messages) == 8
        courier.round()
        assert len(channel.messages) == 8  # no token yet
        clock.now += 0.002
        courier.round()
        assert channel.messages[-1] == b"4\r\n89ab\r\n"
        courier.round()
        assert len(channel.messages) == 9

    served = serve(streamed(generate), clock=clock, channel=channel, courier=courier)
    assert served.answer.body == b"0123456789ab"
    assert courier.asked == 1


def test_nothing_is_flushed_after_a_failure() -> None:
    courier = HeldBack()
    clock = FakeClock()

    def generate() -> Any:
        for _ in range(12):
            yield b"x"
        raise RuntimeError

    served = serve(streamed(generate), clock=clock, courier=courier)
    assert served.channel.closed
    clock.now += 1
    courier.round()  # the channel would object
    assert served.answer.truncated


def test_flushing_to_a_client_that_left() -> None:
    courier, clock, channel = HeldBack(), FakeClock(), FakeChannel()

    def generate() -> Any:
        for _ in range(12):
            yield b"x"
        channel.gone = True
        clock.now += 1
        courier.round()
        yield b"y"
        raise AssertionError("went on")

    assert (
        serve(streamed(generate), clock=clock, courier=courier, channel=channel).outcome.error == "the client has left"
    )


def test_held_bytes_of_known_length() -> None:
    served = serve(streamed(lambda: iter([b"x"] * 12), [("Content-Length", "12")]))
    assert served.answer.body == b"x" * 12
    assert len(served.channel.messages) == 9


class Waiting:
    def __init__(self, rounds: int, fails: bool = False) -> None:
        self.rounds = rounds
        self.fails = fails
        self.done = threading.Event()

    def flow(self) -> float | None:
        self.rounds -= 1
        if self.rounds == 0:
            self.done.set()
            if self.fails:
                raise OSError("broken")
        return 0.001 if self.rounds > 0 else None


def test_the_thread_of_the_courier() -> None:
    courier = Courier()
    for holder in (Waiting(3), Waiting(1, fails=True), Waiting(2)):
        courier.later(holder, 0.001)
        assert holder.done.wait(10)
    assert courier._thread is not None
    assert courier._thread.is_alive()


def test_the_courier_is_woken_early_and_calls_once() -> None:
    courier = Courier()
    patient, late = Waiting(1), Waiting(1)
    courier.later(late, 3600)
    courier.later(patient, 3600)
    with courier._changed:  # it must not come between
        courier.wake(patient)
        courier.wake(patient)
    assert patient.done.wait(10)
    courier.wake(late)
    assert late.done.wait(10)
    assert (patient.rounds, late.rounds) == (0, 0)
