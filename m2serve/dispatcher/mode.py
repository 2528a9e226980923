"""What the master wants done with requests: handed out or kept, with workers there or to be called."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from m2serve.wire.link import Verb

if TYPE_CHECKING:
    from collections.abc import Mapping

    from m2serve.dispatcher.routing import Router
    from m2serve.system.link import Link

log = logging.getLogger("m2serve.dispatcher")


class Mode:
    """Paused: nothing is handed out. Asleep: the workers leave or have left, and come when a request waits."""

    def __init__(self, link: Link, router: Router) -> None:
        self._link = link
        self._router = router
        self.asleep = False
        self._called = False
        self._alone = False
        """No worker that could serve has come since the others were sent away."""
        self._company_since = 0.0

    def take(self, wanted: Mapping[str, Any]) -> None:
        """The master's word."""
        self._router.pause(bool(wanted["paused"]))
        self.asleep = bool(wanted["asleep"])
        self._alone |= self.asleep
        self._called = False

    def call(self) -> None:
        """Call for workers, once, if requests wait and there is none and none is coming."""
        if not self.asleep or self._called or not self._router.waiting:
            return
        if not any(crew.ready and not crew.leaving for crew in self._router.crews):
            self._called = True
            self._link.send(Verb.WORK, {})

    def served(self, now: float) -> None:
        """A worker takes requests."""
        if self._alone:
            self._alone, self._company_since = False, now

    def expired(self, now: float, timeout: float) -> float:
        """Requests that came before have waited too long; the time in which workers had to load counts for nobody."""
        return 0.0 if self._alone or now - timeout < self._company_since else now - timeout
