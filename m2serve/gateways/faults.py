"""What the log and the client are told where no application has answered, or not to the end."""

from __future__ import annotations

import traceback
from typing import TYPE_CHECKING, Final

from m2serve.errors import ClientGone
from m2serve.gateways.base import CLIENT_GONE_STATUS, Outcome
from m2serve.wire.mongrel2 import error_answer

if TYPE_CHECKING:
    import logging
    from collections.abc import Callable

    from m2serve.errors import BodyError
    from m2serve.gateways.admission import Refusal
    from m2serve.gateways.answer import Answer
    from m2serve.gateways.base import Channel
    from m2serve.message import Request

_ERROR_HEADERS: Final = 5


class Faults:
    """See above.

    Threads: any.

    Args: wall_clock: seconds since the epoch, for the Date header.
    """

    def __init__(self, logger: logging.Logger, wall_clock: Callable[[], float]) -> None:
        self._log = logger
        self._wall_clock = wall_clock

    def refuse(self, refusal: Refusal, request: Request, channel: Channel, request_id: str) -> Outcome:
        """The request reaches no application."""
        status, reason, close = refusal
        self._log.warning("refused status=%d id=%s uri=%s: %s", status, request_id, uri_of(request), reason)
        size = 0
        try:
            if status:
                size = self._send_error(status, request, channel, request_id)
        except ClientGone:
            close = False
        if close:
            channel.close()
        return Outcome(
            status, header_count=_ERROR_HEADERS if size else 0, header_bytes=size, closed=close, error=reason
        )

    def unread(self, raised: BodyError, answer: Answer, request: Request, channel: Channel, request_id: str) -> str:
        """The application could not read what the client was to send, and left the answer to us. Returns: the error."""
        self._log.warning("body not read id=%s uri=%s: %s", request_id, uri_of(request), raised)
        self.break_off(raised.status, answer, request, channel, request_id)
        return str(raised)

    def broken(self, answer: Answer, request: Request, request_id: str) -> None:
        """The application's answer was none that PEP 3333 allows; the client was told what could be told."""
        self._log.warning("broken answer id=%s uri=%s: %s", request_id, uri_of(request), answer.fault)

    def client_gone(self, answer: Answer) -> str:
        """Nobody reads the answer any more. Returns: the error."""
        answer.abandon()
        if not answer.committed:
            answer.status = CLIENT_GONE_STATUS
        return answer.fault or "the client has left"

    def break_off(
        self, status: int, answer: Answer, request: Request, channel: Channel, request_id: str, told: str = ""
    ) -> None:
        """End with an error, or, if the answer has begun, without its end. Args: told: to the client, besides."""
        answer.abandon()
        try:
            if not answer.committed:
                answer.status = status
                answer.header_bytes = self._send_error(status, request, channel, request_id, told)
                answer.header_count = _ERROR_HEADERS
            # else: the missing end of the body tells the client that it has not all of it
        except ClientGone:
            return
        channel.close()

    def _send_error(self, status: int, request: Request, channel: Channel, request_id: str, told: str = "") -> int:
        """Returns: bytes of the head; its body is small change."""
        head_only = request.headers.get(b"METHOD") == b"HEAD"
        message = error_answer(status, "", request_id, head_only=head_only, now=self._wall_clock(), text=told)
        if not channel.send_last(message):
            return 0  # a client that has not read for so long will not miss it
        return message.index(b"\r\n\r\n") + 4


def uri_of(request: Request) -> str:
    """The request as the log shows it: quoted, so that no client writes lines of its own."""
    uri = request.headers.get(b"URI", request.path)
    return ascii(uri.decode("latin-1") if isinstance(uri, bytes) else uri)


def describe(raised: BaseException) -> str:
    """In one line."""
    # not str(raised): an exception of the application may fail at that too
    return traceback.format_exception_only(raised)[-1].strip()
