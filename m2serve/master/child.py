"""One child process: its kind, its state, and the one table of moves."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING

from m2serve.ids import Pid, Seconds, WorkerId

if TYPE_CHECKING:
    from m2serve.master.late import Accusation, Late
    from m2serve.master.programs import Program
    from m2serve.system.link import Link

log = logging.getLogger("m2serve.master")


NO_WORKER = WorkerId(0)
NO_PID = Pid(0)
AT_ZERO = Seconds(0.0)


class ChildKind(Enum):
    """TRIAL: the program that is to take the master's place, asked whether it can."""

    DISPATCHER = "dispatcher"
    NURSERY = "nursery"
    WORKER = "worker"
    DAEMON = "daemon"
    COMMAND = "command"
    TRIAL = "trial"


PROGRAMS = (ChildKind.DAEMON, ChildKind.COMMAND, ChildKind.TRIAL)
"""Not our code: no link, a session of its own, output into our log."""


class ChildState(Enum):
    """What the master believes about a child.

    NEW: a row without a process, or one that a nursery forks and that has said nothing yet. STARTING: forked, has not
    said READY. READY: serving; of a nursery, ready to fork. DRAINING: takes nothing more, finishes what it has.
    STOPPING: told to leave at once. KILLED: SIGKILL sent. DEAD: reaped.
    """

    NEW = "NEW"
    STARTING = "STARTING"
    READY = "READY"
    DRAINING = "DRAINING"
    STOPPING = "STOPPING"
    KILLED = "KILLED"
    DEAD = "DEAD"


_S = ChildState

TRANSITIONS: dict[ChildState, frozenset[ChildState]] = {
    _S.NEW: frozenset({_S.STARTING, _S.DEAD}),
    _S.STARTING: frozenset({_S.READY, _S.DRAINING, _S.STOPPING, _S.KILLED, _S.DEAD}),
    _S.READY: frozenset({_S.DRAINING, _S.STOPPING, _S.KILLED, _S.DEAD}),
    _S.DRAINING: frozenset({_S.STOPPING, _S.KILLED, _S.DEAD}),
    _S.STOPPING: frozenset({_S.KILLED, _S.DEAD}),
    _S.KILLED: frozenset({_S.DEAD}),
    _S.DEAD: frozenset(),
}

LEAVING = frozenset({_S.DRAINING, _S.STOPPING, _S.KILLED})
"""On the way out because somebody wanted it: the death that follows is no accident."""


class IllegalMove(Exception):
    """A bug of the master: a child was moved where the table has no arrow."""


@dataclass(eq=False)
class Child:
    """A row of the table. Only the master's loop touches it."""

    kind: ChildKind
    key: int
    """Unique for the life of the master: a number and a pid may come back, a key does not."""
    name: str
    generation: int = 0
    worker: WorkerId = NO_WORKER
    pid: Pid = NO_PID
    state: ChildState = ChildState.NEW
    started: Seconds = AT_ZERO
    deadline: Seconds | None = None
    """When patience ends: the mercy policy then takes the next harder step."""
    failed: bool = False
    """Said FAILED: cannot load the application."""
    failure: str = ""
    was_ready: bool = False
    threads: tuple[str, ...] = ()
    apps: tuple[str, ...] = ()
    """Where its applications are mounted, by their number."""
    loading: Seconds = AT_ZERO
    """How long its application took to load."""
    unwanted: str = ""
    """Why it has asked to be replaced."""
    requests: int = 0
    """Served so far; this and the next two only if there are limits, and a second old at most."""
    rss: int = 0
    """Bytes in memory."""
    address_space: int = 0
    uss: int = 0
    pss: int = 0
    accident: bool = False
    """Killed for what it did."""
    natives: tuple[tuple[int, int], ...] = ()
    """Of each request thread what Python and the kernel call it."""
    heard: Seconds = AT_ZERO
    """When it last said something."""
    late: tuple[Late, ...] = ()
    """Requests that run for longer than they may."""
    accused: dict[tuple[int, int], Accusation] = field(default_factory=dict)
    """Those of them that it was told of, and earlier ones."""
    own_deadlines: bool = False
    """Its requests may ask for deadlines."""
    harakiris: int = 0
    """Requests that were given up."""
    asked: Seconds = AT_ZERO
    """When it was last asked for its stacks."""
    written: int = 0
    """Where what it answers begins behind its sheet."""
    told: int = 0
    """How often the log has said that it still loads."""
    link: Link | None = field(default=None, repr=False)
    output: int | None = None
    """A program's standard output and error, read end."""
    program: Program | None = field(default=None, repr=False)
    """Of those kinds what is run."""
    inherited: bool = False
    """It runs the code of the master before the upgrade, and is to be replaced."""
    yielding: bool = False
    """A dispatcher that was told to leave to its successor."""
    code: int | None = None
    """Once it is dead: its exit code, or minus the signal that killed it."""
    ended: str = ""
    """The same in words."""

    @property
    def alive(self) -> bool:
        return self.state not in (ChildState.NEW, ChildState.DEAD)

    def patience(self, usual: Seconds) -> Seconds:
        """How long it may take to leave."""
        own = None if self.program is None else self.program.mercy
        return usual if own is None else own

    @property
    def is_program(self) -> bool:
        return self.kind in PROGRAMS

    @property
    def leaving(self) -> bool:
        return self.state in LEAVING

    def move(self, state: ChildState, reason: str) -> None:
        """Change state and say so; the only place that does either.

        Raises: IllegalMove: there is no such arrow.
        """
        if state not in TRANSITIONS[self.state]:
            raise IllegalMove(f"{self.name}: {self.state.value} -> {state.value} ({reason})")
        # A command of cron has two lines of its own, each minute perhaps.
        level = logging.DEBUG if self.kind is ChildKind.COMMAND else logging.INFO
        # Tests wait for this line.
        log.log(level, "%s %s -> %s (%s) pid=%d", self.name, self.state.value, state.value, reason, self.pid)
        self.state = state
        if state is ChildState.READY:
            self.was_ready = True
