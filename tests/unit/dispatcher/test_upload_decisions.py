"""What the dispatcher believes of uploads, and what it deletes."""

from __future__ import annotations

import mmap
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from support.channel import make_request

from m2serve.config.postlimits import PostLimits
from m2serve.config.values import PostLimit
from m2serve.dispatcher.taken import State, Taken
from m2serve.dispatcher.uploads import Uploads
from m2serve.endpoint import Endpoint, ZmqPair
from m2serve.front import Front
from m2serve.transports import card as cards
from m2serve.transports import uploads as tables
from m2serve.transports.uploads import UploadTable

if TYPE_CHECKING:
    from pathlib import Path

PAIR = ZmqPair(Endpoint.parse("tcp://127.0.0.1:1"), Endpoint.parse("tcp://127.0.0.1:2"))
SIZE = 30_000


class House:
    """A dispatcher's uploads, with a temporary store and everything around them made up."""

    def __init__(self, store: Path, **front: Any) -> None:
        self.store = store
        self.front = Front(PAIR, **{"temp_store": f"{store}/up.XXXXXX", **front})
        self.table = UploadTable(memoryview(mmap.mmap(-1, tables.TABLE_BYTES)))
        self.refusals: list[tuple[int, int, str]] = []
        self.busy: set[bytes] = set()
        self.frames: list[int] = []
        """Marked TAKEN."""
        ring = SimpleNamespace(take=self.frames.append)
        self.intakes = [SimpleNamespace(index=0, epoch=1, ring=ring, pair=PAIR)]
        self.uploads = self.build()
        self._frame = 0

    def build(self) -> Uploads:
        limits = PostLimits([PostLimit.parse("1M"), PostLimit.parse("/small=40000")])
        return Uploads(self.table, [self.front], limits, self._refuse, lambda _, conn: conn in self.busy)

    def _refuse(self, taken: Taken, status: int, reason: str) -> None:
        self.refusals.append((int(taken.conn), status, reason))

    def name(self, number: int = 1) -> str:
        return f"{self.store}/up.{number:06d}"

    def write(self, number: int = 1, size: int = SIZE) -> None:
        with open(self.name(number), "wb") as file:
            file.write(bytes(size))

    def left(self) -> list[str]:
        return sorted(path.name for path in self.store.iterdir())

    def say(self, conn: int, number: int = 1, *, done: bool = False, uri: str = "/", **framing: str) -> Taken | None:
        """One message of an upload; gives the request that is to be run."""
        headers = {key.replace("_", "-"): value for key, value in (framing or {"content_length": str(SIZE)}).items()}
        headers["x-mongrel2-upload-start"] = self.name(number)
        if done:
            headers["x-mongrel2-upload-done"] = self.name(number)
        self._frame += 100
        taken = Taken(self.intakes[0], self._frame, 0, 0, b"m2", b"%d" % conn, 0.0)  # type: ignore[arg-type]
        return None if self.uploads.took(taken, make_request("POST", uri, headers)) else taken  # type: ignore[arg-type]

    def start(self, conn: int = 7, number: int = 1, **more: Any) -> None:
        self.write(number)
        assert self.say(conn, number, **more) is None

    def done(self, conn: int = 7, number: int = 1, **more: Any) -> Taken:
        taken = self.say(conn, number, done=True, **more)
        assert taken is not None
        return taken

    def tick(self, now: float) -> None:
        self.uploads.tick(now, self.intakes)  # type: ignore[arg-type]

    def states(self) -> list[int]:
        return [self.table.read(slot).state for slot in self.table.used()]


@pytest.fixture
def house(tmp_path: Path) -> House:
    return House(tmp_path)


def test_from_start_to_end(house: House) -> None:
    house.start()
    assert (house.uploads.running, house.states(), house.frames) == (1, [tables.STARTED], [100])
    taken = house.done()
    assert (taken.kind, house.uploads.running, house.states()) == (cards.UPLOAD, 0, [tables.DONE])
    assert house.frames == [100], "the request's own frame is its cell's to mark"
    taken.state = State.HANDED
    house.tick(1.0)
    assert house.left() == ["up.000001"]
    taken.state = State.OVER
    house.tick(2.0)
    assert (house.left(), house.states()) == ([], [])
    assert house.refusals == []


