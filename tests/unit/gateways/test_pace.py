"""Streams: soon enough for the reader, slowly enough for Mongrel2."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import pytest
from serving import HeldBack, serve
from support.channel import FakeChannel, FakeClock

from m2serve.gateways.flusher import Flusher
from m2serve.gateways.pace import Pace

if TYPE_CHECKING:
    from collections.abc import Iterable


def streamed(generate: Any, headers: Any = ()) -> Any:
    def app(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        start_response("200 OK", list(headers))
        return generate()  # type: ignore[no-any-return]

    return app


def test_bucket() -> None:
    clock = FakeClock()
    pace = Pace(clock, clock.sleep, burst=2, interval=0.5)
    assert [pace.take() for _ in range(3)] == [True, True, False]
    clock.now += 0.25
    assert not pace.take()
    clock.now += 0.25
    assert pace.take()
    clock.now += 100
    assert [pace.take() for _ in range(3)] == [True, True, False]
    pace.wait()
    assert clock.naps == [pytest.approx(0.5)]
    clock.now += 0.5
    pace.wait()
    assert len(clock.naps) == 1


def test_bucket_when_time_stands_still() -> None:
    clock = FakeClock()
    pace = Pace(clock, lambda seconds: None, burst=1, interval=0.5)
    for _ in range(5):
        pace.wait()
    assert not pace.take()


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
    flusher = HeldBack()

    def generate() -> Any:
        for number in range(12):
            yield b"%x" % number
        assert len(channel.messages) == 8
        flusher.round()
        assert len(channel.messages) == 8  # no token yet
        clock.now += 0.002
        flusher.round()
        assert channel.messages[-1] == b"4\r\n89ab\r\n"
        flusher.round()
        assert len(channel.messages) == 9

    served = serve(streamed(generate), clock=clock, channel=channel, flusher=flusher)
    assert served.answer.body == b"0123456789ab"
    assert flusher.asked == 1


def test_nothing_is_flushed_after_a_failure() -> None:
    flusher = HeldBack()
    clock = FakeClock()

    def generate() -> Any:
        for _ in range(12):
            yield b"x"
        raise RuntimeError

    served = serve(streamed(generate), clock=clock, flusher=flusher)
    assert served.channel.closed
    clock.now += 1
    flusher.round()  # the channel would object
    assert served.answer.truncated


def test_flushing_to_a_client_that_left() -> None:
    flusher, clock, channel = HeldBack(), FakeClock(), FakeChannel()

    def generate() -> Any:
        for _ in range(12):
            yield b"x"
        channel.gone = True
        clock.now += 1
        flusher.round()
        yield b"y"
        raise AssertionError("went on")

    assert (
        serve(streamed(generate), clock=clock, flusher=flusher, channel=channel).outcome.error == "the client has left"
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

    def flush(self) -> bool:
        self.rounds -= 1
        if self.rounds == 0:
            self.done.set()
            if self.fails:
                raise OSError("broken")
        return self.rounds > 0


def test_the_thread_of_the_flusher() -> None:
    flusher = Flusher(sleep=lambda seconds: None)
    for holder in (Waiting(3), Waiting(1, fails=True), Waiting(2)):
        flusher.later(holder)
        assert holder.done.wait(10)
    assert flusher._thread is not None
    assert flusher._thread.is_alive()
