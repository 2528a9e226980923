"""What an emperor does next: decided from what it sees, without doing anything."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, NamedTuple

from m2serve.emperor.vassal import Identity, State, Vassal
from m2serve.ids import Seconds

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping


class Deed(Enum):
    """Something to do with one vassal."""

    START = "start"
    RELOAD = "reload"
    STOP = "stop"
    KILL = "kill"


class Action(NamedTuple):
    """One deed, for one vassal."""

    deed: Deed
    vassal: Vassal


@dataclass(frozen=True)
class Rules:
    """How patient the emperor is, in seconds."""

    throttle: Seconds
    max_throttle: Seconds
    mercy: Seconds
    """Between STOP and KILL."""

    def pause(self, failures: int) -> Seconds:
        """How long a vassal is left alone that has failed so often before it was loyal."""
        return Seconds(min(self.throttle * 2 ** min(failures - 1, 30), self.max_throttle)) if failures else Seconds(0.0)


def census(vassals: dict[str, Vassal], found: Mapping[str, Identity], now: Seconds) -> Iterator[Action]:
    """Compare with what lies in the directory: newcomers, touched ones, those whose file is gone."""
    for path, identity in found.items():
        vassal = vassals.get(path)
        if vassal is None:
            vassals[path] = Vassal(path, identity, due=now, born=now)
        elif vassal.banished:
            pass  # it comes back when it has gone
        elif identity != vassal.seen:
            vassal.seen = identity
            vassal.failures = 0
            if vassal.state is State.RUNNING:
                yield Action(Deed.RELOAD, vassal)
            elif vassal.state is State.WAITING:
                vassal.due = now  # somebody has mended it
    for path, vassal in list(vassals.items()):
        if path not in found and not vassal.banished:
            vassal.banished = True
            if vassal.state is State.RUNNING:
                yield Action(Deed.STOP, vassal)
            elif vassal.state is State.WAITING:
                del vassals[path]


def decide(vassals: Iterable[Vassal], now: Seconds, *, leaving: bool) -> Iterator[Action]:
    """What is due."""
    for vassal in vassals:
        if vassal.state is State.WAITING:
            if not leaving and vassal.due <= now:
                yield Action(Deed.START, vassal)
        elif vassal.state is State.RUNNING:
            if leaving:
                yield Action(Deed.STOP, vassal)
        elif vassal.due <= now and not vassal.killed:
            yield Action(Deed.KILL, vassal)


def died(vassals: dict[str, Vassal], vassal: Vassal, rules: Rules, now: Seconds) -> None:
    """It has ended, asked or not."""
    vassal.pid = 0
    if vassal.banished:
        del vassals[vassal.path]
        return
    vassal.failures = 0 if vassal.loyal else vassal.failures + 1
    if vassal.failures:
        vassal.first_failure = now if vassal.failures == 1 else vassal.first_failure
        vassal.last_failure = now
    vassal.state, vassal.loyal, vassal.ready, vassal.killed = State.WAITING, False, False, False
    vassal.due = Seconds(now + rules.pause(vassal.failures))


def next_look(vassals: Iterable[Vassal]) -> Seconds | None:
    """When :func:`decide` has something to say though nothing happens."""
    due = [vassal.due for vassal in vassals if vassal.state is not State.RUNNING and not vassal.killed]
    return min(due, default=None)
