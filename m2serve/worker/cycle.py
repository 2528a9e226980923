"""Around one request: parse, call the application, record, and never let anything out."""

from __future__ import annotations

import itertools
import logging
import os
import threading
import time
from functools import partial
from typing import TYPE_CHECKING

from m2serve.errors import ClientGone, RemoteProtocolError
from m2serve.gateways.base import EXCEPTION, FILE, NO_APP, READ_ERROR, Outcome
from m2serve.gateways.wsgi import Pending
from m2serve.message import Request
from m2serve.observe.facts import Facts
from m2serve.transports import sheet as sheets
from m2serve.transports.doors.channel import DoorChannel
from m2serve.wire import mongrel2
from m2serve.worker.streamed import wake

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from m2serve.gateways.base import Body
    from m2serve.gateways.wsgi import WsgiGateway
    from m2serve.message import Headers
    from m2serve.observe.access import RequestLog
    from m2serve.transports.base import Delivery, Road
    from m2serve.transports.sheet import Sheet

log = logging.getLogger("m2serve.worker")

_now = time.monotonic_ns

# every request touches these: globals, not attributes of a module
_STARTED, _NUMBER, _REQUESTS, _BUSY = sheets.STARTED, sheets.NUMBER, sheets.REQUESTS, sheets.BUSY
_SENT, _AVERAGE, _EXCEPTIONS, _GARBAGE = sheets.SENT, sheets.AVERAGE, sheets.EXCEPTIONS, sheets.GARBAGE


