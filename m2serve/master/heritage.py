"""What a master leaves to the program that goes on in its place: the shape of it, and its bytes.

It travels in a memfd whose number the environment names. The first line is ``m2serve-upgrade FORMAT``, the rest one
JSON object, read by ``wire/record.py``: what is missing there has its default, what is not known is passed over, so
FORMAT grows only with a change that this cannot bridge. Descriptors are numbers, valid in the same process only.
"""

# Annotations are read at run time: no postponed evaluation here.
import contextlib
import json
import os
from collections.abc import Iterator, Mapping, MutableMapping
from dataclasses import dataclass, field
from typing import Any, Final

from m2serve.endpoint import Endpoint, StatsAddress, ZmqPair
from m2serve.errors import ConfigError, RemoteProtocolError
from m2serve.front import Front
from m2serve.ids import Pid, Seconds, WorkerId
from m2serve.master.child import AT_ZERO, ChildKind, ChildState
from m2serve.master.generation import Generation, ReloadKind
from m2serve.master.late import Accusation
from m2serve.mongrel2.daemon import DaemonSpec
from m2serve.observe.snapshot import Totals
from m2serve.wire import record

VARIABLE: Final = "M2SERVE_UPGRADE"
"""Names the memfd's descriptor, to the program that is tried as to the one that goes on."""

FORMAT: Final = 1

_MAGIC = b"m2serve-upgrade "
_MOST = 64 * 1024 * 1024

_NAMES = {
    "Endpoint": Endpoint,
    "Mapping": Mapping,
    "Pid": Pid,
    "Seconds": Seconds,
    "WorkerId": WorkerId,
    "ZmqPair": ZmqPair,
}


@dataclass(frozen=True)
class Node:
    """The descriptors of ``transports/node.py``."""

    endpoints: tuple[tuple[str, str], ...]
    """Both addresses of each."""
    ring_size: int
    ledger_fd: int
    wake_fd: int
    pulls: Mapping[str, int]
    nurseries: Mapping[str, int] = field(default_factory=dict)
    dead_keys: tuple[int, ...] = ()
    settled: tuple[int, ...] = ()
    caches: Mapping[str, int] = field(default_factory=dict)
    boxes: tuple[tuple[int, int], ...] = ()
    farms: Mapping[str, tuple[int, int]] = field(default_factory=dict)


@dataclass(frozen=True)
class Post:
    """A worker's post, as far as the master holds it."""

    key: int
    worker: WorkerId
    threads: int
    card_fd: int
    bell_write_fd: int
    crew_dispatcher_fd: int
    sheet_fd: int


@dataclass(frozen=True)
class ChildRow:
    """A row of the table of children; what it has under the same name means the same."""

    kind: ChildKind
    key: int
    name: str
    generation: int
    worker: WorkerId
    pid: Pid
    state: ChildState
    started: Seconds
    deadline: Seconds | None
    failed: bool
    failure: str
    was_ready: bool
    threads: tuple[str, ...]
    apps: tuple[str, ...]
    loading: Seconds
    yielding: bool = False
    accident: bool = False
    own_deadlines: bool = False
    natives: tuple[tuple[int, int], ...] = ()
    heard: Seconds = AT_ZERO
    harakiris: int = 0
    unwanted: str = ""
    asked: Seconds = AT_ZERO
    written: int = 0
    told: int = 0
    accusations: tuple[Accusation, ...] = ()
    link_fd: int = -1
    output_fd: int = -1
    rest: str = ""
    """The beginning of a line of its output, as Latin-1."""
    command: str = ""
    """Of a program, as people know it: two of the same command are the same."""
    stop_signal: int = 15


@dataclass(frozen=True)
class SlotRow:
    """A slot. *child* is a key, 0: empty. *replaces* is the index of another slot, or -1. *command* is of a daemon."""

    kind: ChildKind
    name: str
    generation: int
    worker: WorkerId
    command: str
    child: int
    due: Seconds
    short_lives: int
    was_ready: bool
    replaces: int
    stays_until: Seconds


@dataclass(frozen=True)
class JobRow:
    """A command of cron, and its runs so far."""

    command: str
    runs: int
    started: float
    last_code: int
    last_seconds: Seconds


@dataclass(frozen=True)
class Looked:
    """Which minute of the local clock the timetable has looked at: its number since the epoch; as it was shown."""

    minute: int
    shown: str


@dataclass(frozen=True)
class Scoring:
    """What the dead have done, by worker number."""

    spawns: Mapping[str, int] = field(default_factory=dict)
    past: Mapping[str, Totals] = field(default_factory=dict)
    daemons: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Listener:
    """A socket where somebody may ask how it goes: the statistics, a plugin's page."""

    address: StatsAddress
    fd: int


