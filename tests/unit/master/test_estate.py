"""A master's state, written down and read by another."""

from __future__ import annotations

import os

import pytest
from boards import NOW, READY, STARTING, Commands, Maker

from m2serve.config.crons import CronLine
from m2serve.config.settings import Settings
from m2serve.endpoint import StatsAddress, ZmqPair
from m2serve.front import Front
from m2serve.ids import Pid, Seconds
from m2serve.master import heritage
from m2serve.master.act import Actor
from m2serve.master.board import Slot
from m2serve.master.child import Child, ChildKind, ChildState
from m2serve.master.crowd import Crowd
from m2serve.master.daemons import DaemonOutput
from m2serve.master.doors import Doors
from m2serve.master.estate import Estate, Holdings, restore_board, restore_node
from m2serve.master.fifo import Fifo
from m2serve.master.generation import GenerationState, ReloadKind
from m2serve.master.inbox import Inbox
from m2serve.master.jobs import Job, Timetable
from m2serve.master.late import Accusation, Late
from m2serve.master.pidfile import PidFiles
from m2serve.master.programs import Program
from m2serve.master.scores import Scores
from m2serve.master.stats import StatsServer, listen_again
from m2serve.system.link import Link
from m2serve.transports import sheet as sheets
from m2serve.transports.node import NodeFds, WorkerPost
from m2serve.transports.sheet import Sheet
from m2serve.wire.link import Verb

FRONT = Front(ZmqPair.parse("tcp://127.0.0.1:1,tcp://127.0.0.1:2"))


class Master:
    """All that a master has, without a loop."""

    def __init__(self, make, node, directory):
        self.board = make.board
        self.node = node
        self.programs = [Program("mongrel2", ("m2",), "m2 db", address=("127.0.0.1", 1))]
        self.actor = Actor(self.board, node, None, self.programs, 2)
        self.inbox = Inbox(self.board, node)
        self.outputs = DaemonOutput()
        self.scores = Scores(self.board, node, 10, self.programs)
        self.fifo = Fifo([str(directory / "fifo")], Commands())
        self.pidfiles = PidFiles(str(directory / "pid"), None, self.board)
        self.doors = Doors(Settings())
        self.stats = StatsServer(StatsAddress(path=str(directory / "stats")))
        has = Holdings(self.board, node, self.scores, self.fifo, self.pidfiles, (self.stats,), (), None, self.doors)
        self.timetable = Timetable(self.board)
        self.estate = Estate(has, self.actor, self.inbox, self.outputs, self.timetable)


@pytest.fixture
def old(tmp_path):
    """Two generations: one serves, one has a worker that leaves; a daemon that is amid a line."""
    make = Maker()
    slot = make.dispatcher()
    make.daemon()
    make.generation(1, READY, state=GenerationState.SERVING)
    (generation,) = make.board.generations
    generation.early_deaths = 1
    make.generation(2, READY, None)
    master = Master(make, NodeFds.create([FRONT], 65536), tmp_path)
    for child in make.board.workers:
        post = master.node.posts[child.key] = WorkerPost.create(child.key, child.worker, 2)
        post.close_worker_side()
        child.threads, child.apps, child.pid = ("u-0", "u-1"), ("",), Pid(os.getpid())
    leaving = make.board.workers[0]
    late = Late(1, 5, NOW, Seconds(1.0), "GET", "/", "id")
    leaving.accused, leaving.harakiris = {late.key: Accusation(late, NOW)}, 2
    leaving.state, leaving.deadline = ChildState.DRAINING, Seconds(NOW + 9)
    slot.child.link, master.far = Link.pair()
    daemon = make.board.children[1]
    daemon.program = master.programs[0]
    daemon.output, master.daemon_says = os.pipe()
    os.set_blocking(daemon.output, False)
    os.write(master.daemon_says, b"half a l\xef")
    master.outputs.read(daemon)
    master.node.pulls[0] = os.dup(master.node.wake_fd)
    master.inbox.dead_keys.add(99)
    master.actor.next_key, master.actor.next_generation = 40, 3
    make.board.served, make.board.reload_wanted = True, ReloadKind.CHAIN
    make.board.last_reload = "reload given up: why"
    master.scores.turn(NOW)
    master.fifo.open()
    master.pidfiles.write_first()
    master.stats.listen()
    yield master
    os.close(master.daemon_says)
    master.far.close()