def test_a_done_without_its_start(house: House) -> None:
    house.start(7, 1)
    house.write(2)
    for conn, number in ((8, 1), (8, 2), (7, 2)):
        assert house.done(conn, number).kind == cards.PLAIN
    assert house.done(7, 1).kind == cards.UPLOAD
    assert house.done(7, 1).kind == cards.PLAIN, "it has one end"
    assert house.left() == ["up.000001", "up.000002"]


def test_a_start_for_the_file_of_another(house: House) -> None:
    house.start(7, 1)
    forged = house.say(8, 1)
    assert forged is not None
    assert forged.kind == cards.PLAIN
    house.done(7, 1)
    assert house.say(8, 1) is not None
    assert house.left() == ["up.000001"]


def test_a_second_start_on_a_connection(house: House) -> None:
    house.start(7, 1)
    assert house.say(7, 2) is not None
    assert house.say(7, 1) is None, "a predecessor died between table and mark"
    assert house.uploads.running == 1


def test_an_older_connection_of_the_node(house: House) -> None:
    house.start()
    house.uploads.lost(house.intakes[0])  # type: ignore[arg-type]
    assert (house.left(), house.states(), house.uploads.running) == ([], [], 0)
    house.intakes[0].epoch = 2
    assert house.done().kind == cards.PLAIN


@pytest.mark.parametrize("uri", ["/", "/small/x?y"])
def test_too_large(house: House, uri: str) -> None:
    size = "2000000" if uri == "/" else "50000"
    house.start(uri=uri, content_length=size)
    ((conn, status, reason),) = house.refusals
    assert (conn, status, house.uploads.running) == (7, 413, 0)
    assert "limit-post" in reason
    assert house.say(7, done=True, uri=uri, content_length=size) is None, "it is answered already"
    assert (house.left(), house.states()) == ([], [])


def test_too_large_in_chunks(house: House) -> None:
    framing = {"transfer_encoding": "chunked"}
    house.start(7, 1, **framing)
    house.tick(1.0)
    assert house.refusals == []
    house.write(1, 2_000_000)
    house.tick(1.1)
    assert house.refusals == [], "it is not looked at all the time"
    house.tick(1.3)
    assert [status for _, status, _ in house.refusals] == [413]
    house.start(8, 2, **framing)
    house.write(2, 2_000_000)
    assert house.say(8, 2, done=True, **framing) is None
    assert [status for _, status, _ in house.refusals] == [413, 413]
    assert house.left() == ["up.000001"], "which Mongrel2 deletes"
    house.tick(2.0)
    house.tick(30.0)
    assert (house.left(), house.states()) == ([], [])


def test_a_refusal_waits_for_the_answer_before_it(house: House) -> None:
    house.busy.add(b"7")
    house.start(content_length="2000000")
    assert house.refusals == [], "the connection is closed behind that"
    assert house.uploads.running == 0


