"""One generation of workers: all of them, spawned by one start or one reload."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

from m2serve.master.child import AT_ZERO, IllegalMove

if TYPE_CHECKING:
    from m2serve.ids import Seconds

log = logging.getLogger("m2serve.master")


class GenerationState(Enum):
    """STARTING: not all of its workers have been ready at once. SERVING: they have. RETIRING: it goes."""

    STARTING = "STARTING"
    SERVING = "SERVING"
    RETIRING = "RETIRING"


class ReloadKind(Enum):
    """How a generation takes the place of the one before.

    GRACEFUL: all at once, the old ones finish. CHAIN: worker by worker. BRUTAL: all at once, the old ones are killed
    if they take longer than a second.
    """

    GRACEFUL = "reload"
    CHAIN = "chain reload"
    BRUTAL = "brutal reload"


_G = GenerationState

TRANSITIONS: dict[GenerationState, frozenset[GenerationState]] = {
    _G.STARTING: frozenset({_G.SERVING, _G.RETIRING}),
    _G.SERVING: frozenset({_G.RETIRING}),
    _G.RETIRING: frozenset(),
}


@dataclass(eq=False)
class Generation:
    """A row of the table of generations."""

    number: int
    size: int
    started: Seconds = AT_ZERO
    kind: ReloadKind = ReloadKind.GRACEFUL
    state: GenerationState = GenerationState.STARTING
    early_deaths: int = 0
    """Workers that died before they were ready."""
    failed: bool = False
    """A worker of it could not load the application, and none has since the generation served."""
    overlong: str = ""
    """The worker that took too long to load, if there was one before the generation served."""
    preload: bool = False
    """Its workers are forked from a nursery that has loaded the application."""

    @property
    def current(self) -> bool:
        return self.state is not GenerationState.RETIRING

    def move(self, state: GenerationState, reason: str) -> None:
        """Change state and say so.

        Raises: IllegalMove: there is no such arrow.
        """
        if state not in TRANSITIONS[self.state]:
            raise IllegalMove(f"generation {self.number}: {self.state.value} -> {state.value} ({reason})")
        log.info("generation %d %s -> %s (%s)", self.number, self.state.value, state.value, reason)
        self.state = state
