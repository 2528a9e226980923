"""The master's snapshot of workers that come and go."""

from __future__ import annotations

import os
import socket

import pytest
from boards import NOW, Maker

from m2serve.door import Door
from m2serve.endpoint import ZmqPair
from m2serve.front import Front
from m2serve.ids import WorkerId
from m2serve.master.child import ChildState
from m2serve.master.programs import Program
from m2serve.master.scores import Scores
from m2serve.observe.snapshot import Totals
from m2serve.transports import sheet as sheets
from m2serve.transports.node import NodeFds, WorkerPost
from m2serve.transports.sheet import Sheet

THREADS = 2


class House:
    """A board with its node; posts come with the workers, as the actor makes them."""

    def __init__(self) -> None:
        self.maker = Maker()
        self.board = self.maker.board
        pair = ZmqPair.parse("tcp://127.0.0.1:1,tcp://127.0.0.1:2")
        self.node = NodeFds.create([Front(pair)], 65536)
        self.scores = Scores(self.board, self.node, 10, [Program("mongrel2", ("mongrel2", "x"), "mongrel2 x")])

    def post(self) -> None:
        for child in self.board.workers:
            if child.key not in self.node.posts:
                self.node.posts[child.key] = WorkerPost.create(child.key, WorkerId(child.worker), THREADS)
                child.pid = os.getpid()
                child.threads = ("u-0", "u-1")
                child.apps = ("", "/api")

    def serve(self, child, requests: int) -> Sheet:
        sheet = Sheet(self.node.posts[child.key].sheet_fd, THREADS)
        sheet.cells[0][sheets.REQUESTS] = requests
        sheet.cells[0][sheets.BUSY] = requests * 5_000
        sheet.cells[1][sheets.EXCEPTIONS] = 1
        return sheet

    def bury(self, child) -> None:
        self.board.children.remove(child)
        self.node.posts.pop(child.key).close()


@pytest.fixture
def house():
    house = House()
    yield house
    house.node.close()


def test_a_life_and_the_next(house):
    house.maker.generation(1, ChildState.READY)
    house.post()
    (child,) = house.board.workers
    assert not house.scores.turn(NOW)
    house.serve(child, 7)
    (worker,) = house.scores.snapshot(NOW).workers
    assert (worker.number, worker.spawns, worker.past) == (1, 1, Totals())
    (life,) = worker.lives
    assert [core.requests for core in life.cores] == [7, 0]
    assert [core.uuid for core in life.cores] == ["u-0", "u-1"]
    assert [(app.mountpoint, app.requests) for app in life.apps] == [("", 7), ("/api", 0)]
    assert life.rss > 1_000_000 and life.ready
    house.bury(child)
    house.scores.turn(NOW)
    (worker,) = house.scores.snapshot(NOW).workers
    assert (worker.spawns, worker.past, worker.lives) == (1, Totals(7, 1, 35, 0), ())
    house.maker.child(child.kind, child.name, ChildState.STARTING, 1, 1)
    house.post()
    (worker,) = house.scores.snapshot(NOW).workers
    assert (worker.spawns, worker.past.requests, worker.lives[0].cores[0].requests) == (2, 7, 0)


def test_two_generations_at_a_time(house):
    house.maker.generation(1, ChildState.READY, ChildState.READY)
    house.maker.generation(2, ChildState.STARTING, None, state=house.board.generations[0].state)
    house.post()
    house.scores.turn(NOW)
    workers = house.scores.snapshot(NOW).workers
    assert [(worker.number, worker.spawns, len(worker.lives)) for worker in workers] == [(1, 2, 2), (2, 1, 1)]


def test_what_runs(house):
    house.maker.generation(1, ChildState.READY)
    house.post()
    sheet = house.serve(house.board.workers[0], 0)
    sheet.head[sheets.PREFIX] = 0xABCD
    sheet.show(1, b"GET", b"/\xff")
    sheet.cells[1][sheets.NUMBER] = 31
    sheet.cells[1][sheets.STARTED] = int((NOW - 1.5) * 1e9)
    house.scores.turn(NOW)
    life = house.scores.snapshot(NOW).workers[0].lives[0]
    assert life.cores[0].request is None
    request = life.cores[1].request
    assert request is not None
    assert request[:3] == ("GET", "/\xff", "0000abcd-1f")
    assert request.elapsed == pytest.approx(1_500_000, abs=10)
    sheet.cells[1][sheets.STARTED] = int((NOW + 99) * 1e9)
    torn = house.scores.snapshot(NOW).workers[0].lives[0].cores[1].request
    assert torn is not None and torn.elapsed == 0


def test_the_dispatcher_and_daemons(house):
    found = house.scores.snapshot(NOW)
    assert found.dispatcher is not None
    assert (found.dispatcher.pid, found.dispatcher.state) == (0, "DEAD")
    house.maker.dispatcher()
    house.maker.daemon()
    house.scores.turn(NOW)
    found = house.scores.snapshot(NOW)
    assert found.dispatcher is not None and found.dispatcher.state == "READY"
    assert [(one.command, one.respawns) for one in found.daemons] == [("mongrel2 x", 0)]
    assert [one.name for one in found.sockets] == ["tcp://127.0.0.1:1"]


def test_requests_that_nobody_hands_out(house):
    """With sockets of our own the workers' sheets say what there is to do, of the living and the dead."""
    house.maker.generation(1, ChildState.READY)
    house.post()
    (child,) = house.board.workers
    house.scores.turn(NOW)
    sheet = house.serve(child, 3)
    assert house.scores.traffic() == (0, False), "without such sockets only the dispatcher is asked"
    with socket.socket() as listener, socket.socket() as client:
        listener.bind(("127.0.0.1", 0))
        listener.listen(4)
        house.node.doors = (Door("http", "a", listener.fileno()),)
        assert (house.scores.traffic(), house.scores.queued()) == ((3, False), 0)
        client.connect(listener.getsockname())
        assert (house.scores.traffic(), house.scores.queued()) == ((3, True), 1)
        (found,) = house.scores.snapshot(NOW).doors
        assert (found.name, found.protocol, found.waiting, found.most) == ("a", "http", 1, 4)
        listener.accept()[0].close()
        sheet.cells[0][sheets.STARTED] = 1
        assert (house.scores.traffic(), house.scores.queued()) == ((3, True), 0)
        house.bury(child)
        house.scores.turn(NOW)
        assert house.scores.traffic() == (3, False)
    sheet.close()
