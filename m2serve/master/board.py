"""What the master knows at one moment: the snapshot that the policies read."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum
from typing import TYPE_CHECKING

from m2serve.errors import ExitCode
from m2serve.ids import Seconds
from m2serve.master.child import AT_ZERO, NO_WORKER, Child, ChildKind, ChildState
from m2serve.master.crowd import Crowd
from m2serve.master.limits import Limits

if TYPE_CHECKING:
    from m2serve.ids import WorkerId
    from m2serve.master.generation import Generation, ReloadKind
    from m2serve.master.jobs import Job


STOP_GRACE = Seconds(1.0)
"""From an order to leave at once to SIGKILL."""


class Urgency(IntEnum):
    """How a stop goes; it only ever grows.

    GRACEFUL: finish what was taken. AT_ONCE: what takes longer than STOP_GRACE is killed. BRUTAL: SIGKILL.
    """

    GRACEFUL = 1
    AT_ONCE = 2
    BRUTAL = 3


@dataclass(frozen=True)
class StopOrder:
    """The whole server is to stop."""

    reason: str
    deadline: Seconds
    """Workers are waited for until then."""
    urgency: Urgency = Urgency.GRACEFUL
    code: ExitCode = ExitCode.OK
    patience: Seconds = STOP_GRACE
    """For the dispatcher, once it has nothing to wait for, and for daemons."""
    patient: bool = False
    """Programs have the time that is their own."""


@dataclass(eq=False)
class Slot:
    """A place that wants one live child; whoever dies there is replaced."""

    kind: ChildKind
    name: str
    generation: int = 0
    worker: WorkerId = NO_WORKER
    daemon: int = 0
    """Index of its DaemonSpec, for daemons."""
    child: Child | None = None
    due: Seconds = AT_ZERO
    """Not spawned before this time."""
    short_lives: int = 0
    """Deaths in a row after a short life."""
    was_ready: bool = False
    replaces: Slot | None = None
    """Its child is to succeed the one there, once it is ready."""
    stays_until: Seconds = AT_ZERO
    """No successor is tried before."""
    gate: bool = False
    """A daemon that has to answer before anything of ours starts."""
    control: bool = False
    """The server ends when its child ends by itself, which *died* says."""
    died: bool = False
    renew: str = ""
    """Why the daemon there is to be started anew; empty: it is not."""


@dataclass(eq=False)
class Board:
    """All rows. The server changes them; policies only read."""

    dispatched: bool
    need_app: bool
    mercy: Seconds
    limits: Limits = field(default_factory=Limits)
    crowd: Crowd = field(default_factory=Crowd)
    start_timeout: Seconds = AT_ZERO
    """How long a worker may load; zero: for ever."""
    verbose_harakiri: bool = False
    preload: bool = False
    """New generations have a nursery."""
    unfit: str = ""
    """Why they have none any more, although the settings want one."""
    sources: set[str] = field(default_factory=set)
    """Files of modules that workers and nurseries have named, for py-autoreload."""
    slots: list[Slot] = field(default_factory=list)
    children: list[Child] = field(default_factory=list)
    """Live ones, those that have left their slot (draining) included."""
    generations: list[Generation] = field(default_factory=list)
    wanted: int = 1
    """Workers that there should be; the next generation begins with so many."""
    asleep: bool = False
    """None is wanted until a request comes."""
    paused: bool = False
    """The dispatcher hands out nothing."""
    doors: bool = False
    """There are sockets of our own: whoever connects there is noticed though no worker is there."""
    stop: StopOrder | None = None
    quiet: bool = False
    """The dispatcher has left Mongrel2's PUSH and holds nothing more."""
    reload_wanted: ReloadKind | None = None
    upgrade_wanted: bool = False
    """The program that is to go on is being tried."""
    inherited: bool = False
    """After an upgrade: dispatcher and workers of the old code are still to be replaced."""
    last_reload: str = ""
    """Why the last reload was given up; empty if it was not."""
    served: bool = False
    """All workers of some generation have been ready: the start has come about."""
    dispatcher_heard: Seconds = AT_ZERO
    """When the dispatcher last answered a PING."""
    last_burial: Seconds = AT_ZERO
    """When the last child died that was one of ours."""
    patience: Seconds = STOP_GRACE
    """For programs that are told to leave."""
    jobs: list[Job] = field(default_factory=list)
    """Commands of cron."""

    @property
    def can_sleep(self) -> bool:
        """Workers that have left can be called back when they are needed."""
        return self.dispatched or self.doors

    def of_kind(self, kind: ChildKind) -> list[Child]:
        return [child for child in self.children if child.kind is kind]

    @property
    def workers(self) -> list[Child]:
        return self.of_kind(ChildKind.WORKER)

    @property
    def dispatcher(self) -> Child | None:
        found = self.of_kind(ChildKind.DISPATCHER)
        return found[0] if found else None

    def nursery(self, generation: int) -> Child | None:
        """The nursery of that generation that can fork workers."""
        return next(
            (
                child
                for child in self.of_kind(ChildKind.NURSERY)
                if child.generation == generation and child.state is ChildState.READY and child.link is not None
            ),
            None,
        )

    @property
    def gate_open(self) -> bool:
        """Every daemon that has to answer first has been ready: ours may start."""
        return all(slot.was_ready for slot in self.slots if slot.gate)

    def workers_of(self, generation: Generation) -> list[Child]:
        return [child for child in self.workers if child.generation == generation.number]

    def members_of(self, generation: Generation) -> list[Child]:
        """Its workers and its nursery."""
        return [child for child in self.children if child.generation == generation.number]

    def slots_of(self, generation: Generation) -> list[Slot]:
        return [slot for slot in self.slots if slot.worker and slot.generation == generation.number]

    def generation(self, number: int) -> Generation | None:
        return next((one for one in self.generations if one.number == number), None)

    def forget_retired(self) -> None:
        """Drop generations that are on their way out and have nobody left."""
        self.generations = [one for one in self.generations if one.current or self.members_of(one)]

    def sleep(self) -> None:
        """All workers may leave: requests will wake them."""
        self.asleep, self.wanted = True, 0

    def wake(self, wanted: int | None = None) -> None:
        """Workers are wanted again, by default as many as at the start."""
        self.asleep, self.wanted = False, self.crowd.initial if wanted is None else wanted

    def all_ready(self, generation: Generation) -> bool:
        """Every slot of *generation* is held by a worker that serves; if it has none, its nursery is ready."""
        held = [slot.child for slot in self.slots_of(generation)]
        if not held:
            return not generation.size and (not generation.preload or self.nursery(generation.number) is not None)
        return all(child is not None and child.state is ChildState.READY for child in held)
