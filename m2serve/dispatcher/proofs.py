"""Proof that both connections to a Mongrel2 belong to the same process, and fences behind what was sent.

docs/design.md, section 2: an answer leaves only over a connection proven to belong to the Mongrel2 that asked.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from m2serve.dispatcher.phase import Phase
from m2serve.transports.pings import Pings
from m2serve.transports.responder import Event, Happened
from m2serve.wire.crew import Word

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from m2serve.dispatcher.crew import Crew
    from m2serve.dispatcher.intake import Intake
    from m2serve.dispatcher.outgoing import Outgoing

_EVERY_PONG = b"\xff" * 8


class Proofs:
    """The PINGs that are under way, over each Pull and each responder of our own."""

    def __init__(self, endpoints: int, outgoing: Outgoing) -> None:
        self._outgoing = outgoing
        self._over_pull = [Pings() for _ in range(endpoints)]
        self._over_responder = [Pings() for _ in range(endpoints)]

    def pull_opened(self, intake: Intake, crews: Iterable[Crew]) -> None:
        """A new Pull: everybody whose responder is up is to ping it."""
        for crew in crews:
            generation = crew.generations.get(intake.index)
            if generation is not None:
                crew.say(Word.PROVEN, intake.index, a=intake.epoch, b=generation)
        self.prove_own(intake)

    def pull_heard(self, intake: Intake) -> None:
        """PONGs have come over the Pull."""
        while intake.pongs:
            self._over_pull[intake.index].pong(intake.pongs.popleft())

    def pull_ended(self, index: int) -> None:
        """Nobody will answer any more."""
        self._over_pull[index].forget()

    def crew_up(self, crew: Crew, intake: Intake, generation: int) -> None:
        """A worker's responder is up."""

        def answered() -> None:
            if crew.generations.get(intake.index) == generation:
                crew.say(Word.PROVEN, intake.index, a=intake.epoch, b=generation)

        if intake.phase in (Phase.OPEN, Phase.LEAVING):
            self._ping_pull(intake, answered)

    def happened(self, intakes: Sequence[Intake], index: int, events: Iterable[Happened]) -> None:
        """News of our own responder."""
        for happened in events:
            if happened.event is Event.UP and intakes[index].phase is Phase.OPEN:
                self._ping_pull(intakes[index], partial(self.prove_own, intakes[index]))
            elif happened.event is Event.PONG:
                self._over_responder[index].pong(happened.context)
            elif happened.event is Event.DOWN:
                self._over_responder[index].pong(_EVERY_PONG)  # what was on its way is lost: nothing to overtake

    def prove_own(self, intake: Intake) -> None:
        """The PUSH connection lives at least as long as our responder's: now the other way round."""
        responder = self._outgoing.responders[intake.index]
        generation, origin = responder.generation, intake.origin
        if not generation:
            return

        def proven() -> None:
            if responder.prove(origin, generation):
                self._outgoing.flush(intake)

        responder.ping(self._over_responder[intake.index].add(proven))

    def fence(self, intake: Intake, passed: Callable[[], None]) -> None:
        """Call *passed* once Mongrel2 has received everything that left by our responder."""
        responder = self._outgoing.responders[intake.index]
        if responder.is_up:
            responder.ping(self._over_responder[intake.index].add(passed))
        else:
            passed()  # what was on its way is lost: there is nothing to overtake

    def _ping_pull(self, intake: Intake, answered: Callable[[], None]) -> None:
        intake.ping(self._over_pull[intake.index].add(answered))
