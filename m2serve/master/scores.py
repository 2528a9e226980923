"""The master's view of the scoreboard: the sheets of all workers, and the counters in the ledger."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import psutil

import m2serve
from m2serve.ids import Seconds
from m2serve.master.attachment import Attachment
from m2serve.master.caches import facts
from m2serve.master.child import ChildKind, ChildState
from m2serve.master.generation import GenerationState
from m2serve.master.heritage import Scoring
from m2serve.observe.snapshot import (
    QUEUE_BOUNDS,
    App,
    Core,
    Cron,
    Daemon,
    Dispatcher,
    Life,
    Listening,
    Nursery,
    RunningRequest,
    Snapshot,
    Socket,
    Totals,
    Worker,
)
from m2serve.system.backlog import backlog
from m2serve.transports import ledger
from m2serve.transports import sheet as sheets
from m2serve.transports.sheet import Sheet

if TYPE_CHECKING:
    from collections.abc import Sequence

    from m2serve.door import Door
    from m2serve.master.board import Board
    from m2serve.master.child import Child
    from m2serve.master.jobs import Job
    from m2serve.master.programs import Program
    from m2serve.master.smart import Watch
    from m2serve.transports.node import NodeFds


@dataclass(eq=False)
class Record:
    """What is kept of one worker's number."""

    spawns: int = 0
    past: Totals = field(default_factory=Totals)


