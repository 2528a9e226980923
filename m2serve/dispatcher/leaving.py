"""How a dispatcher leaves.

At a stop: answer what was taken, leave Mongrel2's PUSH, answer what came meanwhile, say QUIET. In this order: when
nobody takes notices any more, the first answer to a client that has left blocks Mongrel2's reader, and with it the
answers of all others. So as little as possible is answered after leaving, and nothing whose client was seen to go.

To a successor: at once, when nothing is on its way but what that will find.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from m2serve.dispatcher.patience import give_up
from m2serve.dispatcher.phase import Phase

if TYPE_CHECKING:
    from collections.abc import Sequence

    from m2serve.dispatcher.intake import Intake
    from m2serve.dispatcher.outgoing import Outgoing
    from m2serve.dispatcher.routing import Router
    from m2serve.dispatcher.uploads import Uploads

_UPLOADS_END_BEFORE: Final = 1.0
"""Seconds before the end of the mercy at which incomplete uploads are refused, so that their clients hear of it."""
_TIME_IS_OVER: Final = "the server stops, and the time for it is over"


class Leaving:
    """The steps, each done when the one before is complete.

    Args: mercy: seconds the workers have.
    """

    def __init__(
        self, intakes: Sequence[Intake], router: Router, uploads: Uploads, outgoing: Outgoing, mercy: float
    ) -> None:
        self._intakes = intakes
        self._router = router
        self._uploads = uploads
        self._outgoing = outgoing
        self._mercy = mercy
        self.begun = False
        self.yields = False
        """A successor is to go on: leave as soon as nothing would be lost with this process."""
        self._give_up_uploads = 0.0
        """When uploads that are not complete get no more time."""
        self._parks_late = False
        self._is_quiet = False

    def begin(self) -> None:
        """Finish what was taken. Uploads may take long: until the last is complete, all else is served as ever."""
        self.begun = self._uploads.stopping = True
        self._router.parking = not self._uploads.running
        self._give_up_uploads = time.monotonic() + max(0.0, self._mercy - _UPLOADS_END_BEFORE)

    def may_yield(self) -> bool:
        """No answer is half sent, and nothing of our own unsaid; all else is in the ledger, the cells and the links."""
        if not self.yields or self.begun or self._router.answers or not self._outgoing.is_idle:
            return False
        if any(crew.outbox for crew in self._router.crews):
            return False
        return not any(intake.phase in (Phase.CONNECTING, Phase.OPENING) for intake in self._intakes)

    def give_up(self) -> None:
        """The node leaves now."""
        give_up(self._router)
        self._uploads.give_up(self._intakes, _TIME_IS_OVER)

    def quiet(self, now: float) -> bool:
        """Go on; True once, when nothing is left to be done."""
        router = self._router
        if not self.begun or self._is_quiet:
            return False
        if self._has_uploads(now):
            self._parks_late = True
            return False
        if self._parks_late:
            self._parks_late, router.parking = False, True
        if router.waiting or router.running or router.draining or not self._outgoing.is_idle:
            return False
        for intake in self._intakes:
            intake.leave(now)
        if any(intake.phase is not Phase.LEFT for intake in self._intakes):
            return False
        if router.parking:
            router.unpark()
            return False
        self._is_quiet = True
        return True

    def _has_uploads(self, now: float) -> bool:
        if not self._uploads.running:
            return False
        if now < self._give_up_uploads:
            return True
        self._uploads.give_up(self._intakes, _TIME_IS_OVER)
        return False
