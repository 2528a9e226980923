"""Deadlines of many connections, to the second: a request costs none of them anything."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterator

NEVER = float("inf")


class Timed(Protocol):
    """Something with a deadline.

    Attributes:
        deadline: monotonic seconds, changed at will by whoever owns it; later ones need not be told to the wheel.
        spoke: the second under which the wheel will look at it; 0: none. The wheel's alone.
    """

    deadline: float
    spoke: int


class Wheel:
    """Looks at each when its deadline has come, or where it was when it was last told.

    Threads: guarded by whoever uses it.
    """

    __slots__ = ("_spokes",)

    def __init__(self) -> None:
        self._spokes: dict[int, list[Timed]] = {}

    def watch(self, one: Timed) -> None:
        """See to it that *one* is looked at when its deadline has come."""
        if one.deadline == NEVER:
            return
        second = int(one.deadline) + 1
        if one.spoke and one.spoke <= second:
            return  # it will be looked at before, and put further away then
        one.spoke = second
        self._spokes.setdefault(second, []).append(one)

    def due(self, now: float) -> Iterator[Timed]:
        """Those whose deadlines are over. Each is given once, and watched no more."""
        for second in [second for second in self._spokes if second <= now]:
            for one in self._spokes.pop(second):
                if one.spoke != second:
                    continue  # it was moved to an earlier one, or is here twice
                one.spoke = 0
                if one.deadline <= now:
                    yield one
                else:
                    self.watch(one)

    def eldest(self, count: int) -> list[Timed]:
        """About *count* of those that have the least time left."""
        found: list[Timed] = []
        for second in sorted(self._spokes):
            found += [one for one in self._spokes[second] if one.spoke == second]
            if len(found) >= count:
                break
        return sorted(found, key=lambda one: one.deadline)[:count]
