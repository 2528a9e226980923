"""Uploads to files: which are true, what becomes of them, and who deletes what they leave.

Mongrel2 says START when it makes the file, and DONE when the body is in it. Only a DONE whose START was seen on the
same connection, in the same epoch, is believed; its request is handed to a worker, which opens the file and deletes
its name. Whatever else happens to an upload, this file notices it and sees to it that nothing is left.
"""

from __future__ import annotations

import logging
import os
from typing import TYPE_CHECKING, Final

from m2serve.dispatcher.taken import State, Taken
from m2serve.transports import card as cards
from m2serve.transports import uploads as tables
from m2serve.transports.uploads import Entry
from m2serve.uploads.store import TempStore
from m2serve.wire import upload

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from m2serve.config.postlimits import PostLimits
    from m2serve.dispatcher.intake import Intake
    from m2serve.front import Front
    from m2serve.message import Request
    from m2serve.transports.uploads import UploadTable

log = logging.getLogger("m2serve.dispatcher")

_LOOK: Final = 0.25
"""Seconds between two looks at what is there, and at a file whose size is to be kept in bounds."""
_LOOK_ASIDE: Final = 1.0
"""Seconds between two looks at any other file: there may be thousands."""
_ENDING: Final = 20.0
"""Seconds that Mongrel2 has to delete the file of an upload that was refused or broken off."""
_VANISHED: Final = 30.0
"""Seconds for which the DONE of an upload is waited for whose file was there and is not any more."""

_Key = tuple[int, bytes]


class Upload:
    """One upload: what the table says of it, and what only this process needs to know."""

    def __init__(self, slot: int, entry: Entry) -> None:
        self.slot = slot
        self.state = entry.state
        self.endpoint = entry.endpoint
        self.epoch = entry.epoch
        self.conn = b"%d" % entry.conn
        self.sender = entry.sender
        self.name = entry.name
        self.expected = entry.expected
        self.frame = entry.frame
        self.limit = entry.limit
        self.taken: Taken | None = None
        """The request that has the file."""
        self.until = 0.0
        """When something is done about it, if it is ENDING or its file has vanished."""
        self.look = 0.0
        """When its file is looked at next."""
        self.size: int | None = None
        """Bytes that had come at the last look; None: the file was not seen yet."""

    @property
    def key(self) -> _Key:
        """Its connection."""
        return self.endpoint, self.conn


