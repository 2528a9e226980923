"""What there is to tell about a server at one moment; the stats document is made of it.

Times are seconds since the epoch, durations microseconds, sizes bytes.
"""

from __future__ import annotations

from typing import Final, NamedTuple

QUEUE_BOUNDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
"""Seconds that requests waited: they are counted by the first of these that is not less, or behind the last."""


class RunningRequest(NamedTuple):
    """What a thread is doing."""

    method: str
    uri: str
    """As the client wrote it, cut at 368 bytes."""
    request_id: str
    started: float
    elapsed: int


class Core(NamedTuple):
    """One request thread of one life."""

    uuid: str = ""
    requests: int = 0
    busy: int = 0
    sent: int = 0
    average: int = 0
    """Uneven mean of the last requests, uWSGI's way."""
    exceptions: int = 0
    read_errors: int = 0
    write_errors: int = 0
    garbage: int = 0
    offloaded: int = 0
    """Requests whose answers went on without the thread."""
    files: int = 0
    """Requests that were answered with a static file."""
    request: RunningRequest | None = None


class App(NamedTuple):
    """One application of one life."""

    mountpoint: str
    requests: int
    exceptions: int


class Life(NamedTuple):
    """One worker process."""

    key: int
    pid: int
    generation: int
    state: str
    ready: bool
    started: float
    loading: float
    """Seconds until the application was loaded; 0: not yet."""
    rss: int
    vsz: int
    cores: tuple[Core, ...]
    apps: tuple[App, ...]
    aside: Core = Core()
    """Answers that went on without their thread."""
    harakiris: int = 0
    refused: int = 0
    """As in :class:`Totals`."""


class Totals(NamedTuple):
    """Of lives that are over."""

    requests: int = 0
    exceptions: int = 0
    busy: int = 0
    sent: int = 0
    harakiris: int = 0
    refused: int = 0
    """Requests at doors that were answered in place of a thread, or not at all."""


class Worker(NamedTuple):
    """All lives under one number; during a reload there are two or more at a time. Number 0: never started."""

    number: int
    spawns: int
    past: Totals
    lives: tuple[Life, ...]


class Socket(NamedTuple):
    """One Mongrel2."""

    name: str
    epoch: int
    """Connections to its PUSH so far; 0 also in the direct topology."""
    queued: int
    oldest: int
    """Age of the oldest request in its queue."""


class Listening(NamedTuple):
    """A socket of our own."""

    name: str
    protocol: str
    waiting: int
    """Connections that nobody has accepted yet."""
    most: int
    """How many may wait."""
    dropped: int
    """Attempts to connect that found no room; of TCP alone."""
    shared: bool


class Dispatcher(NamedTuple):
    """What the dispatcher says of itself."""

    pid: int
    state: str
    lives: int
    handed: int
    waiting: int
    parked: int
    running: int
    draining: int
    queue_time: int
    answered: dict[str, int]
    garbage: int
    disconnects: int
    waited: int = 0
    """Nanoseconds that all requests together have waited for a thread."""
    waits: tuple[int, ...] = ()
    """Requests handed out, by how long they waited; those of a quarter of a second with the mean of these."""


class Nursery(NamedTuple):
    """The process that workers of one generation are forked from."""

    pid: int
    generation: int
    state: str
    loading: float
    """Seconds that the application took to load."""
    rss: int


class Daemon(NamedTuple):
    """An attached program."""

    command: str
    pid: int
    respawns: int


class Cron(NamedTuple):
    """A command that is run at its times; numbers as uWSGI has them."""

    minute: int
    hour: int
    day: int
    month: int
    week: int
    command: str
    unique: bool
    pid: int
    """Of its latest run; -1: none runs."""
    started: float
    """The latest run; 0: none yet."""
    running: int
    runs: int
    code: int
    """How the latest run that is over ended; minus a signal's number."""
    seconds: int
    """How long that took, in microseconds."""


class Cache(NamedTuple):
    """One cache of the applications'."""

    name: str
    buckets: int
    keysize: int
    max_items: int
    blocks: int
    blocksize: int
    items: int
    """Those that have expired, and were not looked for since, among them."""
    hits: int
    misses: int
    full: int
    modified: int


class Snapshot(NamedTuple):
    """All of it."""

    version: str
    pid: int
    uid: int
    gid: int
    cwd: str
    now: float
    generation: int
    """The one that serves; 0: none yet."""
    reloading: bool
    queue_limit: int
    workers: tuple[Worker, ...]
    sockets: tuple[Socket, ...]
    daemons: tuple[Daemon, ...]
    dispatcher: Dispatcher | None
    """None in the direct topology, and where there is no Mongrel2."""
    crons: tuple[Cron, ...] = ()
    wanted: int = 0
    """Workers that there should be."""
    asleep: bool = False
    """None until a request comes."""
    paused: bool = False
    """Requests are not handed out."""
    nurseries: tuple[Nursery, ...] = ()
    unfit: str = ""
    """Why there are none although they are wanted."""
    last_reload: str = ""
    """Why the last one was given up; empty if it was not."""
    doors: tuple[Listening, ...] = ()
    caches: tuple[Cache, ...] = ()
