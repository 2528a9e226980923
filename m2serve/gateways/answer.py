"""One HTTP answer on its way from a WSGI application to the client: framing, order, pace.

The life of an answer: nothing is known; the application has called ``start_response``; the head has left (from
here on nothing can be taken back); complete. PEP 3333 says that the head leaves with the first non-empty piece
of the body, and that until then it may be replaced.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

from m2serve.errors import ClientGone, LocalProtocolError
from m2serve.gateways.filewrapper import RestOfFile
from m2serve.gateways.outflow import Outflow
from m2serve.gateways.pace import LARGEST_BLOCK

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import TracebackType

    from m2serve.gateways.base import Channel, Write
    from m2serve.gateways.filewrapper import FileWrapper
    from m2serve.gateways.outflow import Means
    from m2serve.gateways.terms import Terms
    from m2serve.wire.head import HeadWriter, Start

ExcInfo: TypeAlias = "tuple[type[BaseException] | None, BaseException | None, TracebackType | None]"


class Answer:
    """Takes what the application says and sends what HTTP and Mongrel2 want.

    Threads: the request's. What does not leave in one message goes through :class:`Outflow`, which others drive too;
    whoever is told that it is over may call :meth:`conclude`.

    Args:
        channel: to the client; every message through it costs one of the few that Mongrel2 lets wait.
        stamp: the Date header.
    """

    __slots__ = (
        "_channel",
        "_chunked",
        "_means",
        "_remaining",
        "_stamp",
        "_start",
        "_terms",
        "_writer",
        "body_bytes",
        "bodyless",
        "committed",
        "fault",
        "header_bytes",
        "header_count",
        "keep",
        "outflow",
        "status",
    )

    def __init__(
        self,
        channel: Channel,
        terms: Terms,
        stamp: bytes,
        writer: HeadWriter,
        means: Means,
    ) -> None:
        self._channel = channel
        self._terms = terms
        self._stamp = stamp
        self._writer = writer
        self._means = means
        self._start: Start | None = None
        self._chunked = False
        self._remaining: int | None = None
        self.status = 0
        self.committed = False
        self.bodyless = False
        self.keep = terms.keep and (not writer.closes or terms.framed)
        self.body_bytes = 0
        self.header_count = 0
        self.header_bytes = 0
        self.fault: str | None = None
        """What the application did wrong without raising; the caller logs it."""
        self.outflow: Outflow | None = None
        """Of a body that does not leave in one message. After :meth:`finish` it may have to go on."""

    # --- what the application calls ---------------------------------------------------

    def start_response(
        self,
        status: str,
        headers: list[tuple[str, str]],
        /,
        exc_info: ExcInfo | None = None,
    ) -> Write:
        """PEP 3333, "The start_response() Callable".

        Raises: LocalProtocolError: what is asked cannot be sent; the application sees it where it asked.
        """
        if exc_info is not None:
            try:
                if self.committed and exc_info[1] is not None:
                    raise exc_info[1].with_traceback(exc_info[2])
            finally:
                exc_info = None  # it holds this frame
        elif self._start is not None:
            raise LocalProtocolError("start_response was called again without exc_info")
        # both checked before either is kept: a refused second head leaves the first one valid
        start = self._start = self._writer.start(status, headers)
        self.status = start.code
        return self.push

    # --- what the gateway calls, and push() the application too -----------------------

    def push(self, data: bytes) -> None:
        """Send one piece of the body: at once, or soon, if too many have just left.

        Raises:
            ClientGone: nobody is there to read it.
            TypeError, LocalProtocolError: the application broke the protocol.
        """
        if not isinstance(data, bytes):
            raise TypeError(f"the application must yield bytes, not {type(data).__name__}")
        if self._channel.gone:
            raise ClientGone("the client has left")
        if not data:
            return
        outflow = self.outflow
        if not self.committed:
            length = self._declared().block.length
            if length is not None and len(data) > length and not self._forbids_body():
                self._too_long()  # before the head, which then says "close"
            outflow = self._open(self._commit(None))
        if outflow is None or self.bodyless:
            return
        if self._remaining is not None:
            if len(data) > self._remaining:
                self._too_long()
                data = data[: self._remaining]
            self._remaining -= len(data)
            if not data:
                return  # all of it was beyond Content-Length
        outflow.write(data)

    def whole(self, pieces: Sequence[bytes]) -> None:
        """Send a body that lies there complete: in one message, if so much is allowed.

        Without flow control everything is. One message of 50 MB reaches the slowest client; the same in 64 KiB
        pieces would be cut off.
        """
        for piece in pieces:
            if not isinstance(piece, bytes):
                raise TypeError(f"the application must yield bytes, not {type(piece).__name__}")
        if self.committed:
            for piece in pieces:
                self.push(piece)
            return
        if self._channel.gone:
            raise ClientGone("the client has left")
        size = len(pieces[0]) if len(pieces) == 1 else sum(map(len, pieces))
        start = self._start or self._declared()
        recent = start.recent
        if recent[0] is self._stamp and recent[1] == size and self.keep and self._terms.plain:
            # the same head as a moment ago
            self.committed = True
            self.header_count = start.block.lines_count + 1 + (not start.block.dated) + (not start.block.signed)
            self.header_bytes = len(recent[2])
            self._remaining = 0
            self.body_bytes = size
            if not self._channel.send_last(recent[2], *(pieces if len(pieces) <= 16 else (b"".join(pieces),))):
                self._pass(recent[2], pieces)
            return
        block = start.block
        if block.length is not None and block.length != size and not self._forbids_body():
            if block.length < size:
                self._too_long()
                pieces = (b"".join(pieces)[: block.length],)
                size = block.length
            else:
                self.keep = False  # finish() says why
        head = self._commit(size)
        if self.keep and self._remaining == size and self._terms.plain:
            start.recent = (self._stamp, size, head)
        if self.bodyless:
            pieces = ()
        else:
            if self._remaining is not None:
                self._remaining -= size
            self.body_bytes += size
        # a message of very many pieces would not fit into one system call
        if not self._channel.send_last(head, *(pieces if len(pieces) <= 16 else (b"".join(pieces),))):
            self._pass(head, pieces)

    def file(self, wrapper: FileWrapper) -> bool:
        """Send a file from where it stands, as far as Content-Length says; gives whether it is a plain one.

        A plain file is read when its client has room for it, which may be after its thread has left. Of others the
        blocks grow: 30 MB are nine messages, fewer than Mongrel2 cuts a slow client off for.
        """
        limit = self._remaining if self.committed else self._declared().block.length
        if self._channel.gone:
            raise ClientGone("the client has left")
        rest = None if self.complete or self._forbids_body() else RestOfFile.of(wrapper, limit)
        if rest is not None:
            outflow = self.outflow if self.committed else self._open(self._commit(None))
            assert outflow is not None  # there is a body
            outflow.attach(rest)
            self._remaining = 0
            return True
        size = wrapper.block_size
        while not self.complete:
            data = wrapper.read(size if self._remaining is None else min(size, self._remaining))
            if not data:
                break
            if not self.committed and isinstance(data, bytes):
                length = self._declared().block.length
                data = data if length is None else data[:length]
            self.push(data)
            size = min(size * 2, max(LARGEST_BLOCK, wrapper.block_size))
        return False

    def finish(self) -> bool:
        """Send what is left, after the application's last word.

        Returns: False: something waits, and leaves without this thread; :meth:`conclude` when it has.
        Raises:
            LocalProtocolError: there was no word at all.
            ClientGone: nobody is there to read it.
        """
        if not self.committed:
            self._open(self._commit(0), whole=True)
        if self._remaining:
            self.fault = f"the body is {self._remaining} bytes shorter than Content-Length"
            self.keep = False
        outflow = self.outflow
        if outflow is not None:
            outflow.end(close=not self.keep)
            if not outflow.over:
                return False
            self.conclude()
        elif not self.keep:
            self._channel.close()
        return True

    def conclude(self) -> None:
        """Take over what became of the outflow, now that it is over."""
        outflow = self.outflow
        assert outflow is not None
        self.body_bytes = outflow.body_bytes
        if outflow.missing:
            self.fault = f"the file is {outflow.missing} bytes shorter than Content-Length"
            self.keep = False
        if outflow.failure is not None:
            self.fault = outflow.failure
            self.keep = False

    def abandon(self) -> None:
        """Send nothing more; what waits is dropped."""
        self.keep = False
        if self.outflow is not None:
            self.outflow.abandon()
            self.body_bytes = self.outflow.body_bytes
            self.fault = self.outflow.failure or self.fault

    @property
    def complete(self) -> bool:
        """Whether nothing that the application could still yield would be sent."""
        return self.committed and (self.bodyless or self._remaining == 0)

    # --- inside -----------------------------------------------------------------------

    def _declared(self) -> Start:
        if self._start is None:
            raise LocalProtocolError("the application did not call start_response before its body")
        return self._start

    def _forbids_body(self) -> bool:
        return self._terms.head_only or self.status < 200 or self.status == 204 or self.status == 304

    def _too_long(self) -> None:
        self.fault = "the body is longer than Content-Length"
        self.keep = False

    def _commit(self, size: int | None) -> bytes:
        """Decide the framing and write the head.

        Args: size: of the whole body, if it is known.
        """
        start = self._declared()
        block = start.block
        terms = self._terms
        status = self.status
        length = size if block.length is None else block.length
        lines = [start.line, block.lines]
        if not block.dated:
            lines.append(self._stamp)
        if not block.signed:
            lines.append(b"Server: m2serve\r\n")
        if status < 200 or status == 204:
            self.bodyless = True
            length = None  # RFC 9110, section 8.6: must not be sent
            if status < 200:
                self.keep = False  # no final answer will follow
        elif terms.head_only or status == 304:
            self.bodyless = True
            if not length or status == 304:
                length = block.length  # an empty body in answer to HEAD says nothing about GET's
        elif length is not None:
            self._remaining = length
        elif terms.framed:
            pass
        elif terms.http11:
            self._chunked = True
            lines.append(b"Transfer-Encoding: chunked\r\n")
        else:
            self.keep = False
        if length is not None:
            lines.append(b"Content-Length: %d\r\n" % length)
        if not self.keep:
            lines.append(b"Connection: close\r\n")
        elif not terms.http11:
            lines.append(b"Connection: keep-alive\r\n")
        self.header_count = len(lines) - 2 + block.lines_count
        lines.append(b"\r\n")
        head = b"".join(lines)
        self.header_bytes = len(head)
        self.committed = True
        return head

    def _open(self, head: bytes, *, whole: bool = False) -> Outflow | None:
        """Begin a body that comes in pieces; None: there is none, its head was all.

        Args: whole: the body is known to be empty.
        """
        if (whole or self.bodyless) and self._channel.send_last(head):
            return None
        self.outflow = Outflow(self._channel, head, self._means, chunked=self._chunked)
        return self.outflow

    def _pass(self, head: bytes, pieces: Sequence[bytes]) -> None:
        """Send a whole body that is more than is allowed at once."""
        outflow = self.outflow = Outflow(self._channel, head, self._means, chunked=False)
        for piece in pieces:
            if piece:
                outflow.write(piece)
