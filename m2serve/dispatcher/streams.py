"""Pieces of streamed uploads on their way to the workers that read them.

The request itself goes where any other goes. What follows on its connection goes to the same slot, over the crew
link. Mongrel2 sends only what the worker has given credit for, so never more than a few pieces of an upload are here;
a piece that the link has no room for stays in the ring. Its frame is marked TAKEN when the link has all of it: a
successor sends again what is not marked, and the worker knows by the offset what it has already.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from m2serve.dispatcher.taken import State
from m2serve.transports import card as cards
from m2serve.transports import uploads as tables
from m2serve.transports.uploads import Entry
from m2serve.wire import pieces
from m2serve.wire.crew import PIECE_MOST
from m2serve.wire.upload import progress_id

if TYPE_CHECKING:
    from collections.abc import Iterable

    from m2serve.dispatcher.intake import Intake
    from m2serve.dispatcher.taken import Taken
    from m2serve.message import Request
    from m2serve.transports.uploads import UploadTable


class _Waiting:
    """A piece that could not be sent yet, or not all of it."""

    __slots__ = ("message", "piece", "reader", "sent")

    def __init__(self, message: Taken, piece: pieces.Piece, reader: Taken) -> None:
        self.message = message
        self.piece = piece
        self.reader = reader
        self.sent = 0


class Streams:
    """All streamed uploads of the node."""

    def __init__(self, table: UploadTable) -> None:
        self._waiting: deque[_Waiting] = deque()
        self._table = table
        self._shown: list[Taken] = []
        """Requests whose progress somebody may ask for."""

    def __bool__(self) -> bool:
        """Whether pieces wait: :meth:`tick` is to be called soon."""
        return bool(self._waiting)

    def begins(self, taken: Taken, request: Request) -> bool:
        """Note whether a request is the first message of a streamed upload.

        Raises: RemoteProtocolError: that cannot be read.
        """
        if not pieces.begins_stream(request):
            return False
        taken.kind = cards.STREAM
        taken.streaming = True
        taken.final = b"content-length" not in request.headers
        name = progress_id(request)
        if name:
            self._show(taken, name, request)
        # Answer, close and credits must arrive in that order: all by the responder of the worker.
        taken.road = cards.OWN_ROAD
        return True

    def took(self, message: Taken, raw: bytes) -> bool:
        """Pass *message* on if it is a piece; whether it is.

        Raises: RemoteProtocolError: it cannot be read.
        """
        piece = pieces.read_piece(raw)
        if piece is None:
            return False
        intake = message.intake
        reader = _reader(intake, message.conn)
        if reader is None:
            intake.ring.take(message.frame)  # of an upload that was refused, or answered before its end
            return True
        if reader.entry:
            self._advance(reader, piece)
        waiting = _Waiting(message, piece, reader)
        if not self._waiting and _passed(waiting, raw[piece.start : piece.start + piece.size]):
            return True
        message.is_piece = True
        intake.live.append(message)
        self._waiting.append(waiting)
        self._pump()
        return True

    def tick(self) -> None:
        """Send what waits, as far as there is room for it; show no more what is over."""
        if self._waiting:
            self._pump()
        if self._shown:
            for over in [taken for taken in self._shown if taken.state is State.OVER]:
                self._shown.remove(over)
                self._table.free(over.entry)

    def adopt(self, running: Iterable[Taken]) -> None:
        """Go on with the table of a predecessor, before any message is read.

        Args: running: requests that lie in cells.
        """
        owners = {(t.intake.index, t.epoch, int(t.conn)): t for t in running if t.kind == cards.STREAM}
        for slot in self._table.used():
            entry = self._table.read(slot)
            if entry.state not in (tables.STREAMED, tables.STREAMED_WHOLE):
                continue
            owner = owners.get((entry.endpoint, entry.epoch, entry.conn))
            if owner is None:
                self._table.free(slot)  # over; or nobody has begun it, and its first message comes again
            else:
                owner.entry = slot
                self._shown.append(owner)

    def _show(self, taken: Taken, name: bytes, request: Request) -> None:
        length = request.headers.get(b"content-length")
        entry = Entry(
            state=tables.STREAMED,
            endpoint=taken.intake.index,
            epoch=taken.epoch,
            conn=int(taken.conn),
            # what is no proper number is refused by the worker
            expected=int(length) if isinstance(length, bytes) and length.isdigit() and len(length) <= 10 else None,
            limit=None,
            frame=len(request.body),
            sender=taken.sender,
            progress_id=name,
            name=b"",
        )
        slot = self._table.start(entry)
        if slot is not None:
            taken.entry = slot
            self._shown.append(taken)

    def _advance(self, reader: Taken, piece: pieces.Piece) -> None:
        before = self._table.read(reader.entry).frame
        more = pieces.ahead(piece.offset, before) + piece.size
        self._table.advance(reader.entry, before + max(0, more), piece.last)

    def _pump(self) -> None:
        blocked: set[int] = set()
        still: deque[_Waiting] = deque()
        for waiting in self._waiting:
            # one upload's pieces stay in their order, and do not hold up another worker's
            if id(waiting.reader) in blocked or not _passed(waiting):
                blocked.add(id(waiting.reader))
                still.append(waiting)
        self._waiting = still


def _reader(intake: Intake, conn: bytes) -> Taken | None:
    """The request whose body a piece belongs to: Mongrel2 reads no other one of its connection before its end."""
    first = intake.current.get(conn)
    if first is None:
        return None
    last = first.held[-1] if first.held else first
    return last if last.kind == cards.STREAM else None


def _passed(waiting: _Waiting, data: bytes | None = None) -> bool:
    """Whether a piece needs nothing more done: sent, or nobody wants it."""
    message, reader, piece = waiting.message, waiting.reader, waiting.piece
    intake = message.intake
    if intake.origin.dead or intake.epoch != message.epoch:
        message.state = State.OVER  # its bytes are not in the ring any more
        return True
    if reader.state is State.HANDED and not reader.drain:  # else the application is done, and reads no more
        if data is None:
            data = intake.ring.copy(message.position + piece.start, piece.size)
        if not _sent(waiting, data):
            return False
    elif reader.state is not State.OVER and not reader.drain:
        return False  # credit that was left over from an earlier upload has brought it early
    message.state = State.OVER
    intake.ring.take(message.frame)
    return True


def _sent(waiting: _Waiting, data: bytes) -> bool:
    """Send the rest of a piece; whether the link had room for it."""
    reader, piece = waiting.reader, waiting.piece
    crew = reader.crew
    assert crew is not None
    while True:
        at = waiting.sent
        part = data[at : at + PIECE_MOST]
        until = at + len(part)
        if not crew.feed(reader, (piece.offset + at) & 0xFFFFFFFF, piece.last and until == piece.size, part):
            return False
        waiting.sent = until
        if until == piece.size:
            return True