def passed_on(old, tmp_path, programs=None, jobs=()):
    """What another program in the same process makes of it."""
    left = heritage.decode(heritage.encode(old.estate.write(os.getpid())))
    old.facts = facts(old.board), sorted(old.node.fds()), old.fifo.polled(), old.stats.polled()
    for child in old.board.children:
        if child.link is not None:
            child.link._sock.detach()
    old.stats.abandon()
    make = Maker()
    new = Master(make, restore_node(left, [FRONT._replace(flow_control=True)]), tmp_path)
    new.board.jobs = jobs
    if programs is not None:
        new.programs[:] = programs
    new.estate.read(left, NOW)
    new.fifo.take_over(left.fifo)
    new.pidfiles.take_over(left.pidfiles)
    new.pidfiles.write_first()
    assert listen_again([new.stats], left.listeners) == []
    return new


def close(master):
    master.stats.close()
    master.fifo.close()
    master.pidfiles.remove()
    master.node.close()
    for child in master.board.children:
        if child.link is not None:
            child.link.close()
        if child.output is not None:
            os.close(child.output)


def facts(board):
    children = [
        (one.kind, one.key, one.name, one.generation, one.worker, one.pid, one.state, one.deadline, one.accused)
        for one in board.children
    ]
    slots = [(one.kind, one.name, one.generation, one.child and one.child.key, one.was_ready) for one in board.slots]
    generations = [(one.number, one.size, one.state, one.early_deaths) for one in board.generations]
    return children, slots, generations


def test_everything_is_found_again(old, tmp_path):
    new = passed_on(old, tmp_path)
    assert (facts(new.board), sorted(new.node.fds()), new.fifo.polled(), new.stats.polled()) == old.facts
    assert all(slot.child is None or slot.child in new.board.children for slot in new.board.slots)
    assert new.board.inherited
    assert [one.inherited for one in new.board.children] == [True, False, True, True]
    assert (new.board.served, new.board.reload_wanted) == (True, ReloadKind.CHAIN)
    assert new.board.last_reload == "reload given up: why"
    assert (new.actor.next_key, new.actor.next_generation) == (40, 3)
    assert new.inbox.dead_keys == {99}
    assert [front.flow_control for front in new.node.fronts] == [True]
    close(new)
    assert not any((tmp_path / name).exists() for name in ("fifo", "pid", "stats"))


@pytest.mark.parametrize(
    ("wanted", "asleep", "options", "expected"),
    [
        (2, False, Crowd(2, 2, 2), 2),
        (2, False, Crowd(5, 5, 5), 5),
        (3, False, Crowd(5, 1, 1), 3),
        (0, True, Crowd(), 0),
    ],
    ids=["as ever", "other options", "changed since the start", "asleep"],
)
def test_the_number_of_workers(old, tmp_path, wanted, asleep, options, expected):
    old.board.crowd = Crowd(5, 2, 2)
    old.board.wanted, old.board.asleep, old.board.paused = wanted, asleep, True
    make = Maker()
    make.board.crowd = options
    make.board.wake()
    restore_board(make.board, old.estate.write(1))
    assert (make.board.wanted, make.board.asleep, make.board.paused) == (expected, asleep, True)
    for child in make.board.children:
        if child.link is not None:
            child.link._sock.detach()
    close(old)


def test_a_link_goes_on(old, tmp_path):
    new = passed_on(old, tmp_path)
    dispatcher = new.board.dispatcher
    old.far.send(Verb.QUIET)
    new.inbox.read(dispatcher, NOW)
    assert new.board.quiet
    dispatcher.link.send(Verb.PING)
    assert old.far.receive().verb is Verb.PING
    close(new)


def test_a_line_that_was_begun_is_ended(old, tmp_path, caplog):
    new = passed_on(old, tmp_path)
    os.write(old.daemon_says, b"ne\n")
    with caplog.at_level("DEBUG", "m2serve.mongrel2"):
        new.outputs.read(new.board.children[1])
    assert "half a l\ufffdne" in caplog.text
    close(new)


