"""Uploads to files, as a worker's requests and applications see them."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from m2serve.transports.uploads import DONE, STARTED, STREAMED, STREAMED_WHOLE
from m2serve.uploads.body import NoBody, UploadFiles
from m2serve.wire import upload

if TYPE_CHECKING:
    from collections.abc import Sequence

    from m2serve.front import Front
    from m2serve.gateways.base import Body
    from m2serve.message import Request
    from m2serve.transports.base import Delivery
    from m2serve.transports.uploads import UploadTable


class Progress(NamedTuple):
    """How far an upload is."""

    received: int
    """Bytes that have come."""
    expected: int | None
    """Bytes of the whole body; None: it comes in chunks, nobody knows."""
    done: bool
    """All have come; the application has it, or will soon."""


class Uploads:
    """Opens the files of uploads, and knows of those that are still under way. Threads: any."""

    def __init__(self, fronts: Sequence[Front], table: UploadTable) -> None:
        self._fronts = fronts
        self._table = table
        self._files = UploadFiles(fronts)

    def open(self, delivery: Delivery, request: Request) -> Body:
        """The body of a request that the dispatcher has found to be an upload's end."""
        claim = upload.claim(request, self._fronts[delivery.endpoint].content_length)
        if claim is None:
            return NoBody("upload that was none when it was looked at again")
        return self._files.open(delivery.endpoint, claim)

    def progress(self, progress_id: str) -> Progress | None:
        """``m2serve.uploads`` of the environ: how far the upload with that id is; None: there is none now.

        The client gives an upload its id by the header ``X-Progress-ID``, or in the query: ``?X-Progress-ID=...``.
        """
        entry = self._table.find(progress_id.encode("utf-8", "surrogateescape"))
        if entry is None or not progress_id:
            return None
        if entry.state in (STREAMED, STREAMED_WHOLE):
            return Progress(entry.frame, entry.expected, entry.state == STREAMED_WHOLE)
        if entry.state not in (STARTED, DONE):
            return None
        size = self._files.size(entry.endpoint, entry.name)
        if entry.state == DONE:
            return Progress(entry.expected or size or 0, entry.expected, done=True)
        received = size or 0
        return Progress(received if entry.expected is None else min(received, entry.expected), entry.expected, False)
