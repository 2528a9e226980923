"""Bodies that do not come inside the request's message."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from m2serve.errors import ClientGone
from m2serve.uploads.stream import StreamBody
from m2serve.wire import pieces
from m2serve.wire.control import upload_credits

if TYPE_CHECKING:
    from collections.abc import Sequence

    from m2serve.config.postlimits import PostLimits
    from m2serve.front import Front
    from m2serve.message import Request
    from m2serve.transports.base import Delivery, Road

_WINDOW: Final = 4
"""Times ``limits.content_length``, the size of a piece, that may be on their way."""


class StreamedUpload:
    """A body that comes in pieces, from the first message of the request to the end of its answer."""

    def __init__(self, request: Request, channel: Road, limit: int | None, window: int, timeout: float) -> None:
        self._request = request
        self._channel = channel
        self.length, self.status, self.fault = _announced(request, limit)
        self.input = StreamBody(
            request.body,
            length=self.length,
            whole=pieces.is_whole(request),
            grant=self._grant,
            window=window,
            timeout=timeout,
            limit=limit,
        )
        channel.expect(self.input)

    @property
    def complete(self) -> bool:
        """All has come, and more may come: not after chunks, behind which Mongrel2 1.12.2 may garble a large body."""
        return self.input.complete and self.length is not None

    def close(self) -> None:
        """The request is over. If its body is not, the connection has been closed behind the answer."""
        self._channel.expect(None)
        self.input.end()
        if not self.input.complete:
            wake(self._request, self._channel)

    def _grant(self, credit: int) -> None:
        self._channel.control(upload_credits(self._request.sender, self._request.conn_id, credit))


def wake(request: Request, channel: Road) -> None:
    """If *request* begins a streamed upload, let Mongrel2 notice that its connection has been closed.

    It waits for credit to read on, and until it has some does not look whether the connection is still there.
    """
    if pieces.KEY in request.headers:
        try:
            channel.control(upload_credits(request.sender, request.conn_id, pieces.ENOUGH))
        except ClientGone:
            pass  # it knows


class StreamedUploads:
    """Opens the bodies of streamed uploads.

    Args:
        fronts: by endpoint.
        patience: seconds without a byte after which one is given up; of one that comes in chunks.
        limits: how large they may be.
    """

    def __init__(self, fronts: Sequence[Front], patience: tuple[float, float], limits: PostLimits) -> None:
        self._windows = [_WINDOW * front.content_length for front in fronts]
        self._patience = patience
        self._limits = limits

    def open(self, delivery: Delivery, request: Request) -> StreamedUpload:
        """The body of which *request* is the first message."""
        limit = self._limits.of(request.path)
        timeout = self._patience[b"content-length" not in request.headers]
        return StreamedUpload(request, delivery.channel, limit, self._windows[delivery.endpoint], timeout)


def _announced(request: Request, limit: int | None) -> tuple[int | None, int, str | None]:
    """Length of the body if the client has announced it; status and reason if the body is not wanted.

    Where two readers of the request could differ about its end, it is refused.
    """
    value = request.headers.get(b"content-length")
    if value is None:
        return None, 200, None  # chunked: nothing else takes this road
    if b"transfer-encoding" in request.headers:
        return None, 400, "both content-length and transfer-encoding"
    digits = value.strip(b" \t") if isinstance(value, bytes) else b""
    if not digits.isdigit() or len(digits) > 10:
        return None, 400, "content-length is not one number"
    length = int(digits)
    if limit is not None and length > limit:
        return length, 413, f"the body is larger than limit-post: {length} bytes, {limit} allowed"
    return length, 200, None