def test_what_was_counted_is_counted_on(old, tmp_path):
    worker = old.board.workers[1]
    sheet = Sheet(old.node.posts[worker.key].sheet_fd, 2)
    sheet.cells[0][sheets.REQUESTS] = 5
    sheet.close()
    new = passed_on(old, tmp_path)
    first = new.scores.snapshot(NOW).workers[0]
    assert (first.number, first.spawns) == (1, 2)
    assert sum(core.requests for life in first.lives for core in life.cores) == 5
    for child in list(new.board.workers):
        new.board.children.remove(child)
        new.node.posts.pop(child.key).close()
    worker = new.scores.snapshot(NOW).workers[0]
    assert (worker.spawns, worker.past.requests, worker.lives) == (2, 5, ())
    close(new)


def job(command):
    line = CronLine.parse(f"-1 3 -1 -1 -1 {command}")
    return Job(line, Program("cron 1", (), command), Seconds(0.0))


def test_programs_go_on_by_their_command(old, tmp_path):
    """One that is still named, one that is new, one that is no more, and a command of cron that runs."""
    old.programs += [Program("daemon 1", (), "one"), Program("daemon 2", (), "two", stop_signal=2)]
    for index, name in ((1, "daemon 1"), (2, "daemon 2")):
        slot = Slot(ChildKind.DAEMON, name, daemon=index, child=Child(ChildKind.DAEMON, 50 + index, name, state=READY))
        slot.child.program = old.programs[index]
        old.board.slots.append(slot)
        old.board.children.append(slot.child)
    running = job("date")
    running.runs, running.last_code = 7, 3
    running.running.append(Child(ChildKind.COMMAND, 60, "cron 1", state=STARTING, program=running.program))
    old.board.jobs.append(running)
    old.board.children.append(running.running[0])
    old.timetable.turn(NOW)
    assert not old.timetable.turn(NOW)
    mongrel2 = old.programs[0]
    told = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Actor, "perform", lambda self, action, now: told.append(action))
        jobs = [job("other"), job("date")]
        new = passed_on(old, tmp_path, [Program("daemon 1", (), "new"), mongrel2, Program("daemon 2", (), "one")], jobs)
    slots = {slot.name: slot for slot in new.board.slots if slot.kind is ChildKind.DAEMON}
    assert {name: (slot.daemon, slot.child and slot.child.key) for name, slot in slots.items()} == {
        "mongrel2": (1, 2),
        "daemon 2": (2, 51),
        "daemon 1": (0, None),
    }
    assert slots["mongrel2"].gate
    (stop,) = told
    assert (stop.child.key, stop.child.program.stop_signal) == (52, 2)
    assert [(one.runs, one.last_code, len(one.running)) for one in jobs] == [(0, 0, 0), (7, 3, 1)]
    assert jobs[1].running[0].key == 60
    assert not new.timetable.turn(NOW), "that minute has been looked at"
    close(new)


def test_nobody_is_ready_to_leave_amid_a_word(old, tmp_path):
    assert old.estate.settled
    link = old.board.dispatcher.link
    while not link.pending:
        link.send(Verb.PING)
    assert not old.estate.settled
    close(passed_on(old, tmp_path))


def test_other_files_than_before(old, tmp_path):
    left = heritage.decode(heritage.encode(old.estate.write(os.getpid())))
    new = tmp_path / "new"
    new.mkdir()
    fifo = Fifo([str(new / "fifo")], Commands())
    fifo.take_over(left.fifo)
    pidfiles = PidFiles(str(new / "pid"), None, old.board)
    pidfiles.take_over(left.pidfiles)
    pidfiles.write_first()
    stats = StatsServer(StatsAddress(path=str(new / "stats")))
    old.stats.abandon()
    assert listen_again([stats], left.listeners) == [stats]
    stats.listen()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["new"]
    assert sorted(path.name for path in new.iterdir()) == ["fifo", "pid", "stats"]
    stats.close()
    fifo.close()
    pidfiles.remove()
    assert list(new.iterdir()) == []
    old.fifo._open = None
    close(old)
