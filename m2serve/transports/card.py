"""A worker's card: the shared memory in which it gets its mail and leaves small answers.

One card a worker, made by the master before the fork, mapped by the worker and by the dispatcher. It has as many
slots as the worker has threads; a request lies in one slot until it is over, or until its thread has nothing more to
do and the answer goes on without it. Two arrays stand in front, contiguous, so that the dispatcher sees with one read
what has changed; then a cell of 256 bytes a slot, then 4096 cells for answers without a slot, then room for an answer
a slot. Cells have one numbering: below the number of threads they are those of the slots, from there on the others.
Each word has one writer at a time:

======== =============================================== ===================================================
word     written by the dispatcher                       written by the worker
======== =============================================== ===================================================
mail     a serial number: a request lies in the slot;    0: it is over, the answer has left by the worker's
         0: its answer was taken from the slot and sent  own responder
answered the serial and SENDING, before it is sent       the serial: a complete answer lies in the slot
state    HANDED; DRAINING in a cell without a slot       RUNNING and its thread, ANSWERING; IDLE in a cell
                                                         without a slot: that answer is over
road     with the mail, and when another request of the  never
         connection comes
kind     before mail: PLAIN, UPLOAD, STREAM              never
credit   before mail, and with each notice: bytes that   never
         this request may send in all; UNLIMITED: not
         counted, or settled
sent     0 before mail                                   bytes sent for this request, before they leave
waiting  0 in a cell without a slot, before DRAINING     1: wake me when credit grows; 0: no more
serial   in a cell without a slot, before DRAINING       never
used     cells without a slot that were ever in use,     never
         before the first of them is filled
awake    never                                           threads that do not sleep on the bell
size of  0 before mail                                   before answered
answer
UUID     never                                           when the thread starts
the rest before mail                                     never
======== =============================================== ===================================================

A word is stored by one machine instruction, so a process killed between two lines leaves whole words.
"""

from __future__ import annotations

import mmap
import os
import struct
from typing import Final

CELL: Final = 256
DRAINS: Final = 4096
"""Cells without a slot: answers of one worker that may go on without a thread."""
MAX_SENDER: Final = 120

# word numbers inside a cell
STATE: Final = 0
ENDPOINT: Final = 1
EPOCH: Final = 2
POSITION: Final = 3
SIZE: Final = 4
CONN: Final = 5
FRAME: Final = 6
ROAD: Final = 7
ANSWER_SIZE: Final = 8
KIND: Final = 9
CREDIT: Final = 10
SENT: Final = 11
WAITING: Final = 14
SERIAL: Final = 15
_UUID: Final = 96
_SENDER: Final = 128

IDLE: Final = 0
HANDED: Final = 1
RUNNING: Final = 2
ANSWERING: Final = 3
DRAINING: Final = 4
STATES: Final = 255
"""Mask of the state in its word; above it stands, with RUNNING, one more than the number of the thread that runs it."""
THREAD_AT: Final = 8

ANY_ROAD: Final = 0
OWN_ROAD: Final = 1
"""The answer must leave by the worker's responder: the one before it on this connection did."""

PLAIN: Final = 0
"""The whole request is in the message; headers that speak of uploads are the client's own invention."""
UPLOAD: Final = 1
"""The body lies in the file that the message names: Mongrel2's own word, proven by the dispatcher."""
STREAM: Final = 2
"""The message holds the beginning of the body; the rest comes in pieces as it is asked for."""

UNLIMITED: Final = 1 << 63
"""In *credit*: nobody counts."""

SENDING: Final = 1 << 63
"""Beside the serial in *answered*: the dispatcher has begun to send it. A successor cannot know how far it came."""

ANSWER_ROOM: Final = 4096

_LETTER = struct.Struct("=QQQQQQQQQQQQ")  # STATE … SENT, in that order
_READ = struct.Struct("=QQQQQQQQQQ")  # STATE … KIND


def _heads_bytes(threads: int) -> int:
    return ((2 * threads + 2) * 8 + CELL - 1) // CELL * CELL


def _answers_at(threads: int) -> int:
    return (_heads_bytes(threads) + (threads + DRAINS) * CELL + ANSWER_ROOM - 1) // ANSWER_ROOM * ANSWER_ROOM


def card_size(threads: int) -> int:
    """Bytes of a card for that many threads; pages nobody has touched cost nothing."""
    return _answers_at(threads) + threads * ANSWER_ROOM


