"""What a policy may ask for, as data; performed by act.py."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from m2serve.errors import ExitCode
    from m2serve.ids import Seconds, WorkerId
    from m2serve.master.board import Slot, StopOrder
    from m2serve.master.child import Child
    from m2serve.master.generation import Generation, ReloadKind
    from m2serve.master.jobs import Job
    from m2serve.master.late import Late


@dataclass(frozen=True)
class Spawn:
    """Put a child into an empty slot."""

    slot: Slot


@dataclass(frozen=True)
class Drain:
    """Take nothing more, finish, leave. A dispatcher serves what was taken, leaves Mongrel2's PUSH, says QUIET."""

    child: Child
    reason: str
    deadline: Seconds


@dataclass(frozen=True)
class Yield:
    """The dispatcher leaves at the next moment at which nothing is lost; its successor adopts all that it had."""

    child: Child


@dataclass(frozen=True)
class ReplaceWorkers:
    """The dispatcher is a new one: now the workers."""


@dataclass(frozen=True)
class Stop:
    """Leave now: SIGKILL follows at the deadline. A signal for a program.

    Args: reload: it will be started anew.
    """

    child: Child
    reason: str
    deadline: Seconds
    reload: bool = False


@dataclass(frozen=True)
class Kill:
    """SIGKILL. An accident counts as if the child had died by itself: it is replaced, ever more slowly."""

    child: Child
    reason: str
    accident: bool = False


@dataclass(frozen=True)
class OpenGeneration:
    """New workers beside the old ones; of a chain only the first."""

    kind: ReloadKind


@dataclass(frozen=True)
class Grow:
    """The next worker of a chain starts."""

    generation: Generation
    worker: WorkerId


@dataclass(frozen=True)
class Release:
    """The slot is not wanted any more; its worker is told to leave by an action of its own."""

    slot: Slot


@dataclass(frozen=True)
class Cut:
    """A chain ends before its last worker: what it has replaced goes on, and so do the rest of the old ones."""

    generation: Generation
    reason: str
    given_up: bool


@dataclass(frozen=True)
class Renew:
    """A successor for the worker in that slot, beside it."""

    slot: Slot
    reason: str


@dataclass(frozen=True)
class Promote:
    """The successor in that slot takes over."""

    slot: Slot


@dataclass(frozen=True)
class Dismiss:
    """The successor does not come up: the old one stays, at least until then."""

    slot: Slot
    old: Slot
    until: Seconds


@dataclass(frozen=True)
class Serve:
    """All workers of the generation are ready."""

    generation: Generation


@dataclass(frozen=True)
class Retire:
    """The generation has no slots any more; its workers are told to leave by actions of their own."""

    generation: Generation
    reason: str
    given_up: bool = False


@dataclass(frozen=True)
class Accuse:
    """Tell a worker that one of its requests is over its deadline: it answers for it, and leaves."""

    child: Child
    late: Late


@dataclass(frozen=True)
class AskStacks:
    """Have a worker that does not answer write the stacks of all its threads."""

    child: Child


@dataclass(frozen=True)
class Execute:
    """Say what is known of a worker that does not answer, and kill it."""

    child: Child


@dataclass(frozen=True)
class AskStack:
    """Have a worker that loads write where it is."""

    child: Child


@dataclass(frozen=True)
class TellLoading:
    """Say where a worker is that loads."""

    child: Child


@dataclass(frozen=True)
class GiveUp:
    """Say where a worker is that has loaded for too long, and kill it."""

    child: Child


@dataclass(frozen=True)
class Run:
    """A command of cron starts."""

    job: Job


@dataclass(frozen=True)
class Skip:
    """A command of cron is left out this time: it still runs."""

    job: Job


@dataclass(frozen=True)
class Order:
    """Stop the whole server."""

    order: StopOrder


@dataclass(frozen=True)
class Finish:
    """Nothing is left: the master leaves."""

    code: ExitCode


Action = (
    Spawn
    | Drain
    | Yield
    | ReplaceWorkers
    | Stop
    | Kill
    | OpenGeneration
    | Grow
    | Release
    | Cut
    | Renew
    | Promote
    | Dismiss
    | Serve
    | Retire
    | Accuse
    | AskStacks
    | Execute
    | AskStack
    | TellLoading
    | GiveUp
    | Run
    | Skip
    | Order
    | Finish
)
