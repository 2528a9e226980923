"""What one Mongrel2 subscribes to: nobody else's answers reach it."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from m2serve.endpoint import Endpoint

log = logging.getLogger("m2serve.responder")


class Topics:
    """See above.

    Threads: whoever sends asks :meth:`cover`; the rest is the service thread's.
    """

    def __init__(self, endpoint: Endpoint) -> None:
        self.wanted: frozenset[bytes] = frozenset()
        """Never changed, but replaced: request threads iterate over it."""
        self._endpoint = endpoint
        self._refused: set[bytes] = set()
        """Senders of which the log knows."""

    def cover(self, envelope: bytes) -> bool:
        """Whether what begins with *envelope* reaches Mongrel2; complains once for each sender whose answers do not."""
        for topic in self.wanted:
            if envelope.startswith(topic):
                return True
        sender = envelope.split(b" ", 1)[0]
        if sender not in self._refused:
            self._refused.add(sender)
            log.error(
                "answers to handler %r cannot reach Mongrel2: it subscribes to %s at %s;"
                " set recv_ident equal to send_ident",
                sender.decode("latin-1"),
                sorted(t.decode("latin-1") for t in self.wanted),
                self._endpoint,
            )
        return False

    def forget(self) -> None:
        """A connection begins: nothing is subscribed to."""
        self.wanted = frozenset()

    def change(self, wanted: bool, topic: bytes) -> None:
        """Mongrel2 has subscribed to *topic*, or wants it no more."""
        self.wanted = self.wanted | {topic} if wanted else self.wanted - {topic}

    def complain_again(self) -> None:
        """Of what was complained of on an earlier connection."""
        self._refused.clear()
