"""Requests that are more than one message, or say more than a request does.

The dispatcher knows the others by the head of their frames alone. These it parses: only a few have the words in them
that bring them here, and of those not all mean it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from m2serve.errors import RemoteProtocolError
from m2serve.wire import mongrel2, pieces

if TYPE_CHECKING:
    from m2serve.dispatcher.routing import Router
    from m2serve.dispatcher.streams import Streams
    from m2serve.dispatcher.taken import Marked
    from m2serve.dispatcher.uploads import Uploads


class Special:
    """Decides what a marked message is, and hands requests on to the router."""

    def __init__(self, router: Router, uploads: Uploads, streams: Streams) -> None:
        self._router = router
        self.streams = streams
        self._uploads = uploads

    def arrived(self, marked: Marked) -> None:
        """A marked message came from Mongrel2."""
        taken = marked.taken
        try:
            if pieces.KEY in marked.raw and self.streams.took(taken, marked.raw):
                return
            request = mongrel2.parse(marked.raw)
            if taken.intake.marks_credits and mongrel2.granted_credits(request) is not None:
                taken.intake.count_debts(proven=True)  # before the first answer leaves
            if self.streams.begins(taken, request) or not self._uploads.took(taken, request):
                self._router.arrive(taken)
        except RemoteProtocolError:
            self._router.arrive(taken)  # whichever worker gets it finds the same, and answers