class Uploads:
    """All uploads to files of the node.

    Args:
        refuse: answers a request with an error of our own and closes its connection.
        end_behind: closes a connection behind the answer of the request that runs on it; whether one does.
    """

    def __init__(
        self,
        table: UploadTable,
        fronts: Sequence[Front],
        limits: PostLimits,
        refuse: Callable[[Taken, int, str], None],
        end_behind: Callable[[Intake, bytes], bool],
    ) -> None:
        self._table = table
        self._stores = [TempStore(front) for front in fronts]
        self._fronts = fronts
        self._limits = limits
        self._refuse_request = refuse
        self._end_behind = end_behind
        self._started: dict[_Key, Upload] = {}
        self._done: list[Upload] = []
        self._ending: dict[_Key, Upload] = {}
        self._due = 0.0
        self.stopping = False
        """What starts now is refused."""

    @property
    def running(self) -> int:
        """Uploads that have started and are not done."""
        return len(self._started)

    # -- messages ----------------------------------------------------------------------------------------------

    def took(self, taken: Taken, request: Request) -> bool:
        """Look at a request that may speak of an upload, and give it its kind; whether nothing remains to be run."""
        front = self._fronts[taken.intake.index]
        if front.stream:
            return False
        claim = upload.claim(request, front.content_length)
        if claim is None:
            return False
        store = self._stores[taken.intake.index]
        if not store.fits(claim.name):
            self._refuse(taken, 500, _why_unfit(store, claim.name))
            return True
        if claim.is_done:
            return self._finished(taken, claim.name)
        return self._begun(taken, request, claim)

    def _begun(self, taken: Taken, request: Request, claim: upload.Claim) -> bool:
        key = (taken.intake.index, taken.conn)
        known = self._started.get(key)
        if known is not None:
            if known.name != claim.name:
                return False
            taken.intake.ring.take(taken.frame)  # a predecessor had noted it, and died before it marked the frame
            return True
        if any(known.name == claim.name for known in (*self._started.values(), *self._done)):
            return False
        entry = Entry(
            state=tables.STARTED,
            endpoint=key[0],
            epoch=taken.epoch,
            conn=int(taken.conn),
            expected=claim.expected,
            limit=self._limits.of(request.path),
            frame=0,
            sender=taken.sender,
            progress_id=upload.progress_id(request),
            name=claim.name,
        )
        slot = self._table.start(entry)
        if slot is None:
            self._refuse(taken, 503, "too many uploads, or the name of the file is too long")
            return True
        begun = Upload(slot, entry)
        self._started[key] = begun
        fault = self._objection(begun)
        if fault is None:
            taken.intake.ring.take(taken.frame)
        else:
            self._end(begun)
            self._refuse(taken, *fault)
        return True

    def _objection(self, begun: Upload) -> tuple[int, str] | None:
        """Why an upload is refused before its body has come: status and reason."""
        if self.stopping:
            return 503, "an upload while the server stops"
        expected = begun.expected
        if expected is not None and begun.limit is not None and expected > begun.limit:
            return 413, f"a body of {expected} bytes, at most {begun.limit} (limit-post)"
        room = self._room(begun)
        if room is not None and room < (expected or self._fronts[begun.endpoint].content_length):
            size = "unknown size" if expected is None else f"{expected} bytes"
            where = self._fronts[begun.endpoint].temp_store
            return 507, f"no space for an upload of {size}: {room} bytes left in upload.temp_store {where}"
        return None

    def _room(self, begun: Upload) -> int | None:
        """Bytes free where the file is written, less what other uploads will take; None: it cannot be told."""
        room = self._stores[begun.endpoint].room()
        if room is None:
            return None
        others = [one for one in self._started.values() if one.endpoint == begun.endpoint and one is not begun]
        return max(0, room - sum(max(0, one.expected - (one.size or 0)) for one in others if one.expected is not None))

    def _finished(self, taken: Taken, name: bytes) -> bool:
        key = (taken.intake.index, taken.conn)
        found = self._started.get(key)
        if found is not None and found.name == name:
            del self._started[key]
            size = None if found.limit is None or found.expected is not None else self._size(found)
            if size is not None and found.limit is not None and size > found.limit:
                self._forget(found)
                self._refuse(taken, 413, f"a body of {size} bytes, at most {found.limit} (limit-post)")
                return True
            self._table.complete(found.slot, taken.frame)
            found.state, found.frame = tables.DONE, taken.frame
            self._done.append(found)
            return self._belongs(found, taken)
        ended = self._ending.get(key)
        if ended is not None and ended.name == name:
            del self._ending[key]
            self._forget(ended)
            taken.intake.ring.take(taken.frame)  # it was refused, and its client has had the answer
            return True
        for done in self._done:
            if done.name == name and (*done.key, done.frame) == (*key, taken.frame):
                return self._belongs(done, taken)  # a predecessor had noted it, and died before it handed it out
        return False

    def _belongs(self, done: Upload, taken: Taken) -> bool:
        taken.kind = cards.UPLOAD
        taken.final = done.expected is None
        done.taken = taken
        return False

    # -- ends --------------------------------------------------------------------------------------------------

    def gone(self, intake: Intake, conn: bytes) -> None:
        """The client of a connection has left."""
        found = self._started.get((intake.index, conn))
        if found is not None:
            self._end(found)
            # Mongrel2 does the same when it cannot write, and the client then hears nothing but the end
            log.info(
                "upload broken off endpoint=%s conn=%s expected=%s free=%s store=%s",
                intake.pair.send, conn.decode(), found.expected, self._stores[intake.index].room(),
                self._fronts[intake.index].temp_store,
            )  # fmt: skip

    def lost(self, intake: Intake) -> None:
        """Mongrel2 itself has gone: nobody else will delete what it has left.

        Files that lie in a worker's hands are looked at when their requests are over.
        """
        for found in [*self._started.values(), *self._ending.values()]:
            if found.endpoint == intake.index:
                self._forget(found)
        self._started = {key: one for key, one in self._started.items() if key[0] != intake.index}
        self._ending = {key: one for key, one in self._ending.items() if key[0] != intake.index}

    def give_up(self, intakes: Sequence[Intake], reason: str) -> None:
        """Refuse what is not complete: there is no time to wait for it."""
        for found in list(self._started.values()):
            self._break_off(found, intakes[found.endpoint], 503, reason)

    def close(self) -> None:
        """This node is over: what nobody has begun to read by now will not be read."""
        for found in [*self._started.values(), *self._ending.values(), *self._done]:
            self._forget(found)
        self._started.clear()
        self._ending.clear()
        self._done.clear()

    def _end(self, found: Upload) -> None:
        """It will not be completed. Mongrel2 deletes the file when it notices, or has said DONE already."""
        del self._started[found.key]
        self._table.break_off(found.slot)
        found.state = tables.ENDING
        found.until = 0.0
        self._ending[found.key] = found

    def _forget(self, found: Upload) -> None:
        self._stores[found.endpoint].remove(found.name)
        self._table.free(found.slot)

    def _refuse(self, taken: Taken, status: int, reason: str) -> None:
        taken.intake.ring.take(taken.frame)
        self._tell(taken, status, reason)

    def _tell(self, taken: Taken, status: int, reason: str) -> None:
        if self._end_behind(taken.intake, taken.conn):
            log.warning("upload refused, connection closes after the running request conn=%s status=%d reason=%s",
                        taken.conn.decode(), status, reason)  # fmt: skip
        else:
            self._refuse_request(taken, status, reason)

    def _break_off(self, found: Upload, intake: Intake, status: int, reason: str) -> None:
        self._end(found)
        if intake.epoch == found.epoch:
            # stands for the message that began it, which is long dealt with
            self._tell(Taken(intake, 0, 0, 0, found.sender, found.conn, 0.0), status, reason)

    # -- time --------------------------------------------------------------------------------------------------

    def tick(self, now: float, intakes: Sequence[Intake]) -> None:
        """What must be looked at now and then."""
        if now < self._due:
            return
        self._due = now + _LOOK
        for found in list(self._started.values()):
            if found.look <= now:
                found.look = now + (_LOOK if found.expected is None and found.limit is not None else _LOOK_ASIDE)
                self._look_at(found, now, intakes[found.endpoint])
        for found in list(self._ending.values()):
            found.until = found.until or now + _ENDING
            if found.until <= now:
                del self._ending[found.key]
                self._forget(found)
        done, self._done = self._done, []
        for found in done:
            if found.taken is None or found.taken.state is State.OVER:
                self._forget(found)
            else:
                self._done.append(found)

    def _look_at(self, found: Upload, now: float, intake: Intake) -> None:
        size = self._size(found)
        if size is not None:
            found.size, found.until = size, 0.0
            if found.expected is None and found.limit is not None and size > found.limit:
                self._break_off(
                    found, intake, 413, f"a body of {size} bytes so far, at most {found.limit} (limit-post)"
                )
        elif found.size is not None:
            # Mongrel2 has deleted it, but said nothing; or somebody else has, and the client is to be told at DONE
            found.until = found.until or now + _VANISHED
            if found.until <= now:
                self._end(found)

    def _size(self, found: Upload) -> int | None:
        return self._stores[found.endpoint].size(found.name)

    # -- succession --------------------------------------------------------------------------------------------

    def adopt(self, running: Iterable[Taken], intakes: Sequence[Intake]) -> None:
        """Go on with the table of a predecessor, before any message is read.

        Args: running: requests that lie in cells.
        """
        owners = {(t.intake.index, t.epoch, t.frame): t for t in running if t.kind == cards.UPLOAD}
        for slot in self._table.used():
            entry = self._table.read(slot)
            if entry.state in (tables.STREAMED, tables.STREAMED_WHOLE):
                continue  # no file
            found = Upload(slot, entry)
            if entry.state == tables.DONE:
                # If its message still lies in the ring, this is told below; else it has no owner, and is deleted.
                found.taken = owners.get((entry.endpoint, entry.epoch, entry.frame))
                self._done.append(found)
            elif entry.epoch != intakes[entry.endpoint].epoch:
                self._forget(found)
            elif entry.state == tables.STARTED:
                self._started[found.key] = found
            else:
                self._ending[found.key] = found


def _why_unfit(store: TempStore, name: bytes) -> str:
    shown = os.fsdecode(name)[:200]
    if not store.is_known:
        return (
            f"an upload to the file {shown!a}, and upload.temp_store is not known: give mongrel2-config, "
            "or mongrel2-setting upload.temp_store=..."
        )
    return (
        f"an upload to the file {shown!a}, which is not of upload.temp_store {store.front.temp_store}: "
        "see mongrel2-config and mongrel2-setting"
    )
