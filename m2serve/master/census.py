"""Counts once a second how much the workers have to do, and changes how many are wanted."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

from m2serve.config.doors import served_by
from m2serve.ids import Seconds
from m2serve.master.attachment import Attachment
from m2serve.master.child import AT_ZERO, ChildState
from m2serve.master.commands import Command
from m2serve.master.crowd import Crowd
from m2serve.master.generation import GenerationState
from m2serve.master.policies import busyness, cheaper
from m2serve.master.policies.busyness import Busyness

if TYPE_CHECKING:
    from m2serve.config.settings import Settings
    from m2serve.master.board import Board
    from m2serve.master.commands import Commands
    from m2serve.master.policies.cheaper import Algorithm, Seen
    from m2serve.master.scores import Scores

log = logging.getLogger("m2serve.master")

PERIOD = Seconds(1.0)


def crowd(settings: Settings) -> Crowd:
    """The bounds; a number of initial workers that is out of them was complained of already."""
    most, least = settings.processes, settings.cheaper or settings.processes
    initial = settings.cheaper_initial if least <= settings.cheaper_initial <= most else least
    soft, hard = settings.cheaper_rss_limit_soft, settings.cheaper_rss_limit_hard
    bare = max((workers[0] for workers in served_by(settings.map_socket).values()), default=1)
    return Crowd(most, least, initial, soft, hard, settings.idle, bare)


def algorithm(settings: Settings) -> Algorithm:
    """The one of the options."""
    overload, step = settings.cheaper_overload, settings.cheaper_step
    match settings.cheaper_algo:
        case "spare2":
            return cheaper.Spare2(settings.cheaper, step, settings.cheaper_idle)
        case "backlog":
            return cheaper.Backlog(overload, step)
        case "busyness":
            return Busyness(_busyness(settings), verbose=settings.cheaper_busyness_verbose)
        case "manual":
            return cheaper.Manual()
        case _:
            return cheaper.Spare(overload, step)


def _busyness(settings: Settings) -> busyness.Options:
    return busyness.Options(
        window=Seconds(settings.cheaper_overload),
        step=settings.cheaper_step,
        most=settings.cheaper_busyness_max,
        least=settings.cheaper_busyness_min,
        multiplier=settings.cheaper_busyness_multiplier,
        penalty=settings.cheaper_busyness_penalty,
        alert=settings.cheaper_busyness_backlog_alert,
        alert_multiplier=settings.cheaper_busyness_backlog_multiplier,
        alert_step=settings.cheaper_busyness_backlog_step,
        nonzero=settings.cheaper_busyness_backlog_nonzero,
    )


@dataclass
class Census(Attachment):
    """Asks the algorithm, and watches for the end of `idle`."""

    board: Board
    scores: Scores
    commands: Commands
    algorithm: Algorithm
    die_on_idle: bool = False
    _next: Seconds = AT_ZERO
    _handed: int = -1
    _last_seen: Seconds = AT_ZERO
    """When there was last something to do."""
    _slept: bool = False

    def turn(self, now: Seconds) -> bool:
        if self._slept and not self.board.asleep:
            self._last_seen = now
        self._slept = self.board.asleep
        if not self._counts or now < self._next:
            return False
        self._next = Seconds(now + PERIOD)
        before = self.board.wanted
        # A reload that loads decides for itself; of a pause nothing can be learnt.
        if any(one.state is GenerationState.STARTING for one in self.board.generations) or self.board.paused:
            self._last_seen = now
            return False
        if self.board.crowd.adaptive:
            self._adapt(now)
        if self.board.crowd.idle:
            self._watch_idle(now)
        return self.board.wanted != before or self.board.stop is not None

    def due(self, now: Seconds) -> Seconds | None:
        return max(self._next, now) if self._counts else None

    @property
    def _counts(self) -> bool:
        board = self.board
        return bool(board.crowd.adaptive or board.crowd.idle) and not board.asleep and board.stop is None

    def _adapt(self, now: Seconds) -> None:
        change = cheaper.decide(self.board.crowd, self.algorithm, self._look(now))
        if isinstance(self.algorithm, Busyness) and (said := self.algorithm.say()):
            log.info("busyness: %s", said)
        if change.workers:
            self.board.wanted += change.workers
            # Tests wait for this line.
            log.info("%d workers wanted, %+d: %s", self.board.wanted, change.workers, change.reason)

    def _look(self, now: Seconds) -> Seen:
        board, threads, free, rss = self.board, 1, 0, 0
        busy: dict[int, Seconds] = {}
        slots = [slot for slot in board.slots if slot.worker and slot.replaces is None]
        for slot in slots:
            child = slot.child
            if child is None or child.state is not ChildState.READY:
                continue
            running, busy[child.key] = self.scores.load(child, now)
            threads = max(len(child.threads), 1)
            free += threads - running
            rss += child.rss
        loading = board.wanted - len(busy)
        room = board.crowd.most - board.wanted
        return cheaper.Seen(now, board.wanted, room, loading, threads, free, self.scores.queued(), rss, busy)

    def _watch_idle(self, now: Seconds) -> None:
        handed, at_work = self.scores.traffic()
        if handed != self._handed or at_work:
            self._handed, self._last_seen = handed, now
        if now - self._last_seen < self.board.crowd.idle:
            return
        why = f"idle: no request for {self.board.crowd.idle:g} s"
        if self.die_on_idle:
            self.commands.obey(Command.STOP, why, now)
        else:
            self.commands.obey(Command.SLEEP, why, now)
