"""Performs what the policies decided; the only place that kills."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from m2serve.ids import Seconds, WorkerId
from m2serve.master import actions, stuck
from m2serve.master.board import Slot
from m2serve.master.child import Child, ChildKind, ChildState
from m2serve.master.generation import Generation, GenerationState, ReloadKind
from m2serve.master.policies.respawn import FIRST_DELAY, delay_after
from m2serve.master.programs import Program
from m2serve.plugin.hooks import Hooks
from m2serve.system import stacks
from m2serve.system.link import Link
from m2serve.transports.node import WorkerPost
from m2serve.transports.sheet import create_sheet
from m2serve.wire.link import Verb

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    from m2serve.errors import ExitCode
    from m2serve.master.board import Board
    from m2serve.master.jobs import Job
    from m2serve.master.spawn import Spawner
    from m2serve.transports.node import NodeFds

log = logging.getLogger("m2serve.master")

_NOTHING: Mapping[str, Any] = {}

UNBORN_PATIENCE = Seconds(30.0)
"""From the order to the worker's first word: two forks, however large the application."""


@dataclass
class Actor:
    """Hands of the master: spawns, tells, kills."""

    board: Board
    node: NodeFds
    spawner: Spawner
    daemons: Sequence[Program]
    threads: int
    finished: ExitCode | None = None
    """Set when nothing is left to do."""
    hooks: Hooks = field(default_factory=Hooks)
    next_key: int = 1
    next_generation: int = 1

    def perform(self, action: actions.Action, now: Seconds) -> None:
        match action:
            case actions.Spawn(slot):
                self._spawn(slot, now)
            case actions.Drain(child, reason, deadline):
                self._drain(child, reason, deadline)
            case actions.Yield(child):
                self._yield(child)
            case actions.ReplaceWorkers():
                self.board.inherited = False
                self.board.reload_wanted = ReloadKind.GRACEFUL
            case actions.Stop(child, reason, deadline, reload):
                self._stop(child, reason, deadline, reload)
            case actions.Kill(child, reason, accident):
                child.accident = accident
                self._kill(child, reason)
            case actions.OpenGeneration(kind):
                self.open_generation(kind, now)
            case actions.Grow(generation, worker):
                self._add_slot(generation, worker, now)
            case actions.Release(slot):
                self.board.slots.remove(slot)
            case actions.Renew(slot, reason):
                self._renew(slot, reason, now)
            case actions.Promote(slot):
                slot.replaces = None
            case actions.Dismiss(slot, old, until):
                self.board.slots.remove(slot)
                old.stays_until = until
                log.error("%s stays: its successor does not come up; next attempt in %.0f s", old.name, until - now)
            case actions.Cut(generation, reason, given_up):
                self._cut(generation, reason, given_up)
            case actions.Serve(generation):
                self._serve(generation, now)
            case actions.Retire(generation, reason, given_up):
                self._retire(generation, reason, given_up)
            case actions.Accuse(child, late):
                stuck.accuse(child, late, now)
            case actions.AskStacks(child):
                stuck.ask(child, self.node, stacks.ALL, now)
            case actions.Execute(child):
                stuck.tell_silent(child, self.node, self.board, now)
                self._kill(child, "harakiri, it does not answer")
            case actions.AskStack(child):
                stuck.ask(child, self.node, stacks.MAIN, now)
            case actions.TellLoading(child):
                stuck.tell_loading(child, self.node, self.board, now)
            case actions.GiveUp(child):
                stuck.give_up_loading(child, self.node, self.board, now)
                self._kill(child, "worker-start-timeout")
            case actions.Run(job):
                self._run(job, now)
            case actions.Skip(job):
                job.due = False
                # Tests wait for this line.
                log.info("%s is not started: it still runs (pid: %d)", job.program.name, job.running[-1].pid)
            case actions.Order(order):
                log.critical("stopping: %s", order.reason)
                self.board.stop = order
            case actions.Finish(code):
                self.finished = code

    def open_generation(self, kind: ReloadKind, now: Seconds) -> None:
        """Empty slots; the respawn policy fills them."""
        self.board.reload_wanted = None
        size, preload = self.board.wanted, self.board.preload
        generation = Generation(self.next_generation, size, now, kind, preload=preload)
        self.next_generation += 1
        self.board.generations.append(generation)
        if preload:
            name = f"nursery {generation.number}"
            self.board.slots.append(Slot(ChildKind.NURSERY, name, generation.number, due=now))
        for number in range(1, min(size, 1 if kind is ReloadKind.CHAIN else size) + 1):
            self._add_slot(generation, WorkerId(number), now)
        if generation.number > 1:
            self.hooks("reload", kind=kind.value, generation=generation.number)
            log.info("%s: generation %d starts beside the old one", kind.value, generation.number)

    def _add_slot(self, generation: Generation, worker: WorkerId, now: Seconds) -> None:
        self.board.slots.append(Slot(ChildKind.WORKER, f"worker {worker}", generation.number, worker, due=now))

    def _renew(self, old: Slot, reason: str, now: Seconds) -> None:
        # Tests wait for this line.
        log.info("%s is to be replaced: %s", old.name, reason)
        slot = Slot(ChildKind.WORKER, old.name, old.generation, old.worker, due=now, replaces=old)
        self.board.slots.append(slot)

    def _cut(self, generation: Generation, reason: str, given_up: bool) -> None:
        generation.move(GenerationState.SERVING, f"chain cut: {reason}")
        generation.failed = False
        if given_up:
            kept = len(self.board.slots_of(generation))
            # Tests wait for this line.
            log.error("chain reload given up: %s; %d new workers go on beside the old ones", reason, kept)
            self.board.last_reload = f"chain reload given up: {reason}"
            self.hooks("reload_failed", kind=generation.kind.value, reason=reason)

    def _serve(self, generation: Generation, now: Seconds) -> None:
        generation.move(GenerationState.SERVING, "all ready")
        generation.failed = False
        self.board.served = True
        self.board.last_reload = ""
        if generation.size:
            # Tests wait for this line.
            log.info("all %d workers ready in %.2f s", generation.size, now - generation.started)
        else:
            # Tests wait for this line.
            log.info("no worker is wanted before a request comes")
        if generation.number > 1 and generation.kind is not ReloadKind.CHAIN:
            # They run the application's code, too. As in uWSGI a chain leaves them alone.
            for slot in self.board.slots:
                if slot.kind is ChildKind.DAEMON and not slot.gate:
                    slot.renew = generation.kind.value
        self.hooks("serving", generation=generation.number, seconds=now - generation.started)

    def _retire(self, generation: Generation, reason: str, given_up: bool) -> None:
        generation.move(GenerationState.RETIRING, reason)
        self.board.slots = [slot for slot in self.board.slots if slot.generation != generation.number]
        # Its workers, if it has any, are buried later.
        self.board.forget_retired()
        if given_up:
            # Tests wait for this line.
            log.error("%s given up: %s; the old generation goes on", generation.kind.value, reason)
            self.board.last_reload = f"{generation.kind.value} given up: {reason}"
            self.hooks("reload_failed", kind=generation.kind.value, reason=reason)

    def _spawn(self, slot: Slot, now: Seconds) -> None:
        child = Child(slot.kind, self._key(), slot.name, slot.generation, slot.worker, started=now)
        try:
            self._fork(child, slot)
        except OSError as error:
            slot.short_lives += 1
            slot.due = Seconds(now + max(delay_after(slot.short_lives), FIRST_DELAY))
            log.error("cannot spawn %s: %s; next attempt in %.1f s", slot.name, error, slot.due - now)
            return
        slot.child = child
        self.board.children.append(child)
        slot.died, slot.renew = False, ""
        if not child.pid:
            child.deadline = Seconds(now + UNBORN_PATIENCE)
            return
        threads = f", threads: {self.threads}" if slot.kind is ChildKind.WORKER else ""
        # Tests wait for this line.
        log.info("spawned %s (pid: %d%s)", slot.name, child.pid, threads)
        child.move(ChildState.STARTING, "spawned")

    def try_program(
        self, argv: Sequence[str], environment: Mapping[str, str], directory: str, state: int, now: Seconds
    ) -> tuple[Child, int]:
        """Run the program that is to go on, beside us; returns the read end of what it prints.

        Raises: OSError: no process is to be had.
        """
        program = Program("trial", tuple(argv), " ".join(argv), directory, environment)
        child = Child(ChildKind.TRIAL, self._key(), program.name, started=now, program=program)
        child.pid, output = self.spawner.trial(program, state)
        self.board.children.append(child)
        child.move(ChildState.STARTING, "spawned")
        return child, output

    def _key(self) -> int:
        self.next_key += 1
        return self.next_key - 1

    def _fork(self, child: Child, slot: Slot) -> None:
        if slot.kind is ChildKind.DAEMON:
            child.program = self.daemons[slot.daemon]
            if child.program.number:
                child.pid = self.spawner.mule(child.program)
            else:
                child.pid, child.output = self.spawner.program(child.program)
        elif slot.kind is ChildKind.DISPATCHER:
            child.pid, child.link = self.spawner.dispatcher()
        elif slot.kind is ChildKind.NURSERY:
            self._fork_nursery(child, first=not slot.was_ready)
        else:
            self._fork_worker(child, slot)

    def _fork_nursery(self, child: Child, *, first: bool) -> None:
        sheet = create_sheet(1)
        try:
            child.pid, child.link = self.spawner.nursery(child.generation, sheet, first=first)
        except OSError:
            os.close(sheet)
            raise
        self.node.nurseries[child.key] = sheet

    def _fork_worker(self, child: Child, slot: Slot) -> None:
        self.hooks("spawn", worker=child.worker, key=child.key)
        generation = self.board.generation(child.generation)
        preloaded = generation is not None and generation.preload and self.board.stop is None
        post = WorkerPost.create(child.key, child.worker, self.threads)
        post.first = not slot.was_ready and slot.replaces is None
        try:
            if preloaded:
                child.link = self._order(post, child.generation)
            else:
                child.pid, child.link = self.spawner.worker(post)
        except OSError:
            post.close()
            raise
        self.node.posts[child.key] = post
        dispatcher = self.board.dispatcher
        # One that is forked later inherits the post.
        if dispatcher is not None and dispatcher.link is not None:
            payload = {"worker": child.worker, "key": child.key, "threads": self.threads}
            dispatcher.link.send(Verb.WORKER, payload, post.dispatcher_fds())

    def _run(self, job: Job, now: Seconds) -> None:
        child = self.command(job.program, job.harakiri, now)
        if child is None:
            job.due = False
        else:
            job.began(child)

    def command(self, program: Program, harakiri: Seconds, now: Seconds) -> Child | None:
        """Run it once, for so long at most (0: for ever); None: there is no process to be had."""
        child = Child(ChildKind.COMMAND, self._key(), program.name, started=now, program=program)
        logger = log if not program.stdin else logging.getLogger(f"m2serve.{program.name}")
        try:
            child.pid, child.output = self.spawner.program(program)
        except OSError as error:
            logger.error("%s cannot be started: %s; next attempt at its next time", program.name, error)
            return None
        # Tests wait for this line.
        logger.info("%s (pid: %d) started: %s", child.name, child.pid, program.command)
        self.board.children.append(child)
        child.move(ChildState.STARTING, "its time has come")
        if harakiri:
            child.deadline = Seconds(now + harakiri)
        return child

    def _order(self, post: WorkerPost, generation: int) -> Link:
        """Have the nursery fork a worker, which then says BORN over the link that this gives."""
        nursery = self.board.nursery(generation)
        if nursery is None or nursery.link is None:
            raise OSError("its nursery has gone")
        ours, theirs = Link.pair()
        payload = {"key": post.key, "worker": post.worker, "threads": post.threads, "first": post.first}
        sent = nursery.link.send(Verb.SPAWN, payload, [theirs.fileno(), *post.worker_fds()])
        theirs.close()
        if not sent:
            ours.close()
            raise OSError("its nursery does not listen any more")
        post.close_worker_side()
        return ours

    def _drain(self, child: Child, reason: str, deadline: Seconds) -> None:
        child.move(ChildState.DRAINING, reason)
        child.deadline = deadline
        if child.kind is ChildKind.DISPATCHER:
            self._tell(child, Verb.STOP)
        else:
            self._tell(child, Verb.DRAIN, {"final": self.board.stop is not None})

    def _yield(self, child: Child) -> None:
        log.info("%s (pid: %d) is to leave to its successor", child.name, child.pid)
        child.yielding = True
        self._tell(child, Verb.YIELD)

    def _stop(self, child: Child, reason: str, deadline: Seconds, reload: bool) -> None:
        child.move(ChildState.STOPPING, reason)
        child.deadline = deadline
        program = child.program
        if program is not None:
            _signal(child, program.reload_signal if reload else program.stop_signal)
        else:
            self._tell(child, Verb.DRAIN if child.kind is ChildKind.DISPATCHER else Verb.STOP)

    def _kill(self, child: Child, reason: str) -> None:
        log.warning("%s (pid: %d) is killed: %s", child.name, child.pid, reason)
        child.move(ChildState.KILLED, reason)
        _signal(child, signal.SIGKILL)

    def bury_alive(self, child: Child) -> None:
        """The master breaks off: no child may stay, nor be waited for longer than a SIGKILL takes."""
        _signal(child, signal.SIGKILL)
        if child.pid:
            with contextlib.suppress(ChildProcessError):
                os.waitpid(child.pid, 0)
        if child.link is not None:
            child.link.close()

    def _tell(self, child: Child, verb: Verb, payload: Mapping[str, Any] = _NOTHING) -> None:
        if child.link is not None:
            child.link.send(verb, payload)


def _signal(child: Child, number: int) -> None:
    if not child.pid:
        return  # not born yet; 0 would mean our own group
    if child.is_program:
        # The whole group; there is none yet if the child has not come to setsid.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, number)
            return
    with contextlib.suppress(ProcessLookupError):
        os.kill(child.pid, number)