@dataclass(frozen=True)
class LeftDoor:
    """A socket that workers accept from; see ``master/doors.py``."""

    address: str
    """As the settings had it; empty: none of them named it."""
    fd: int
    path: str = ""
    inode: tuple[int, int] | None = None
    """Of the file at *path*, when it was bound."""
    secrets: tuple[int, ...] = ()
    """Descriptors of copies of its certificate's files."""


@dataclass(frozen=True)
class OpenFifo:
    """The master's FIFO that is being read."""

    path: str
    fd: int


@dataclass(frozen=True)
class Heritage:
    """All of it. *program* is the version of the one who wrote, *master* its pid, *layout* that of shared memory."""

    program: str
    master: int
    layout: int
    dispatched: bool
    node: Node
    posts: tuple[Post, ...]
    children: tuple[ChildRow, ...]
    slots: tuple[SlotRow, ...]
    generations: tuple[Generation, ...]
    next_key: int
    next_generation: int
    served: bool
    reload_wanted: ReloadKind | None = None
    last_reload: str = ""
    wanted: int = 1
    """Workers; *initial* of them at the start."""
    initial: int = 1
    asleep: bool = False
    paused: bool = False
    daemons: tuple[DaemonSpec, ...] = ()
    attached: Front | None = None
    """What is known of the Mongrel2 of with-mongrel2."""
    jobs: tuple[JobRow, ...] = ()
    looked: Looked | None = None
    scoring: Scoring = field(default_factory=Scoring)
    listeners: tuple[Listener, ...] = ()
    fifo: OpenFifo | None = None
    pidfiles: tuple[str, ...] = ()
    doors: tuple[LeftDoor, ...] = ()

    def fds(self) -> Iterator[int]:
        """All descriptors that it names."""
        yield from (self.node.ledger_fd, self.node.wake_fd, *self.node.pulls.values())
        yield from self.node.nurseries.values()
        yield from self.node.caches.values()
        yield from (fd for pair in (*self.node.boxes, *self.node.farms.values()) for fd in pair)
        for post in self.posts:
            yield from (post.card_fd, post.bell_write_fd, post.crew_dispatcher_fd, post.sheet_fd)
        for child in self.children:
            yield from (fd for fd in (child.link_fd, child.output_fd) if fd >= 0)
        yield from (spec.lock_fd for spec in self.daemons if spec.lock_fd >= 0)
        yield from (listener.fd for listener in self.listeners)
        yield from (fd for door in self.doors for fd in (door.fd, *door.secrets))
        if self.fifo is not None:
            yield self.fifo.fd


def encode(heritage: Heritage) -> bytes:
    """For the memfd."""
    return _MAGIC + b"%d\n" % FORMAT + json.dumps(record.write(heritage)).encode("ascii")


def decode(data: bytes) -> Heritage:
    """Raises: RemoteProtocolError: these bytes are none, or of a format that is not known; says what is wrong."""
    first, _, text = data.partition(b"\n")
    number = first.removeprefix(_MAGIC)
    if not data.startswith(_MAGIC) or not number.isdigit():
        raise RemoteProtocolError(f"what the old master leaves begins with {first[:40]!r}: expected m2serve-upgrade")
    if int(number) != FORMAT:
        raise RemoteProtocolError(f"what the old master leaves has format {int(number)}: expected {FORMAT}")
    try:
        found: Any = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise RemoteProtocolError(f"what the old master leaves is not JSON: {error}") from None
    heritage: Heritage = record.read(Heritage, found, _NAMES, "state")
    return heritage


def store(heritage: Heritage) -> int:
    """Write it into a new memfd, close-on-exec; returns its descriptor."""
    data = memoryview(encode(heritage))
    fd = os.memfd_create("m2serve-upgrade")
    while data:
        data = data[os.write(fd, data) :]
    return fd


def take(environment: MutableMapping[str, str], master: int) -> Heritage | None:
    """What was left to us; None: nothing, this is a start like any other.

    The variable is removed, and the memfd closed.

    Args: master: the pid of whom it must be from.

    Raises: ConfigError: it cannot be read, or is meant for another.
    """
    text = environment.pop(VARIABLE, None)
    if text is None:
        return None
    if not text.isdigit():
        raise ConfigError(f"{VARIABLE}={text}: expected the number of a descriptor")
    fd = int(text)
    try:
        data = os.pread(fd, _MOST, 0)
        os.close(fd)
    except OSError as error:
        raise ConfigError(f"{VARIABLE}={text}: {error.strerror}") from None
    try:
        heritage = decode(data)
    except RemoteProtocolError as error:
        raise ConfigError(f"upgrade: {error}") from None
    for one in heritage.fds():
        # A trial has got the numbers only.
        with contextlib.suppress(OSError):
            os.set_inheritable(one, False)
    if heritage.master != master:
        raise ConfigError(f"{VARIABLE} is from pid {heritage.master}: expected {master}")
    return heritage
