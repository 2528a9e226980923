"""What plugins do every so many seconds."""

from __future__ import annotations

from typing import Any

from m2serve.ids import Seconds
from m2serve.master.ticks import Ticks
from m2serve.plugin.hooks import Call, Tick


def test_each_in_its_time() -> None:
    calls: list[tuple[str, float]] = []
    made: list[float] = []

    def snapshot(now: Seconds) -> Any:
        made.append(now)
        return now

    def tick(name: str, seconds: float) -> Tick:
        return Tick(Call("mine", "tick", lambda state: calls.append((name, state))), seconds)

    ticks = Ticks([tick("a", 1.0), tick("b", 2.5)], snapshot)
    assert ticks.due(Seconds(100.0)) is None
    for now in (100.0, 100.5, 101.0, 101.5, 102.5, 110.0, 110.5):
        assert ticks.turn(Seconds(now)) is False
    assert calls == [("a", 101.0), ("a", 102.5), ("b", 102.5), ("a", 110.0), ("b", 110.0)]
    assert made == [101.0, 102.5, 110.0]
    assert ticks.due(Seconds(110.5)) == 111.0
