"""The node's table of running uploads: shared memory that outlives the dispatcher.

It lies in the ledger. The dispatcher alone writes it, so that a successor knows which files there are and whose; the
workers read it to tell their applications how far an upload is. A slot is 1024 bytes; the first one is the table's
own. The state is written last when a slot is filled, and first when it is given back.
"""

from __future__ import annotations

from typing import Final, NamedTuple

SLOTS: Final = 4096
_SLOT: Final = 1024
TABLE_BYTES: Final = SLOTS * _SLOT

FREE: Final = 0
STARTED: Final = 1
"""Mongrel2 writes the file, and deletes it if the client leaves or is refused."""
DONE: Final = 2
"""The file is complete and ours."""
ENDING: Final = 3
"""The upload was refused or broken off: Mongrel2 should delete the file; what it leaves is ours to delete."""
STREAMED: Final = 4
"""There is no file: the body comes in pieces."""
STREAMED_WHOLE: Final = 5
"""The last piece has come."""

# word numbers inside a slot; the first slot has only _HIGH
_HIGH: Final = 0
STATE: Final = 0
ENDPOINT: Final = 1
EPOCH: Final = 2
CONN: Final = 3
EXPECTED: Final = 4
LIMIT: Final = 5
FRAME: Final = 6
_TURN: Final = 7
_SENDER: Final = 128
_ID: Final = 256
_NAME: Final = 384
LONGEST_NAME: Final = _SLOT - _NAME - 2


class Entry(NamedTuple):
    """One upload, as the table has it."""

    state: int
    endpoint: int
    epoch: int
    conn: int
    expected: int | None
    """Bytes of the body; None: it comes in chunks."""
    limit: int | None
    """Bytes that it may have, by ``limit-post``."""
    frame: int
    """Of the message that said DONE: names the request that has the file. Of a STREAMED one: bytes that have come."""
    sender: bytes
    progress_id: bytes
    name: bytes
    """Of the file, as Mongrel2 sees it."""


class UploadTable:
    """The mapped table. Threads: one writer, any number of readers."""

    def __init__(self, view: memoryview) -> None:
        self._bytes = view
        self._words = view.cast("Q")

    def used(self) -> list[int]:
        """Slots that are not free."""
        words = self._words
        return [slot for slot in range(1, words[_HIGH] + 1) if words[slot * (_SLOT // 8)]]

    def start(self, entry: Entry) -> int | None:
        """Put *entry* into a free slot; gives the slot, None if there is none or a text is too long."""
        if len(entry.name) > LONGEST_NAME or max(len(entry.sender), len(entry.progress_id)) > 127:
            return None
        words = self._words
        slot = next((one for one in range(1, SLOTS) if not words[one * (_SLOT // 8)]), None)
        if slot is None:
            return None
        words[_HIGH] = max(words[_HIGH], slot)
        word = slot * (_SLOT // 8)
        words[word + _TURN] += 1
        numbers = entry.endpoint, entry.epoch, entry.conn, _put(entry.expected), _put(entry.limit), entry.frame
        for number, value in enumerate(numbers, ENDPOINT):
            words[word + number] = value
        at = slot * _SLOT
        for offset, text in ((_SENDER, entry.sender), (_ID, entry.progress_id), (_NAME, entry.name)):
            self._bytes[at + offset : at + offset + 2 + len(text)] = len(text).to_bytes(2, "little") + text
        words[word + STATE] = entry.state
        return slot

    def complete(self, slot: int, frame: int) -> None:
        """The message at *frame* said that the file is complete."""
        word = slot * (_SLOT // 8)
        self._words[word + FRAME] = frame
        self._words[word + STATE] = DONE

    def advance(self, slot: int, received: int, last: bool) -> None:
        """So much of a streamed body has come; *last*: that is all."""
        word = slot * (_SLOT // 8)
        self._words[word + FRAME] = received
        if last:
            self._words[word + STATE] = STREAMED_WHOLE

    def break_off(self, slot: int) -> None:
        """The upload has been refused, or its client has left."""
        self._words[slot * (_SLOT // 8) + STATE] = ENDING

    def free(self, slot: int) -> None:
        """Forget the upload."""
        self._words[slot * (_SLOT // 8) + STATE] = FREE

    def read(self, slot: int) -> Entry:
        """What lies in a slot, for its writer or a successor of that."""
        word, at = slot * (_SLOT // 8), slot * _SLOT
        state, endpoint, epoch, conn, expected, limit, frame = self._words[word : word + _TURN].tolist()
        texts = [self._text(at + offset) for offset in (_SENDER, _ID, _NAME)]
        return Entry(state, endpoint, epoch, conn, _got(expected), _got(limit), frame, *texts)

    def find(self, progress_id: bytes) -> Entry | None:
        """The upload with that id; for any process."""
        words = self._words
        for slot in self.used():
            turn = words[slot * (_SLOT // 8) + _TURN]
            if self._text(slot * _SLOT + _ID) == progress_id:
                entry = self.read(slot)
                # else the slot was given to another one while we read
                if entry.state and words[slot * (_SLOT // 8) + _TURN] == turn:
                    return entry
        return None

    def _text(self, at: int) -> bytes:
        size = int.from_bytes(self._bytes[at : at + 2], "little")
        return bytes(self._bytes[at + 2 : at + 2 + min(size, LONGEST_NAME)])


def _put(number: int | None) -> int:
    """As a word, in which zero is None."""
    return 0 if number is None else number + 1


def _got(word: int) -> int | None:
    return word - 1 if word else None