def test_no_space(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("m2serve.uploads.store.TempStore.room", lambda _: 70_000)
    house.start(1, 1)
    house.start(2, 2)
    house.start(3, 3)
    assert [(conn, status) for conn, status, _ in house.refusals] == [(3, 507)]
    house.start(4, 4, transfer_encoding="chunked")
    assert house.uploads.running == 2
    house.tick(1.0)  # what has been written is counted by the disk itself
    house.start(5, 5)
    assert house.uploads.running == 3


def test_a_client_that_leaves(house: House) -> None:
    house.start(7, 1)
    house.start(8, 2)
    taken = house.done(8, 2)
    for conn in (b"7", b"8", b"9"):
        house.uploads.gone(house.intakes[0], conn)  # type: ignore[arg-type]
    assert house.uploads.running == 0
    house.tick(1.0)
    assert house.left() == ["up.000001", "up.000002"], "the first is Mongrel2's, the second has a request"
    taken.state = State.OVER
    house.tick(2.0)
    assert house.left() == ["up.000001"]
    house.tick(30.0)
    assert (house.left(), house.states()) == ([], []), "Mongrel2 had its time"


def test_a_file_that_vanishes(house: House, tmp_path: Path) -> None:
    house.start()
    house.tick(1.0)
    (tmp_path / "up.000001").unlink()
    house.tick(2.0)
    house.tick(31.0)
    assert house.uploads.running == 1, "DONE may still come, and its client is to be told"
    house.tick(33.0)
    assert house.uploads.running == 0


def test_one_that_was_never_seen_is_waited_for(house: House, tmp_path: Path) -> None:
    assert house.say(7) is None
    for now in (1.0, 100.0, 1000.0):
        house.tick(now)
    assert house.done().kind == cards.UPLOAD, "the worker says where it looked"


def test_the_end_of_the_node(house: House) -> None:
    house.start(7, 1)
    house.start(8, 2)
    house.done(8, 2)
    house.uploads.stopping = True
    house.start(9, 3)
    assert [(conn, status) for conn, status, _ in house.refusals] == [(9, 503)]
    house.uploads.give_up(house.intakes, "the end")  # type: ignore[arg-type]
    assert house.refusals[1:] == [(7, 503, "the end")]
    house.uploads.close()
    assert (house.left(), house.states(), house.uploads.running) == ([], [], 0)


def test_an_unknown_store(tmp_path: Path) -> None:
    house = House(tmp_path, temp_store=None)
    house.start()
    house.start(8, 2, transfer_encoding="chunked")
    assert [status for _, status, _ in house.refusals] == [500, 500]
    assert "mongrel2-setting upload.temp_store" in house.refusals[0][2]
    assert house.left() == ["up.000001", "up.000002"], "nothing is deleted on a client's word"


def test_another_store(tmp_path: Path) -> None:
    house = House(tmp_path, temp_store="/elsewhere/up.XXXXXX")
    house.start()
    ((_, status, reason),) = house.refusals
    assert status == 500
    assert "/elsewhere/up.XXXXXX" in reason


def test_with_streams_no_file_is_true(tmp_path: Path) -> None:
    house = House(tmp_path, stream=True)
    assert house.say(7) is not None
    assert house.states() == []


def test_a_full_table(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables, "SLOTS", 3)
    for number in range(1, 5):
        house.start(number, number)
    assert [(conn, status) for conn, status, _ in house.refusals] == [(3, 503), (4, 503)]


def test_a_successor(house: House) -> None:
    house.start(1, 1, uri="/small", transfer_encoding="chunked")
    house.start(2, 2)
    house.start(3, 3)
    house.start(4, 4)
    house.start(5, 5, content_length="2000000")
    handed, unmarked, lost = house.done(2, 2), house.done(3, 3), house.done(4, 4)
    handed.state = State.HANDED
    assert lost.kind == cards.UPLOAD
    # it dies here: one request lies in a cell, one message is read again, of the last nothing is known
    house.uploads = house.build()
    house.uploads.adopt([handed], house.intakes)  # type: ignore[arg-type]
    house._frame = unmarked.frame - 100
    again = house.done(3, 3)
    assert again.kind == cards.UPLOAD
    house.tick(1.0)
    assert house.left() == ["up.000001", "up.000002", "up.000003", "up.000005"]
    assert house.uploads.running == 1
    handed.state = again.state = State.OVER
    house.write(1, 50_000)
    house.tick(2.0)
    assert [status for _, status, _ in house.refusals] == [413, 413], "it knows the limits, too"
    house.tick(60.0)
    assert (house.left(), house.states()) == ([], [])


def test_a_successor_after_mongrel2_has_gone(house: House) -> None:
    house.start(1, 1)
    house.start(2, 2)
    taken = house.done(2, 2)
    house.intakes[0].epoch = 2
    house.uploads = house.build()
    house.uploads.adopt([taken], house.intakes)  # type: ignore[arg-type]
    assert house.left() == ["up.000002"]
    taken.state = State.OVER
    house.tick(1.0)
    assert (house.left(), house.states()) == ([], [])
