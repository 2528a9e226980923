"""Answers that go on without a thread: their cells, and what a successor makes of them."""

from __future__ import annotations

import time
from collections import deque
from typing import TYPE_CHECKING

from m2serve.dispatcher.credits import settle
from m2serve.dispatcher.taken import State, Taken
from m2serve.transports import card as cards

if TYPE_CHECKING:
    from collections.abc import Sequence

    from m2serve.dispatcher.intake import Intake
    from m2serve.transports.card import Card


class Drains:
    """Those of one worker.

    Attributes:
        running: cell to the request whose answer is counted there.
        wanting: requests that have given up their thread, for which no cell was free.
    """

    __slots__ = ("_card", "_free", "running", "wanting")

    def __init__(self, card: Card) -> None:
        self._card = card
        self._free: list[int] = []
        """Cells that were in use before."""
        self.running: dict[int, Taken] = {}
        self.wanting: deque[Taken] = deque()

    def __len__(self) -> int:
        return len(self.running) + len(self.wanting)

    def open(self, taken: Taken) -> bool:
        """Give the request in a slot a cell besides; whether there was one, else it comes to *wanting*."""
        card = self._card
        if self._free:
            cell = self._free.pop()
        elif card.used[0] < cards.DRAINS:
            cell = card.threads + int(card.used[0])
        else:
            if taken not in self.wanting:
                self.wanting.append(taken)
            return False
        card.open_drain(cell, taken.slot, taken.serial)
        taken.drain = cell
        self.running[cell] = taken
        return True

    def end(self, cell: int, taken: Taken) -> None:
        """The worker says that the answer in *cell* is over."""
        del self.running[cell]
        settle(self._card, cell, taken)
        self._free.append(cell)

    def is_over(self, cell: int) -> bool:
        """Whether the worker has marked the answer in *cell* as over."""
        return bool(self._card.words[self._card.base(cell) + cards.STATE] != cards.DRAINING)

    def wipe(self) -> None:
        """The worker has died, and all is settled: a successor must not settle it again."""
        for cell in self.running:
            at = self._card.base(cell)
            self._card.words[at + cards.CREDIT] = cards.UNLIMITED
            self._card.words[at + cards.STATE] = cards.IDLE
        self.running.clear()
        self.wanting.clear()

    def adopt(self, intakes: Sequence[Intake]) -> set[tuple[int, int, int]]:
        """Find a predecessor's; one that is over and not settled is settled.

        Returns: ``(endpoint, epoch, frame)`` of every request found: what its slot says of its credit is void.
        """
        card = self._card
        mails = card.mails.tolist()
        found: set[tuple[int, int, int]] = set()
        for cell in range(card.threads, card.threads + int(card.used[0])):
            state, index, epoch, _, _, _, frame, *_ = card.read(cell)
            words, at = card.words, card.base(cell)
            taken = found_in(card, cell, intakes)
            taken.serial = int(words[at + cards.SERIAL])
            if state == cards.DRAINING:
                taken.drain = cell
                taken.state = State.HANDED
                self.running[cell] = taken
                found.add((index, epoch, frame))
                continue
            self._free.append(cell)
            if taken.serial in mails:  # it died before it stored DRAINING: the slot says what holds
                words[at + cards.CREDIT] = cards.UNLIMITED
            elif taken.metered:
                settle(card, cell, taken)
                found.add((index, epoch, frame))
        return found


def found_in(card: Card, cell: int, intakes: Sequence[Intake]) -> Taken:
    """The request that a predecessor put into *cell*, as far as the cell tells."""
    _, index, epoch, position, size, conn, frame, road, _, kind = card.read(cell)
    taken = Taken(intakes[index], frame, position, size, card.sender(cell), b"%d" % conn, time.monotonic())
    taken.epoch, taken.road, taken.kind = epoch, road, kind
    taken.streaming = kind == cards.STREAM
    taken.metered = card.words[card.base(cell) + cards.CREDIT] != cards.UNLIMITED
    return taken
