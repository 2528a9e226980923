"""Download credits: how many bytes may be on their way to each client.

Mongrel2 with ``download.flow_control=1`` closes a connection to which more than WINDOW bytes are on their way, and
tells us of those that it has written. What was sent and not told of is the connection's debt. While a request of the
connection is handed out it lies in that request's cell, as WINDOW - (CREDIT - SENT); else in a table in the ledger,
so that it outlives this process.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from m2serve.dispatcher.taken import State
from m2serve.transports import card as cards
from m2serve.wire.crew import Word

if TYPE_CHECKING:
    from m2serve.dispatcher.intake import Intake
    from m2serve.dispatcher.taken import Taken
    from m2serve.transports.card import Card

WINDOW: Final = 102400
"""Bytes; a constant of Mongrel2."""

_PATIENCE: Final = 10.0
"""Seconds without a word from a Mongrel2 of which we only were told that it gives credits."""

_INDEX_BITS: Final = 16
_MASK: Final = (1 << _INDEX_BITS) - 1
_DEBT_BITS: Final = 17
_DEBT: Final = (1 << _DEBT_BITS) - 1


class Debts:
    """The table of one endpoint.

    Connections are numbered in order, so the low bits of a number are its place. Where two share one, the older is
    forgotten: 65536 connections have come since, and a connection with a debt and no request is a client that reads
    its last answer.

    Args: words: the table in the ledger; each holds the upper bits of a connection's number, and its debt.
    """

    __slots__ = ("_words",)

    def __init__(self, words: memoryview) -> None:
        self._words = words

    def of(self, conn: int) -> int:
        """The connection's debt in bytes."""
        word = int(self._words[conn & _MASK])
        return word & _DEBT if word >> _DEBT_BITS == conn >> _INDEX_BITS else 0

    def put(self, conn: int, debt: int) -> None:
        """Remember the connection's debt."""
        debt = min(max(debt, 0), WINDOW)
        self._words[conn & _MASK] = ((conn >> _INDEX_BITS) << _DEBT_BITS | debt) if debt else 0

    def lower(self, conn: int, count: int) -> None:
        """So many bytes have been written to the client."""
        debt = self.of(conn)
        if debt:
            self.put(conn, debt - count)

    def forget(self, conn: int) -> None:
        """The connection has ended."""
        if self.of(conn):
            self._words[conn & _MASK] = 0

    def clear(self) -> None:
        """All connections have ended."""
        self._words[:] = memoryview(bytes(8 * len(self._words))).cast("Q")


def settle(card: Card, cell: int, taken: Taken) -> None:
    """The request in *cell* is over, or gives the cell back: what it leaves its connection owing goes to the table.

    Written as it is, not added: a successor that finds the cell not marked does the same again.
    """
    words, at = card.words, card.base(cell)
    credit = int(words[at + cards.CREDIT])
    if credit != cards.UNLIMITED:
        intake = taken.intake
        if intake.debts is not None and taken.epoch == intake.epoch:
            intake.debts.put(int(taken.conn), WINDOW - credit + int(words[at + cards.SENT]))
        words[at + cards.CREDIT] = cards.UNLIMITED


def credited(intake: Intake, conn: bytes, count: int) -> None:
    """Mongrel2 says that it has written so many bytes to a client."""
    debts = intake.debts
    if debts is None or intake.marks_credits:
        intake.count_debts(proven=True)
    if debts is None:
        return  # nobody has counted what these bytes were
    taken = intake.current.get(conn)
    if taken is None or taken.state is not State.HANDED:
        debts.lower(int(conn), count)
    elif taken.metered:
        _grow(taken, count)


def stalled(intake: Intake, now: float) -> list[Taken]:
    """Requests that wait for credit of a Mongrel2 that has never given any, and it seems, never will."""
    before = now - _PATIENCE
    return [
        taken
        for taken in intake.current.values()
        if taken.metered and taken.state is State.HANDED and max(taken.handed, taken.arrived) < before and _waits(taken)
    ]


def _waits(taken: Taken) -> bool:
    assert taken.crew is not None
    card = taken.crew.card
    return bool(card.words[card.base(taken.drain or taken.slot) + cards.WAITING])


def _grow(taken: Taken, count: int) -> None:
    """Let the request that is handed out send more.

    Never more than WINDOW ahead of what it has sent: what else was written comes from before our time.
    """
    crew = taken.crew
    assert crew is not None
    words = crew.card.words
    cell = taken.drain or taken.slot
    at = crew.card.base(cell)
    moved = not taken.drain or crew.mails[taken.slot] != taken.serial
    sent = int(words[at + cards.SENT] if moved else words[crew.card.base(taken.slot) + cards.SENT])
    words[at + cards.CREDIT] = min(int(words[at + cards.CREDIT]) + count, sent + WINDOW)
    if words[at + cards.WAITING]:
        crew.say(Word.CREDIT, taken.intake.index, cell, taken.serial)
