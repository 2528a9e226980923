"""What the dispatcher has taken from Mongrel2."""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections import deque

    from m2serve.dispatcher.crew import Crew
    from m2serve.dispatcher.intake import Intake


class State(Enum):
    """Life of a request that was taken from Mongrel2."""

    QUEUED = "queued"
    HELD = "held"
    """an earlier request of its connection is not over"""
    PARKED = "parked"
    """came while the node stops: waits until Mongrel2's PUSH is left"""
    HANDED = "handed"
    """in a slot of a worker's card; its cell says how far it is"""
    OVER = "over"


class Taken:
    """One request in the dispatcher's hands.

    Not slotted: what most requests never need stays a default of the class, and costs nothing to make.
    """

    state = State.QUEUED
    held: deque[Taken] | None = None
    """Later requests of the same connection, in order."""
    crew: Crew | None = None
    slot = 0
    serial = 0
    road = 0
    kind = 0
    """How its body comes: PLAIN, UPLOAD or STREAM of the card."""
    streaming = False
    """Mongrel2 waits for credit to read more of the connection; it must get some when that is closed, or waits on."""
    is_piece = False
    """No request: a piece of a streamed body that waits for room on the link to its worker."""
    entry = 0
    """Of a streamed upload: its slot in the table of uploads; 0: nobody will ask for its progress."""
    final = False
    """Its connection serves nothing behind it: Mongrel2 1.12.2 may garble a large body that follows one in chunks."""
    metered = False
    """The answer's bytes are counted: see ``credits``."""
    retried = False
    """A worker has died while it ran this."""
    drain = 0
    """The cell in which the answer goes on without a thread; 0: the slot has it."""
    handed = 0.0
    """When it was put into its slot, monotonic seconds."""
    answer: bytes | None = None
    """What lay in the slot, framed, once collected."""
    doomed = False
    """The connection is to be closed behind the answer."""

    def __init__(
        self, intake: Intake, frame: int, position: int, size: int, sender: bytes, conn: bytes, arrived: float
    ) -> None:
        self.intake = intake
        self.epoch = intake.epoch
        self.frame = frame
        self.position = position
        self.size = size
        self.sender = sender
        self.conn = conn
        self.arrived = arrived


class Marked(NamedTuple):
    """A request with a word in it that only few have: what it is, parsing must tell."""

    taken: Taken
    raw: bytes


class Arrival(NamedTuple):
    """One message as the head of its frame shows it.

    ``sender`` and ``conn`` are empty when they cannot be named; ``fault`` is None for a message that looks right.
    """

    frame: int
    position: int
    size: int
    sender: bytes
    conn: bytes
    is_notice: bool
    fault: tuple[int, str] | None
