"""Looks for requests that have run for longer than they may, in the workers' sheets."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from m2serve.ids import Seconds
from m2serve.master.attachment import Attachment
from m2serve.master.child import AT_ZERO
from m2serve.master.late import Late
from m2serve.master.policies import harakiri
from m2serve.transports import sheet as sheets

if TYPE_CHECKING:
    from m2serve.config.deadlines import Deadlines
    from m2serve.master.board import Board
    from m2serve.master.scores import Scores
    from m2serve.transports.sheet import Sheet


_OWN = 1.0
"""Seconds that a deadline which a request has asked for may be late."""


@dataclass
class Overdue(Attachment):
    """Looks when the next deadline of a running request comes, and as often as one could have begun and ended since:
    each shortest deadline. Where requests may ask for deadlines of their own, each second."""

    board: Board
    scores: Scores
    deadlines: Deadlines
    threshold: int = 0
    """While fewer requests than so many wait for a thread, nobody is late."""
    _next: Seconds = AT_ZERO

    def turn(self, now: Seconds) -> bool:
        period = self._period()
        if period is None or now < self._next:
            return False
        patient = 0 <= self.scores.queued() < self.threshold if self.threshold else False
        # The queue may grow at any time.
        self._next = Seconds(now + (min(period, _OWN) if self.threshold else period))
        found = False
        for child in self.board.workers:
            if child.state in harakiri.SERVING and child.key in self.scores.lives:
                before, child.late = child.late, self._late(self.scores.lives[child.key][1], now)
                if patient:
                    child.late = ()
                found |= child.late != before
        return found

    def due(self, now: Seconds) -> Seconds | None:
        if self._period() is None:
            return None
        step = harakiri.next_due(self.board)
        return self._next if step is None else min(self._next, step)

    def _period(self) -> float | None:
        """Seconds from one look to the next; None: nobody has a deadline."""
        periods = [self.deadlines.least] if self.deadlines else []
        if any(child.own_deadlines for child in self.board.workers):
            periods.append(_OWN)
        return min(periods, default=None)

    def _late(self, sheet: Sheet, now: Seconds) -> tuple[Late, ...]:
        late = []
        for core in range(sheet.threads):
            cell = sheet.cells[core]
            started, number = cell[sheets.STARTED], cell[sheets.NUMBER]
            if not started:
                continue
            method, uri = sheet.line(core)
            if cell[sheets.STARTED] != started or cell[sheets.NUMBER] != number:
                continue  # another one has begun since
            limit = self.deadlines.of_uri(uri)
            if cell[sheets.ASKING] == number:
                own = round((cell[sheets.DEADLINE] - started) / 1e9, 3)
                limit = min(limit, own) if limit else own
            began = Seconds(started / 1e9)
            if not limit:
                continue
            if now < began + limit:
                self._next = min(self._next, Seconds(began + limit))
                continue
            request_id = f"{sheet.head[sheets.PREFIX]:08x}-{number:x}"
            line = method.decode("latin-1"), uri.decode("latin-1")
            late.append(Late(core, number, began, Seconds(limit), *line, request_id))
        return tuple(late)
