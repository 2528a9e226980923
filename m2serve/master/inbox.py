"""What children say over their links, and what it changes."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from m2serve.errors import RemoteProtocolError
from m2serve.ids import Pid, Seconds
from m2serve.master import stuck
from m2serve.master.board import STOP_GRACE
from m2serve.master.child import Child, ChildKind, ChildState
from m2serve.master.generation import GenerationState
from m2serve.system.fds import close_quietly
from m2serve.system.link import EOF
from m2serve.wire.link import Verb

if TYPE_CHECKING:
    from collections.abc import Iterable

    from m2serve.master.board import Board, Slot
    from m2serve.system.link import Received
    from m2serve.transports.node import NodeFds

log = logging.getLogger("m2serve.master")

BROKEN_LINK_PATIENCE = Seconds(5.0)
"""A child whose link is at its end is dying, or cannot be told anything any more and must."""


@dataclass
class Inbox:
    """Reads links. *dead_keys* are workers whose posts wait for the dispatcher to settle their requests."""

    board: Board
    node: NodeFds
    dead_keys: set[int] = field(default_factory=set)
    _settled: set[int] = field(default_factory=set)
    _reported: dict[tuple[int, str], int] = field(default_factory=dict)

    def read(self, child: Child, now: Seconds) -> None:
        """Take all that has come from *child*."""
        while child.link is not None:
            try:
                message = child.link.receive()
            except RemoteProtocolError as error:
                log.error("%s (pid: %d): %s", child.name, child.pid, error)
                continue
            if message is None:
                return
            if message is EOF:
                child.link.close()
                child.link = None
                if child.deadline is None:
                    child.deadline = Seconds(now + BROKEN_LINK_PATIENCE)
                return
            self._take(child, message, now)

    def waiting_posts(self) -> tuple[set[int], set[int]]:
        """Keys of the dead that are not settled, and of the settled that are not buried."""
        return self.dead_keys, self._settled

    def wait_for(self, dead_keys: Iterable[int], settled: Iterable[int]) -> None:
        """What the master before us was waiting for."""
        self.dead_keys.update(dead_keys)
        self._settled.update(settled)

    def buried(self, child: Child) -> None:
        """A worker has died: its post goes, now or when the dispatcher has settled what it left."""
        sheet = self.node.nurseries.pop(child.key, None)
        if sheet is not None:
            close_quietly(sheet)
        if child.kind is not ChildKind.WORKER or child.key not in self.node.posts:
            return
        if self.board.dispatched and child.key not in self._settled:
            self.dead_keys.add(child.key)
            return
        self._settled.discard(child.key)
        self.node.posts.pop(child.key).close()

    def _take(self, child: Child, message: Received, now: Seconds) -> None:
        kept: tuple[int, ...] = ()
        child.heard = now
        try:
            match child.kind, message.verb:
                case (_, Verb.READY):
                    self._ready(child, message, now)
                case (ChildKind.WORKER | ChildKind.NURSERY, Verb.FAILED):
                    self._failed(child, message)
                case (ChildKind.WORKER, Verb.STUCK):
                    stuck.confess(child, message.payload, self.board, now)
                case (ChildKind.WORKER, Verb.RENEW):
                    child.unwanted = str(message.payload.get("reason", "it has asked for it"))
                case (ChildKind.WORKER, Verb.ALIVE):
                    pass  # it has been heard
                case (ChildKind.NURSERY, Verb.UNFIT):
                    self._unfit(child, message, now)
                case (ChildKind.WORKER | ChildKind.NURSERY, Verb.FILES):
                    self.board.sources.update(str(file) for file in message.payload["files"])
                case (ChildKind.WORKER, Verb.BORN):
                    self._born(child, message, now)
                case (ChildKind.WORKER, Verb.LEAVING):
                    self._leaving(child, message, now)
                case (ChildKind.DISPATCHER, Verb.PULL):
                    kept = self._pull(message)
                case (ChildKind.DISPATCHER, Verb.DROP):
                    self._drop(int(message.payload["endpoint"]))
                case (ChildKind.DISPATCHER, Verb.QUIET):
                    self.board.quiet = True
                    log.info("dispatcher is quiet: nothing queued, held or running")
                case (ChildKind.DISPATCHER, Verb.WORK):
                    self._wake()
                case (ChildKind.DISPATCHER, Verb.ALIVE):
                    self.board.dispatcher_heard = now
                case (ChildKind.DISPATCHER, Verb.SETTLED):
                    self._settle(int(message.payload["key"]))
                case _:
                    log.error("%s (pid: %d) said %s out of place", child.name, child.pid, message.verb.value)
        except (KeyError, TypeError, ValueError) as error:
            log.error("%s: broken %s message: %r", child.name, message.verb.value, error)
        for fd in message.fds:
            if fd not in kept:
                close_quietly(fd)

    def _born(self, child: Child, message: Received, now: Seconds) -> None:
        if child.state is not ChildState.NEW:
            return
        child.pid = Pid(int(message.payload["pid"]))
        child.deadline = None
        # Tests wait for this line.
        log.info("spawned %s (pid: %d, threads: %d)", child.name, child.pid, self.node.posts[child.key].threads)
        child.move(ChildState.STARTING, f"forked by nursery {child.generation}")
        if self._slot(child) is None and child.link is not None:
            # Its place was given up while it was forked.
            child.move(ChildState.STOPPING, "not wanted any more")
            child.deadline = Seconds(now + STOP_GRACE)
            child.link.send(Verb.STOP, {})

    def _unfit(self, child: Child, message: Received, now: Seconds) -> None:
        """The nursery leaves, and its workers load the application themselves, as do all to come."""
        child.move(ChildState.DRAINING, "not to be forked")
        child.deadline = Seconds(now + self.board.mercy)
        self.board.slots = [slot for slot in self.board.slots if slot.child is not child]
        self.board.preload = False
        self.board.unfit = str(message.payload.get("reason", ""))
        for generation in self.board.generations:
            if generation.number == child.generation:
                generation.preload = False
        # Tests wait for this line.
        log.warning(
            "the application cannot be preloaded: %s; each worker loads it, as with lazy-apps", self.board.unfit
        )

    def _ready(self, child: Child, message: Received, now: Seconds) -> None:
        child.threads = tuple(str(one) for one in message.payload.get("threads", ()))
        child.natives = tuple((int(one), int(native)) for one, native in message.payload.get("natives", ()))
        child.own_deadlines = bool(message.payload.get("deadlines", False))
        child.apps = tuple(str(one) for one in message.payload.get("apps", ()))
        child.loading = Seconds(float(message.payload.get("seconds", 0.0)))
        if child.state is not ChildState.STARTING:
            return
        child.move(ChildState.READY, "ready")
        slot = self._slot(child)
        if slot is not None:
            slot.was_ready = True
        if child.kind is ChildKind.DISPATCHER:
            return
        generation = self.board.generation(child.generation)
        if generation is not None and generation.state is GenerationState.SERVING and not child.failed:
            generation.failed = False
        if child.kind is ChildKind.NURSERY:
            # Tests wait for this line.
            log.info("%s has loaded the application in %.2f s (pid: %d)", child.name, child.loading, child.pid)
            return
        preloaded = generation is not None and generation.preload
        seconds = now - child.started if preloaded else child.loading
        threads = " ".join(child.threads) or "-"
        # Tests wait for this line.
        log.info("%s ready in %.2f s (pid: %d) threads: %s", child.name, seconds, child.pid, threads)

    def _failed(self, child: Child, message: Received) -> None:
        child.failed = True
        child.failure = str(message.payload.get("summary", "the application cannot be loaded"))
        generation = self.board.generation(child.generation)
        if generation is not None:
            generation.failed = True
        seen = (child.generation, child.failure)
        times = self._reported[seen] = self._reported.get(seen, 0) + 1
        if times == 1:
            traceback = str(message.payload.get("traceback", "")).rstrip()
            # Tests wait for this line.
            log.error("%s cannot load the application: %s\n%s", child.name, child.failure, traceback)
        elif times == 2:
            log.error("further workers fail the same way: %s", child.failure)
        if child.kind is ChildKind.WORKER and not self.board.need_app:
            self._tell_failed(child)

    def _tell_failed(self, child: Child) -> None:
        """Have it answer 500, unless it is to go: where others serve, nobody shall see that it failed."""
        slot, generation = self._slot(child), self.board.generation(child.generation)
        if slot is None or generation is None or slot.replaces is not None or child.link is None:
            return
        older = [one for one in self.board.generations if one.number < generation.number and one.current]
        if not older or generation.state is GenerationState.SERVING:
            child.link.send(Verb.SERVE)

    def _leaving(self, child: Child, message: Received, now: Seconds) -> None:
        if child.state not in (ChildState.STARTING, ChildState.READY):
            return
        child.move(ChildState.DRAINING, str(message.payload.get("reason", "by itself")))
        child.deadline = Seconds(now + self.board.mercy)
        slot = self._slot(child)
        if slot is not None:
            # The replacement starts beside it.
            slot.child = None
            slot.due = now

    def _pull(self, message: Received) -> tuple[int, ...]:
        endpoint = int(message.payload["endpoint"])
        (fd,) = message.fds
        self._drop(endpoint)
        self.node.pulls[endpoint] = fd
        return (fd,)

    def _drop(self, endpoint: int) -> None:
        fd = self.node.pulls.pop(endpoint, None)
        if fd is not None:
            close_quietly(fd)

    def _wake(self) -> None:
        if self.board.asleep:
            self.board.wake()
            # Tests wait for this line.
            log.info("a request waits: %d workers wanted", self.board.wanted)

    def _settle(self, key: int) -> None:
        if key in self.dead_keys:
            self.dead_keys.discard(key)
            self.node.posts.pop(key).close()
        elif key in self.node.posts:
            # The dispatcher has seen the end of the crew link before we have reaped.
            self._settled.add(key)

    def _slot(self, child: Child) -> Slot | None:
        return next((slot for slot in self.board.slots if slot.child is child), None)