class Card:
    """One mapped card.

    Attributes:
        heads: both arrays in front: the mail words, then the answered words.
        mails, answered: one word a slot.
        awake: one word, written by the worker: threads that do not sleep on the bell.
        used: one word, written by the dispatcher: the first so many cells without a slot may hold something.
        words: all words of the file; word *w* of a cell is ``words[base(cell) + w]``.
    """

    __slots__ = ("_answers", "_map", "_offset", "answered", "awake", "heads", "mails", "threads", "used", "words")

    def __init__(self, fd: int, threads: int) -> None:
        self._map = mmap.mmap(fd, card_size(threads))
        self.threads = threads
        self.words = memoryview(self._map).cast("Q")
        self.heads = self.words[: 2 * threads]
        self.mails = self.words[:threads]
        self.answered = self.words[threads : 2 * threads]
        self.awake = self.words[2 * threads : 2 * threads + 1]
        self.used = self.words[2 * threads + 1 : 2 * threads + 2]
        self._offset = _heads_bytes(threads)
        self._answers = _answers_at(threads)

    def base(self, cell: int) -> int:
        """Index in ``words`` of the first word of a cell."""
        return (self._offset + cell * CELL) // 8

    def write(
        self,
        slot: int,
        endpoint: int,
        epoch: int,
        position: int,
        size: int,
        conn: int,
        frame: int,
        road: int,
        kind: int = PLAIN,
        credit: int = UNLIMITED,
    ) -> None:
        """Fill a slot's cell up to, but without, the mail word."""
        at = self._offset + slot * CELL
        _LETTER.pack_into(
            self._map, at, HANDED, endpoint, epoch, position, size, conn, frame, road, 0, kind, credit, 0
        )  # fmt: skip

    def read(self, cell: int) -> tuple[int, int, int, int, int, int, int, int, int, int]:
        """``(state, endpoint, epoch, position, size, conn, frame, road, size of the answer, kind)`` of a cell."""
        return _READ.unpack_from(self._map, self._offset + cell * CELL)

    def open_drain(self, cell: int, slot: int, serial: int) -> None:
        """Copy what the slot's cell says, credit and all, into one without a slot; DRAINING is written last."""
        words, to = self.words, self.base(cell)
        self.used[0] = max(self.used[0], cell - self.threads + 1)
        words[to + STATE] = IDLE
        here, there = self._offset + slot * CELL, self._offset + cell * CELL
        self._map[there + 8 : there + CELL] = self._map[here + 8 : here + CELL]
        words[to + WAITING] = 0
        words[to + SERIAL] = serial
        words[to + STATE] = DRAINING

    def move_to_drain(self, slot: int, cell: int) -> None:
        """The worker's part, when it is told of the cell: the count goes there, and the slot is free.

        From here on the answer counts in the new cell; its credit has been growing there since DETACHED was said.
        """
        words = self.words
        words[self.base(cell) + SENT] = words[self.base(slot) + SENT]
        words[self.base(slot) + WAITING] = 0
        self.mails[slot] = 0

    def put_answer(self, slot: int, serial: int, data: bytes) -> None:
        """Leave a complete answer, at most ANSWER_ROOM bytes, for the dispatcher to send."""
        at = self._answers + slot * ANSWER_ROOM
        self._map[at : at + len(data)] = data
        self.words[self.base(slot) + ANSWER_SIZE] = len(data)
        self.answered[slot] = serial

    def answer(self, slot: int) -> bytes:
        """The answer that lies in a slot."""
        at = self._answers + slot * ANSWER_ROOM
        return self._map[at : at + self.words[self.base(slot) + ANSWER_SIZE]]

    def wipe(self, slot: int) -> None:
        """Forget a dead worker's request: a successor of the dispatcher must not settle it again."""
        self.words[self.base(slot) + STATE] = IDLE
        self.mails[slot] = 0

    def set_sender(self, slot: int, sender: bytes) -> None:
        """Write the handler identity the request came with; an answer after the worker's death needs it."""
        at = self._offset + slot * CELL + _SENDER
        self._map[at : at + 1 + len(sender)] = bytes((len(sender),)) + sender

    def sender(self, cell: int) -> bytes:
        """The identity last written with :meth:`set_sender`."""
        at = self._offset + cell * CELL + _SENDER
        return self._map[at + 1 : at + 1 + self._map[at]]

    def set_uuid(self, thread: int, uuid: bytes) -> None:
        """Write the 16 bytes of the thread's UUID: its subscription with the dispatcher."""
        at = self._offset + thread * CELL + _UUID
        self._map[at : at + 16] = uuid

    def uuid(self, thread: int) -> bytes:
        """The thread's UUID, 16 zero bytes before it subscribed."""
        at = self._offset + thread * CELL + _UUID
        return self._map[at : at + 16]

    def close(self) -> None:
        """Unmap."""
        for view in (self.heads, self.mails, self.answered, self.awake, self.used, self.words):
            view.release()
        self._map.close()


def create_card(threads: int) -> int:
    """A new card's descriptor, zero all over, close-on-exec."""
    fd = os.memfd_create("m2serve-card")
    os.ftruncate(fd, card_size(threads))
    return fd
