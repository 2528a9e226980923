"""Descriptors that the master makes before it forks and keeps for whoever comes later."""

from __future__ import annotations

import os
import socket
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from m2serve.errors import ConfigError
from m2serve.front import Front
from m2serve.transports.card import create_card
from m2serve.transports.ledger import MAX_ENDPOINTS, MAX_WORKERS, create_ledger
from m2serve.transports.sheet import create_sheet

if TYPE_CHECKING:
    from collections.abc import Sequence

    from m2serve.door import Door
    from m2serve.endpoint import ZmqPair
    from m2serve.ids import WorkerId


@dataclass(slots=True)
class WorkerPost:
    """One worker's mailbox: card, bell, and the crew link to the dispatcher.

    The bell is a pipe on which idle threads sleep; the kernel wakes one of them for each byte.

    The master makes it, the worker inherits it, the dispatcher inherits it or is sent it. The master keeps the
    dispatcher's side until the dispatcher has settled a dead worker's requests.
    """

    key: int
    worker: WorkerId
    threads: int
    card_fd: int
    bell_read_fd: int
    bell_write_fd: int
    crew_dispatcher_fd: int
    crew_worker_fd: int
    sheet_fd: int
    """Its score sheet; the dispatcher looks into it when the worker has died."""
    first: bool = True
    """It is not to replace one that has died."""

    @classmethod
    def create(cls, key: int, worker: WorkerId, threads: int) -> WorkerPost:
        """Make all descriptors; *key* is unique for the life of the node."""
        if worker >= MAX_WORKERS:
            raise ConfigError(f"worker {worker}: at most {MAX_WORKERS - 1} workers")
        bell_read, bell_write = os.pipe()
        os.set_blocking(bell_write, False)
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        return cls(
            key,
            worker,
            threads,
            create_card(threads),
            bell_read,
            bell_write,
            ours.detach(),
            theirs.detach(),
            create_sheet(threads),
        )

    def dispatcher_fds(self) -> list[int]:
        """What the WORKER message carries, in this order: card, crew link, bell, sheet."""
        return [self.card_fd, self.crew_dispatcher_fd, self.bell_write_fd, self.sheet_fd]

    def worker_fds(self) -> list[int]:
        """What the worker keeps, and what a SPAWN message carries behind the link."""
        return [self.card_fd, self.sheet_fd, self.crew_worker_fd, self.bell_read_fd, self.bell_write_fd]

    @classmethod
    def from_fds(cls, key: int, worker: WorkerId, threads: int, fds: Sequence[int]) -> WorkerPost:
        """The dispatcher's view of a WORKER message."""
        card, crew, bell, sheet = fds
        return cls(key, worker, threads, card, -1, bell, crew, -1, sheet)

    @classmethod
    def for_worker(cls, key: int, worker: WorkerId, threads: int, fds: Sequence[int]) -> WorkerPost:
        """The worker's view of a SPAWN message: of ``worker_fds``, in their order."""
        card, sheet, crew, bell_read, bell_write = fds
        return cls(key, worker, threads, card, bell_read, bell_write, -1, crew, sheet)

    def close_worker_side(self) -> None:
        """In the master after the fork: from now on the worker's death closes the crew link."""
        if self.crew_worker_fd >= 0:
            os.close(self.crew_worker_fd)
            os.close(self.bell_read_fd)
            self.crew_worker_fd = self.bell_read_fd = -1

    def close(self) -> None:
        """Close everything."""
        for fd in self.dispatcher_fds():
            os.close(fd)
        self.close_worker_side()


@dataclass(slots=True)
class NodeFds:
    """What one m2serve shares among its processes."""

    endpoints: tuple[ZmqPair, ...]
    ring_size: int
    ledger_fd: int
    wake_fd: int
    pulls: dict[int, int] = field(default_factory=dict)
    """Endpoint number to the kept descriptor of its PUSH connection."""
    posts: dict[int, WorkerPost] = field(default_factory=dict)
    nurseries: dict[int, int] = field(default_factory=dict)
    """Key of a nursery to the descriptor of its sheet, which has its stack when it is asked for that."""
    fronts: tuple[Front, ...] = ()
    """What is known of the Mongrel2 behind each endpoint; by default nothing."""
    doors: tuple[Door, ...] = ()
    """Sockets that workers accept from. The master owns the descriptors; `close` leaves them alone."""
    secrets: tuple[int, ...] = ()
    """What workers have to inherit besides: files of certificates that they could not read. The same holds for them."""
    caches: dict[str, int] = field(default_factory=dict)
    """Name of a cache of the applications' to the descriptor of its memory."""
    boxes: tuple[tuple[int, int], ...] = ()
    """Messages to mules: for any of them, then for each. Pairs of descriptors, to read from and to write to."""
    farms: dict[str, tuple[int, int]] = field(default_factory=dict)
    """The same for each group of mules, by its name."""
    master: int = field(default_factory=os.getpid)
    """Pid of the process that has made it."""
    started: float = field(default_factory=time.monotonic)
    """When, in monotonic seconds."""

    def __post_init__(self) -> None:
        self.fronts = self.fronts or tuple(Front(pair) for pair in self.endpoints)

    @classmethod
    def create(cls, fronts: Sequence[Front], request_buffer: int) -> NodeFds:
        """Make the ledger; *request_buffer* is the size of each endpoint's ring in bytes."""
        endpoints = tuple(front.pair for front in fronts)
        if len(endpoints) > MAX_ENDPOINTS:
            raise ConfigError(f"zeromq: {len(endpoints)} Mongrel2 servers, at most {MAX_ENDPOINTS} expected")
        return cls(
            endpoints,
            request_buffer,
            create_ledger(len(endpoints), request_buffer),
            os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK),
            fronts=tuple(fronts),
        )

    def fds(self) -> list[int]:
        """All that a dispatcher keeps."""
        kept = [self.ledger_fd, self.wake_fd, *self.pulls.values()]
        for post in self.posts.values():
            kept += post.dispatcher_fds()
        return kept

    def box_fds(self) -> list[int]:
        """Both ends of all boxes."""
        return [fd for pair in (*self.boxes, *self.farms.values()) for fd in pair]

    def sheet_fd(self, key: int) -> int | None:
        """The sheet of a worker or of a nursery, as long as it is kept."""
        post = self.posts.get(key)
        return post.sheet_fd if post is not None else self.nurseries.get(key)

    def close(self) -> None:
        """Close everything."""
        caches = self.caches.values()
        for fd in (self.ledger_fd, self.wake_fd, *self.pulls.values(), *self.nurseries.values(), *caches):
            os.close(fd)
        for fd in self.box_fds():
            os.close(fd)
        self.farms.clear()
        self.caches.clear()
        self.boxes = ()
        self.pulls.clear()
        self.nurseries.clear()
        for post in self.posts.values():
            post.close()
        self.posts.clear()
