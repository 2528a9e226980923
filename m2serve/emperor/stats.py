"""What an emperor tells of its vassals: uWSGI's document, key by key. Moments are seconds of the clock on the wall."""

from __future__ import annotations

import fnmatch
import os
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import m2serve
from m2serve.emperor.vassal import State
from m2serve.observe.teller import Teller

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from m2serve.emperor.policy import Rules
    from m2serve.emperor.vassal import Vassal
    from m2serve.ids import Seconds
    from m2serve.observe.stats import Document


@dataclass(eq=False)
class Chronicle(Teller):
    """Tells it to whoever connects.

    Args:
        places: directories and patterns, absolute.
        tyrant: each vassal runs as the owner of its file.
        vassals: by their paths; changes while we listen.
    """

    places: Sequence[str] = ()
    tyrant: bool = False
    rules: Rules | None = None
    vassals: Mapping[str, Vassal] = field(default_factory=dict)
    wall: Callable[[], float] = time.time

    def make(self, now: Seconds) -> Document:
        assert self.rules is not None
        ahead = self.wall() - now
        own = os.getuid(), os.getgid()
        return {
            "version": m2serve.__version__,
            "pid": os.getpid(),
            "uid": own[0],
            "gid": own[1],
            "cwd": os.getcwd(),
            "emperor": list(self.places),
            "emperor_tyrant": int(self.tyrant),
            "throttle_level": 0,
            "vassals": [self._vassal(one, own, ahead) for one in self.vassals.values() if one.pid],
            "blacklist": [self._throttled(one, self.rules, ahead) for one in self.vassals.values() if one.failures],
        }

    def _vassal(self, vassal: Vassal, own: tuple[int, int], ahead: float) -> Document:
        name, monitor = named(vassal.path, self.places)
        ready = _moment(vassal.ready_at, ahead)
        uid, gid = (vassal.seen.owner, vassal.seen.group) if self.tyrant else own
        return {
            "id": name,
            "pid": vassal.pid,
            "born": _moment(vassal.born, ahead),
            "last_mod": vassal.seen.changed // 1_000_000_000,
            "last_heartbeat": 0,
            "loyal": int(vassal.loyal),
            "ready": int(vassal.ready),
            # the old workers serve while new ones are loaded
            "accepting": int(vassal.loyal),
            "last_loyal": _moment(vassal.loyal_at, ahead),
            "last_ready": ready,
            "last_accepting": ready,
            "first_run": _moment(vassal.first_run, ahead),
            "last_run": _moment(vassal.last_run, ahead),
            # of a life that is ending: since when
            "cursed": _moment(vassal.stopped_at, ahead) if vassal.state is State.STOPPING else 0,
            "zerg": 0,
            "on_demand": "",
            "uid": uid,
            "gid": gid,
            "monitor": monitor,
            "respawns": max(vassal.starts - 1, 0) + vassal.reloads,
        }

    def _throttled(self, vassal: Vassal, rules: Rules, ahead: float) -> Document:
        return {
            "id": named(vassal.path, self.places)[0],
            "throttle_level": int(rules.pause(vassal.failures) * 1000),
            "attempt": vassal.failures,
            "first_attempt": _moment(vassal.first_failure, ahead),
            "last_attempt": _moment(vassal.last_failure, ahead),
        }


def named(path: str, places: Iterable[str]) -> tuple[str, str]:
    """What uWSGI calls a vassal, and the place it was found in: the bare name in a directory, the path of a pattern."""
    for place in places:
        if os.path.dirname(path) == place.rstrip("/"):
            return os.path.basename(path), place
        if fnmatch.fnmatchcase(path, place):
            return path, place
    return path, ""


def _moment(at: Seconds | None, ahead: float) -> int:
    return 0 if at is None else int(at + ahead)
