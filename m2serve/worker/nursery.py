"""Entry of a nursery: loads the application once, then forks the workers of its generation from what it has loaded.

It serves nothing and has one thread. A worker that it forks is the master's child, not its own, and outlives it.
"""

from __future__ import annotations

import logging
import os
import select
import signal
import socket
from typing import TYPE_CHECKING

from m2serve.apps.forkable import obstacles, sockets
from m2serve.errors import ExitCode
from m2serve.ids import WorkerId
from m2serve.observe.log import reopen, rest
from m2serve.system import stacks
from m2serve.system.link import EOF, Link
from m2serve.system.orphan import beget
from m2serve.system.title import set_title
from m2serve.transports import sheet as sheets
from m2serve.transports.node import WorkerPost
from m2serve.transports.sheet import Sheet
from m2serve.wire.link import Verb
from m2serve.worker import imports, main
from m2serve.worker.loading import load

if TYPE_CHECKING:
    from collections.abc import Sequence

    from m2serve.config.settings import Settings
    from m2serve.plugin.hooks import Hooks
    from m2serve.system.link import Received
    from m2serve.system.privileges import Privileges
    from m2serve.transports.node import NodeFds
    from m2serve.worker.loading import Loaded

log = logging.getLogger("m2serve.worker")


def run(
    settings: Settings,
    link: Link,
    node: NodeFds,
    master: int,
    sheet_fd: int,
    hooks: Hooks | None = None,
    late: Privileges | None = None,
) -> int:
    """Load, then fork as the master orders, until it says that no more are wanted; gives the exit code.

    Args:
        sheet_fd: a sheet, for our stack when the load takes long.
        late: whom we, and so the workers, become when the application is loaded.
    """
    stacks.listen(sheet_fd)
    Sheet(sheet_fd, 1).head[sheets.LISTENS] = 1
    before = sockets()
    loaded = load(settings, node, late=late)
    imports.tell(link, loaded.files)
    if loaded.failure:
        link.send(Verb.FAILED, loaded.failure)
        if settings.need_app:
            return ExitCode.APP_LOAD
    rest()  # what has been logged meanwhile may have opened connections of ours
    found = obstacles(before)
    if found and not settings.preload:
        link.send(Verb.UNFIT, {"reason": "; ".join(found)})
        return ExitCode.OK
    if found:
        log.warning("preload: workers will have no such thread, and share such connections: %s", "; ".join(found))
    link.send(Verb.READY, {"seconds": round(loaded.seconds, 3)})
    return _Nursery(settings, link, node, master, sheet_fd, loaded, hooks).run()


class _Nursery:
    def __init__(
        self,
        settings: Settings,
        link: Link,
        node: NodeFds,
        master: int,
        sheet_fd: int,
        loaded: Loaded,
        hooks: Hooks | None,
    ) -> None:
        self._settings = settings
        self._link = link
        self._node = node
        self._master = master
        self._sheet_fd = sheet_fd
        self._loaded = loaded
        self._hooks = hooks

    def run(self) -> int:
        poller = select.poll()
        poller.register(self._link, select.POLLIN)
        while True:
            received = self._link.receive()
            if received is None:
                poller.poll()
            elif received is EOF:
                return ExitCode.MASTER_LOST
            elif received.verb is Verb.SPAWN:
                self._spawn(received)
            elif received.verb is Verb.REOPEN:
                reopen()
            elif received.verb in (Verb.DRAIN, Verb.STOP):
                return ExitCode.OK

    def _spawn(self, order: Received) -> None:
        """Fork one worker. Its descriptors go in any case: that all copies are closed tells the master that it failed,
        or died."""
        key, worker, threads = (int(order.payload[name]) for name in ("key", "worker", "threads"))
        first = bool(order.payload.get("first", True))
        try:
            beget(self._master, lambda: self._born(key, worker, threads, order.fds, first))
        except OSError as error:
            log.error("worker %d cannot be forked: %s", worker, error)
        for fd in order.fds:
            os.close(fd)

    def _born(self, key: int, worker: int, threads: int, fds: Sequence[int], first: bool) -> int:
        """In the worker."""
        self._link.abandon()
        os.close(self._sheet_fd)
        link = Link(socket.socket(fileno=fds[0]))
        set_title(f"worker {worker}", self._settings)
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        if not link.send(Verb.BORN, {"pid": os.getpid()}):
            return ExitCode.MASTER_LOST
        post = WorkerPost.for_worker(key, WorkerId(worker), threads, fds[1:])
        post.first = first
        return main.run(self._settings, link, self._node, post, self._hooks, self._loaded)
