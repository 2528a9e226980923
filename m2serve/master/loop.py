"""The master's loop: reap, one signal, messages, decide, act, sleep."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from m2serve.errors import ExitCode
from m2serve.ids import Seconds
from m2serve.master.child import Child, ChildKind, ChildState
from m2serve.master.daemons import PROBE_SECONDS, DaemonOutput, answers
from m2serve.master.policies import (
    boot,
    cron,
    daemons,
    evil,
    harakiri,
    limits,
    loading,
    mercy,
    reload,
    respawn,
    size,
    stop,
    succession,
)
from m2serve.master.reap import Death, reap
from m2serve.master.wait import wait

if TYPE_CHECKING:
    from collections.abc import Sequence

    from m2serve.ids import Pid
    from m2serve.master.act import Actor
    from m2serve.master.attachment import Attachment
    from m2serve.master.board import Board
    from m2serve.master.commands import Commands
    from m2serve.master.inbox import Inbox
    from m2serve.master.signals import SignalQueue

log = logging.getLogger("m2serve.master")

_POLICIES = (
    *(boot.decide, respawn.decide, loading.decide, succession.decide),
    *(reload.decide, limits.decide, size.decide, evil.decide),
    *(harakiri.decide, daemons.decide, cron.decide, mercy.decide, stop.decide),
)
"""Each decides on what the one before has changed: an empty slot is filled before stop counts workers."""


@dataclass
class Loop:
    """Turns events into changes of the board, and the board into actions."""

    board: Board
    actor: Actor
    inbox: Inbox
    signals: SignalQueue
    outputs: DaemonOutput
    commands: Commands
    attachments: Sequence[Attachment] = ()
    announced: bool = False

    def run(self) -> int:
        """The whole life of the server: reap, one signal, messages, decide, act, sleep."""
        while True:
            for death in reap():
                self._bury(death, clock())
            caught = self.signals.take()
            if caught is not None:
                self.commands.signal(caught, clock())
            self._probe(clock())
            now = clock()
            acted = self._decide(now)
            if self.actor.finished is not None:
                return self.actor.finished
            for attachment in self.attachments:
                acted |= attachment.turn(now)
            # After a signal another turn: a CHLD taken just now may tell of a death behind this turn's reaping.
            busy = acted or caught is not None or self.signals.pending
            due = now if busy else self._due(now)
            children, others = wait(self.signals.fileno(), self.board.children, self.attachments, due, clock())
            for child in children:
                self._listen(child, clock())
            for attachment, fd in others:
                attachment.ready(fd, clock())

    def _decide(self, now: Seconds) -> bool:
        acted = False
        for decide in _POLICIES:
            for action in decide(self.board, now):
                self.actor.perform(action, now)
                acted = True
        return acted

    def _due(self, now: Seconds) -> Seconds | None:
        dues = [
            respawn.next_due(self.board, now),
            loading.next_due(self.board),
            mercy.next_due(self.board),
            stop.next_due(self.board),
        ]
        dues += [attachment.due(now) for attachment in self.attachments]
        if any(child.state is ChildState.STARTING for child in self.board.of_kind(ChildKind.DAEMON)):
            dues.append(Seconds(now + PROBE_SECONDS))
        # What was past at *now* has been decided on in this turn; what has become due since has not.
        return min((due for due in dues if due is not None and due > now), default=None)

    def _listen(self, child: Child, now: Seconds) -> None:
        if child.is_program:
            self.outputs.read(child)
            return
        if child.link is not None and child.link.pending:
            child.link.flush()
        self.inbox.read(child, now)
        self._bury_unborn(child, now)
        self._announce()

    def _bury(self, death: Death, now: Seconds) -> None:
        child = self._find(death.pid)
        if child is None:
            # It may have died before we have heard of its birth.
            for unborn in [one for one in self.board.children if one.state is ChildState.NEW]:
                self.inbox.read(unborn, now)
                self._bury_unborn(unborn, now)
            child = self._find(death.pid)
        if child is None:
            log.info("reaped pid %d, which is none of ours: %s", death.pid, death)
            return
        self._remove(child, death, str(death), now)

    def _bury_unborn(self, child: Child, now: Seconds) -> None:
        """The other end of its link is held by nobody: not by it, who had no time for a word, nor by its nursery."""
        if child.state is ChildState.NEW and child.link is None:
            self._remove(child, Death(child.pid, ExitCode.INTERNAL), "before it was heard of", now)

    def _find(self, pid: Pid) -> Child | None:
        return next((one for one in self.board.children if one.pid == pid), None)

    def _remove(self, child: Child, death: Death, how: str, now: Seconds) -> None:
        self._last_words(child, now)
        left = child.yielding and death.code == ExitCode.OK
        expected = (child.leaving and not child.accident) or left
        child.code, child.ended = death.code, how
        child.move(ChildState.DEAD, how)
        self.board.children.remove(child)
        if not child.is_program:
            self.board.last_burial = now
        if child.kind is ChildKind.WORKER:
            self.actor.hooks("gone", worker=child.worker, key=child.key, pid=child.pid, reason=how)
        self.inbox.buried(child)
        generation = self.board.generation(child.generation)
        if generation is not None and not expected:
            if not child.was_ready:
                generation.early_deaths += 1
            if death.code == ExitCode.APP_LOAD:
                generation.failed = True
        self._vacate(child, death, how, expected, now)
        self.board.forget_retired()

    def _last_words(self, child: Child, now: Seconds) -> None:
        """What a child said before it died still counts: READY, FAILED, a descriptor to keep."""
        if child.is_program:
            self.outputs.close(child)
        self.inbox.read(child, now)
        if child.link is not None:
            child.link.close()
            child.link = None

    def _vacate(self, child: Child, death: Death, how: str, expected: bool, now: Seconds) -> None:
        job = next((one for one in self.board.jobs if child in one.running), None)
        if job is not None:
            job.ended(child, death, now)
            return
        if child.program is not None and child.kind is ChildKind.COMMAND:
            # That of an alarm is told by its own logger, whose lines raise none.
            own = logging.getLogger(f"m2serve.{child.name}") if child.program.stdin else log
            level = logging.INFO if death.code == 0 else logging.WARNING
            own.log(level, "%s (pid: %d) ended: %s", child.name, child.pid, death)
            return
        slot = next((one for one in self.board.slots if one.child is child), None)
        if slot is not None:
            slot.child = None
            slot.due = now
        if expected:
            return
        if child.kind is ChildKind.TRIAL:
            return  # somebody waits for it
        if slot is None:
            log.warning("%s (pid: %d) died: %s", child.name, child.pid, how)
            return
        slot.died = True
        slot.short_lives = respawn.short_lives_after(slot.short_lives, Seconds(now - child.started))
        longest = respawn.LONGEST_DELAY if child.program is None else child.program.longest_pause
        delay = respawn.delay_after(slot.short_lives, longest)
        slot.due = Seconds(now + delay)
        # Tests wait for this line.
        log.error("%s (pid: %d) died: %s; respawn in %.1f s", child.name, child.pid, how, delay)

    def _probe(self, now: Seconds) -> None:
        """See whether a daemon that starts answers already."""
        for slot in self.board.slots:
            child = slot.child
            if slot.kind is not ChildKind.DAEMON or child is None or child.state is not ChildState.STARTING:
                continue
            program = self.actor.daemons[slot.daemon]
            if program.address is None:
                child.move(ChildState.READY, "runs")
            elif answers(program.address):
                child.move(ChildState.READY, f"answers in {now - child.started:.2f} s")
                slot.was_ready = True

    def _announce(self) -> None:
        """Say once that the whole chain works."""
        if self.announced or not any(one.state is ChildState.READY for one in self.board.workers):
            return
        self.announced = True
        for program in self.actor.daemons:
            if program.url:
                # Tests wait for this line.
                log.info("serving on %s", program.url)
        for door in self.actor.node.doors:
            if door.protocol in ("http", "https") and door.local[0]:
                # Tests wait for this line.
                log.info("serving on %s://%s/", door.protocol, door.name)


def clock() -> Seconds:
    """The master's one clock."""
    return Seconds(time.monotonic())