class Cycle:
    """Shared by all request threads of a worker.

    In the sheet each thread has a cell of its own. ``_count`` guards the cell of answers that have gone on without
    their thread, and the counters of the log's lines.

    Args:
        bodies: by kind of delivery, how a body is got that does not lie in the message.
        sheet: where the threads say what they do.
        ended: what plugins want to be told of each request, or None.
    """

    def __init__(
        self,
        gateway: WsgiGateway,
        access: RequestLog | None,
        served: memoryview,
        worker: int,
        workers: int,
        bodies: Mapping[int, Callable[[Delivery, Request], Body]],
        sheet: Sheet,
        ended: Callable[..., None] | None = None,
    ) -> None:
        self._gateway = gateway
        self._bodies = bodies
        self._access = access
        self._ended = ended
        self._served = served[: max(worker, workers) + 1]
        self._worker = worker
        self._mine = 0
        self._count = threading.Lock()
        self._next = itertools.count(1).__next__
        # unique over restarts and machines, and short enough to be read aloud
        prefix = os.urandom(4)
        self._prefix = prefix.hex() + "-%x"
        sheet.head[sheets.PREFIX] = int.from_bytes(prefix, "big")
        self._sheet = sheet
        self._cells = sheet.cells
        self._shown: list[Headers | None] = [None] * sheet.threads
        """Of each thread the headers of the request that runs or ran last."""
        self._answered: set[int] = set()
        """Numbers of requests that were answered in place of their threads."""
        self._cores: dict[int, int] = {}
        """Request threads, by their idents."""
        self._parse = mongrel2.Reader().parse

    def enter(self, core: int) -> None:
        """From now on the calling thread is that core."""
        self._cores[threading.get_ident()] = core

    def number(self) -> int | None:
        """Of the request that the calling thread runs; None: it runs none."""
        core = self._cores.get(threading.get_ident())
        if core is None or not self._cells[core][_STARTED]:
            return None
        return self._cells[core][_NUMBER]

    def latest(self) -> int | None:
        """Of the request that the calling thread runs or ran last; None: it is no request thread."""
        core = self._cores.get(threading.get_ident())
        return None if core is None else self._cells[core][_NUMBER]

    def end_by(self, seconds: float) -> None:
        """The calling thread's request asks for a deadline, so many seconds from now; 0: for none any more."""
        core, number = self._cores.get(threading.get_ident()), self.number()
        if core is not None and number is not None:
            cell = self._cells[core]
            cell[sheets.DEADLINE] = _now() + int(seconds * 1e9)
            cell[sheets.ASKING] = number if seconds else 0

    def run(self, delivery: Delivery, core: int) -> None:
        """Serve one request; returns when its answer has left, however it went, or can do so without this thread."""
        raw, channel, _, kind = delivery
        number = self._next()
        request_id = self._prefix % number
        access = self._access
        wall = 0.0 if access is None else time.time()
        started = _now()
        cell = self._cells[core]
        body: Body | None = None
        try:
            if kind:
                request, body = self._outside(delivery)
            else:
                request = self._parse(raw)
        except RemoteProtocolError as error:
            cell[_GARBAGE] += 1
            self._garbage(channel, error, raw)
            return
        if request.headers is not self._shown[core]:
            self._show(request, core)
        cell[_NUMBER] = number
        cell[_STARTED] = started
        try:
            if body is None:
                outcome = self._gateway.handle(request, channel, request_id)
            else:
                outcome = self._handle_with(body, request, channel, request_id)
        except Exception:
            # The gateway answers for the application's mistakes; this is one of ours, and it must not end the thread.
            log.exception("internal error request=%s", request_id)
            cell[_EXCEPTIONS] += 1
            self._answer(channel, 500)
            cell[_STARTED] = 0
            return
        if isinstance(outcome, Pending):
            channel.detach()
            spent = _now() - started
            cell[_STARTED] = 0
            cell[_REQUESTS] += 1
            cell[_BUSY] += spent
            cell[_AVERAGE] = (cell[_AVERAGE] + spent) >> 1
            cell[sheets.OFFLOADED] += 1
            if outcome.app == FILE:
                cell[sheets.FILES] += 1
            outcome.then(partial(self._drained, channel, request, core, wall, started))
            return
        if outcome.status == 413 and body is None:
            wake(request, channel)
        spent = _now() - started
        cell[_STARTED] = 0
        cell[_REQUESTS] += 1
        cell[_BUSY] += spent
        cell[_SENT] += outcome.body_bytes + outcome.header_bytes
        cell[_AVERAGE] = (cell[_AVERAGE] + spent) >> 1
        if outcome.app or outcome.trouble:
            if outcome.app == FILE:
                cell[sheets.FILES] += 1
            outcome = self._special(core, outcome)
        if self._ended is not None:
            self._ended(core, outcome.status, spent, outcome.body_bytes + outcome.header_bytes, request)
        if access is not None and not (channel.gone and number in self._answered):
            with self._count:
                mine = self._next_line()
            self._record(access, request, outcome, core, wall, started, mine)

    def answered(self, core: int, number: int, status: int, message: bytes) -> None:
        """The running request was answered in place of its thread: it has its line now. The service thread's."""
        self._answered.add(number)
        headers = self._shown[core]
        if self._access is None or headers is None:
            return
        size = message.index(b"\r\n\r\n") + 4
        outcome = Outcome(status, len(message) - size, message[:size].count(b"\r\n") - 2, size, closed=True)
        started = int(self._cells[core][_STARTED]) or _now()
        with self._count:
            mine = self._next_line()
        request = Request(b"", b"", b"-", headers, b"")
        self._record(self._access, request, outcome, core, time.time() - (_now() - started) / 1e9, started, mine)

    def _outside(self, delivery: Delivery) -> tuple[Request, Body | None]:
        """A request with the body that does not lie in its message, if it has one. Raises: RemoteProtocolError."""
        raw, channel, _, kind = delivery
        if isinstance(channel, DoorChannel):
            return channel.request, channel.body
        request = mongrel2.parse(raw)
        return request, self._bodies[kind](delivery, request)

    def _drained(self, channel: Road, request: Request, core: int, wall: float, started: int, outcome: Outcome) -> None:
        """An answer that went on without its thread is over. The courier's thread."""
        try:
            with self._count:
                aside = self._sheet.threads
                self._cells[aside][_SENT] += outcome.body_bytes + outcome.header_bytes
                outcome = self._special(aside, outcome)
                mine = self._next_line()
            if self._ended is not None:
                sent = outcome.body_bytes + outcome.header_bytes
                self._ended(core, outcome.status, _now() - started, sent, request)
            if self._access is not None:
                self._record(self._access, request, outcome, core, wall, started, mine)
        finally:
            channel.ended()

    def _record(
        self, access: RequestLog, request: Request, outcome: Outcome, core: int, wall: float, started: int, mine: int
    ) -> None:
        elapsed = (_now() - started) / 1e9
        access.record(Facts(request, outcome, core, wall, elapsed, (0, 0), mine, sum(self._served.tolist())))

    def _next_line(self) -> int:
        """One more for the log; gives the number in this life."""
        self._mine += 1
        self._served[self._worker] += 1
        return self._mine

    def _handle_with(self, body: Body, request: Request, channel: Road, request_id: str) -> Outcome | Pending:
        try:
            return self._gateway.handle(request, channel, request_id, body)
        finally:
            body.close()

    def _show(self, request: Request, core: int) -> None:
        """Say what runs; requests that repeat themselves share their headers, so once is enough for them."""
        headers = request.headers
        method, uri = headers.get(b"METHOD"), headers.get(b"URI")
        line = (method if isinstance(method, bytes) else b"", uri if isinstance(uri, bytes) else request.path)
        self._sheet.show(core, *line)
        self._shown[core] = headers

    def _special(self, core: int, outcome: Outcome) -> Outcome:
        """Count what is rare; gives what the log is to say."""
        if outcome.app == FILE:
            outcome = outcome._replace(app=NO_APP)
        trouble, failed = outcome.trouble, outcome.trouble == EXCEPTION
        if trouble:
            word = _EXCEPTIONS if failed else sheets.READ_ERRORS if trouble == READ_ERROR else sheets.WRITE_ERRORS
            self._cells[core][word] += 1
        self._sheet.count_app(core, outcome.app, failed)
        return outcome

    @staticmethod
    def _garbage(channel: Road, error: RemoteProtocolError, raw: bytes) -> None:
        log.warning("bad message status=%d reason=%s size=%d head=%r", error.status, error, len(raw), raw[:60])
        Cycle._answer(channel, error.status)

    @staticmethod
    def _answer(channel: Road, status: int) -> None:
        try:
            if not channel.began:
                channel.send_last(mongrel2.error_answer(status))
        except ClientGone:
            return
        channel.close()