@dataclass(eq=False)
class Scores(Attachment):
    """Maps the sheet of every worker as long as it lives, and adds up what the dead have done."""

    board: Board
    node: NodeFds
    queue_limit: int
    programs: Sequence[Program] = ()
    """The attached daemons, by their index."""
    watches: Sequence[Watch] = ()
    """The smart ones."""
    lives: dict[int, tuple[Child, Sheet]] = field(default_factory=dict)
    """By the child's key."""
    _records: dict[int, Record] = field(default_factory=dict)
    _daemons: dict[str, int] = field(default_factory=dict)
    _daemon_keys: set[int] = field(default_factory=set)

    def __post_init__(self) -> None:
        self._words = ledger.header(self.node.ledger_fd)

    def turn(self, now: Seconds) -> bool:
        """See who came and who went; a child lives for one turn at least."""
        living = set()
        for child in self.board.children:
            living.add(child.key)
            if child.kind is ChildKind.WORKER and child.key not in self.lives:
                self._map(child)
                self._record(child.worker).spawns += 1
            elif child.kind is ChildKind.DAEMON and child.key not in self._daemon_keys:
                self._daemon_keys.add(child.key)
                self._daemons[child.name] = self._daemons.get(child.name, 0) + 1
        for key in [key for key in self.lives if key not in living]:
            child, sheet = self.lives.pop(key)
            record = self._record(child.worker)
            record.past = _sum(record.past, sheet, child)
            sheet.close()
        return False

    def leave(self) -> Scoring:
        """For the program that goes on. The sheets of the living go with their posts."""
        return Scoring(
            {str(number): record.spawns for number, record in self._records.items()},
            {str(number): record.past for number, record in self._records.items()},
            dict(self._daemons),
        )

    def take_over(self, left: Scoring) -> None:
        """What another master has counted; whoever lives was counted by it."""
        for number, spawns in left.spawns.items():
            self._records[int(number)] = Record(spawns, left.past.get(number, Totals()))
        self._daemons = dict(left.daemons)
        for child in self.board.children:
            if child.kind is ChildKind.WORKER:
                self._map(child)
            else:
                self._daemon_keys.add(child.key)

    def snapshot(self, now: Seconds) -> Snapshot:
        """All there is to tell; waits for nobody."""
        self.turn(now)
        wall = time.time()
        numbers = {slot.worker for slot in self.board.slots if slot.worker} | self._records.keys()
        never = (Worker(0, 0, Totals(), ()),) * (self.board.crowd.most - len(numbers))
        serving = [one.number for one in self.board.generations if one.state is GenerationState.SERVING]
        return Snapshot(
            version=m2serve.__version__,
            pid=os.getpid(),
            uid=os.getuid(),
            gid=os.getgid(),
            cwd=os.getcwd(),
            now=wall,
            generation=max(serving, default=0),
            reloading=bool(serving) and any(one.state is GenerationState.STARTING for one in self.board.generations),
            last_reload=self.board.last_reload,
            queue_limit=self.queue_limit,
            workers=tuple(self._worker(number, now, wall) for number in sorted(numbers)) + never,
            sockets=tuple(self._socket(index, now) for index in range(len(self.node.endpoints))),
            doors=tuple(_listening(door) for door in self.node.doors),
            daemons=tuple(self._daemon_facts()),
            dispatcher=self._dispatcher() if self.board.dispatched else None,
            crons=tuple(_cron(job) for job in self.board.jobs),
            wanted=self.board.wanted,
            asleep=self.board.asleep,
            paused=self.board.paused,
            nurseries=tuple(
                Nursery(one.pid, one.generation, one.state.value, one.loading, _memory(one.pid)[0])
                for one in self.board.of_kind(ChildKind.NURSERY)
            ),
            unfit=self.board.unfit,
            caches=tuple(facts(name, fd) for name, fd in self.node.caches.items()),
        )

    def load(self, child: Child, now: Seconds) -> tuple[int, Seconds]:
        """How many threads of a worker run a request, and the time that all of them have spent on requests."""
        if child.key not in self.lives:
            return 0, Seconds(0.0)
        _, sheet = self.lives[child.key]
        begun = [cell[sheets.STARTED] / 1e9 for cell in sheet.cells[: sheet.threads]]
        running = [max(now - started, 0.0) for started in begun if started]
        return len(running), Seconds(sheet.total(sheets.BUSY) / 1e9 + sum(running))

    def traffic(self) -> tuple[int, bool]:
        """A number that grows with each request, and whether some wait or run; a quarter of a second old."""
        words = self._words
        now = (ledger.WAITING, ledger.PARKED, ledger.RUNNING, ledger.DRAINING)
        handed, at_work = words[ledger.HANDED], any(words[one] for one in now)
        if self.node.doors:
            # Nobody hands these out: only the workers know of them.
            sheets_now = [sheet for _, sheet in self.lives.values()]
            handed += sum(record.past.requests for record in self._records.values())
            handed += sum(sheet.total(sheets.REQUESTS) for sheet in sheets_now)
            busy = any(cell[sheets.STARTED] for sheet in sheets_now for cell in sheet.cells)
            at_work = at_work or busy or any(backlog(door).waiting for door in self.node.doors)
        return handed, at_work

    def queued(self) -> int:
        """Requests that wait for a thread, not for an earlier one of their connection; connections that wait for a
        worker."""
        waiting = sum(ledger.endpoint_words(self._words, i)[ledger.QUEUED] for i in range(len(self.node.endpoints)))
        return waiting + sum(backlog(door).waiting for door in self.node.doors)

    def _map(self, child: Child) -> None:
        post = self.node.posts[child.key]
        self.lives[child.key] = (child, Sheet(post.sheet_fd, post.threads))

    def _record(self, number: int) -> Record:
        return self._records.setdefault(number, Record())

    def _worker(self, number: int, now: Seconds, wall: float) -> Worker:
        record = self._record(number)
        lives = [
            _life(child, sheet, now, wall)
            for child, sheet in self.lives.values()
            if child.worker == number and child.state is not ChildState.NEW
        ]
        return Worker(number, record.spawns, record.past, tuple(lives))

    def _socket(self, index: int, now: Seconds) -> Socket:
        words = ledger.endpoint_words(self._words, index)
        oldest = words[ledger.OLDEST]
        age = max(int(now * 1e6) - oldest // 1000, 0) if oldest else 0
        return Socket(str(self.node.endpoints[index].send), words[ledger.EPOCH], words[ledger.QUEUED], age)

    def _dispatcher(self) -> Dispatcher:
        child, words = self.board.dispatcher, self._words
        return Dispatcher(
            pid=child.pid if child is not None else 0,
            state=child.state.value if child is not None else ChildState.DEAD.value,
            lives=words[ledger.LIVES],
            handed=words[ledger.HANDED],
            waiting=words[ledger.WAITING],
            parked=words[ledger.PARKED],
            running=words[ledger.RUNNING],
            draining=words[ledger.DRAINING],
            queue_time=words[ledger.QUEUE_TIME] // 1000,
            answered={
                "400": words[ledger.ANSWERED_400],
                "413": words[ledger.ANSWERED_413],
                "502": words[ledger.ANSWERED_502],
                "503": words[ledger.ANSWERED_503],
                "504": words[ledger.ANSWERED_504],
                "other": words[ledger.ANSWERED_OTHER],
            },
            garbage=words[ledger.GARBAGE],
            disconnects=words[ledger.DISCONNECTS],
            waited=words[ledger.WAITED],
            waits=tuple(words[ledger.WAITS : ledger.WAITS + len(QUEUE_BOUNDS) + 1]),
        )

    def _daemon_facts(self) -> list[Daemon]:
        slots = [slot for slot in self.board.slots if slot.kind is ChildKind.DAEMON]
        smart = [Daemon(watch.smart.program.command, watch.pid, max(watch.starts - 1, 0)) for watch in self.watches]
        return [
            Daemon(
                self.programs[slot.daemon].command,
                slot.child.pid if slot.child is not None else 0,
                max(self._daemons.get(slot.name, 0) - 1, 0),
            )
            for slot in slots
        ] + smart


def _listening(door: Door) -> Listening:
    found = backlog(door)
    return Listening(door.name, door.protocol, found.waiting, found.most, found.dropped, door.shared)


def _cron(job: Job) -> Cron:
    line = job.line
    return Cron(
        *(line.minute, line.hour, line.day, line.month, line.week, line.command, line.unique),
        job.running[-1].pid if job.running else -1,
        job.started,
        len(job.running),
        job.runs,
        job.last_code,
        int(job.last_seconds * 1e6),
    )


def _sum(past: Totals, sheet: Sheet, child: Child) -> Totals:
    return Totals(
        past.requests + sheet.total(sheets.REQUESTS),
        past.exceptions + sheet.total(sheets.EXCEPTIONS),
        past.busy + sheet.total(sheets.BUSY) // 1000,
        past.sent + sheet.total(sheets.SENT),
        past.harakiris + child.harakiris,
        past.refused + sheet.head[sheets.REFUSED],
    )


def _life(child: Child, sheet: Sheet, now: Seconds, wall: float) -> Life:
    rss, vsz = _memory(child.pid)
    apps = zip(child.apps, sheet.apps(len(child.apps)), strict=False)
    return Life(
        key=child.key,
        pid=child.pid,
        generation=child.generation,
        state=child.state.value,
        ready=child.state is ChildState.READY,
        started=wall - (now - child.started),
        loading=child.loading,
        rss=rss,
        vsz=vsz,
        cores=tuple(_core(child, sheet, core, now, wall) for core in range(sheet.threads)),
        aside=_core(child, sheet, sheet.threads, now, wall),
        apps=tuple(App(mountpoint, *counts) for mountpoint, counts in apps),
        harakiris=child.harakiris,
        refused=sheet.head[sheets.REFUSED],
    )


def _core(child: Child, sheet: Sheet, core: int, now: Seconds, wall: float) -> Core:
    cell = sheet.cells[core]
    request, started = None, cell[sheets.STARTED]
    if started:
        method, uri = sheet.line(core)
        elapsed = max(now - started / 1e9, 0.0)
        request = RunningRequest(
            method.decode("latin-1"),
            uri.decode("latin-1"),
            f"{sheet.head[sheets.PREFIX]:08x}-{cell[sheets.NUMBER]:x}",
            wall - elapsed,
            int(elapsed * 1e6),
        )
    return Core(
        uuid=child.threads[core] if core < len(child.threads) else "",
        requests=cell[sheets.REQUESTS],
        busy=cell[sheets.BUSY] // 1000,
        sent=cell[sheets.SENT],
        average=cell[sheets.AVERAGE] // 1000,
        exceptions=cell[sheets.EXCEPTIONS],
        read_errors=cell[sheets.READ_ERRORS],
        write_errors=cell[sheets.WRITE_ERRORS],
        garbage=cell[sheets.GARBAGE],
        offloaded=cell[sheets.OFFLOADED],
        files=cell[sheets.FILES],
        request=request,
    )


def _memory(pid: int) -> tuple[int, int]:
    try:
        memory = psutil.Process(pid).memory_info()
    except psutil.Error:
        return 0, 0
    return memory.rss, memory.vms
