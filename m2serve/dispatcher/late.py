"""Which requests of a dead worker had run for longer than they may: they are answered 504, the others 502."""

from __future__ import annotations

from typing import TYPE_CHECKING

from m2serve.transports import card as cards
from m2serve.transports import sheet as sheets
from m2serve.transports.sheet import Sheet

if TYPE_CHECKING:
    from m2serve.config.deadlines import Deadlines
    from m2serve.transports.card import Card


def late_slots(card: Card, sheet_fd: int, deadlines: Deadlines, now: float) -> frozenset[int]:
    """The slots of those that ran and were over their deadline.

    The worker is dead, so nothing changes any more in its card, which tells the thread of each, and in its sheet,
    which tells since when that has been running what.

    Args: now: monotonic seconds.
    """
    if not deadlines:
        return frozenset()
    sheet = Sheet(sheet_fd, card.threads)
    late = set()
    for slot in range(card.threads):
        word = card.words[card.base(slot) + cards.STATE]
        core = (word >> cards.THREAD_AT) - 1
        if card.mails[slot] and word & cards.STATES == cards.RUNNING and 0 <= core < card.threads:
            began = sheet.cells[core][sheets.STARTED]
            limit = deadlines.of_uri(sheet.line(core)[1])
            if began and 0 < limit <= now - began / 1e9:
                late.add(slot)
    sheet.close()
    return frozenset(late)
