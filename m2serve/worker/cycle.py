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
from m2serve.gateways.wsgi import Pending
from m2serve.wire import mongrel2
from m2serve.worker.streamed import wake

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from m2serve.gateways.base import Body, Outcome
    from m2serve.gateways.wsgi import WsgiGateway
    from m2serve.message import Request
    from m2serve.observe.access import AccessLog
    from m2serve.transports.base import Delivery
    from m2serve.transports.channel import Channel

log = logging.getLogger("m2serve.worker")


class Cycle:
    """Shared by all request threads of a worker.

    ``_count`` guards the counters: several threads of this process write them, no other process does.

    Args:
        bodies: by kind of delivery, how a body is got that does not lie in the message.
    """

    def __init__(
        self,
        gateway: WsgiGateway,
        access: AccessLog | None,
        served: memoryview,
        worker: int,
        workers: int,
        bodies: Mapping[int, Callable[[Delivery, Request], Body]],
    ) -> None:
        self._gateway = gateway
        self._bodies = bodies
        self._access = access
        self._served = served[: max(worker, workers) + 1]
        self._worker = worker
        self._mine = 0
        self._count = threading.Lock()
        self._next = itertools.count(1).__next__
        # unique over restarts and machines, and short enough to be read aloud
        self._prefix = os.urandom(4).hex() + "-%x"
        self._parse = mongrel2.Reader().parse
        self.garbage = 0

    def run(self, delivery: Delivery, core: int) -> None:
        """Serve one request; returns when its answer has left, however it went, or can do so without this thread."""
        raw, channel, _, kind = delivery
        request_id = self._prefix % self._next()
        access = self._access
        started = wall = 0.0
        if access is not None:
            started, wall = time.perf_counter(), time.time()
        body: Body | None = None
        try:
            if kind:
                request = mongrel2.parse(raw)
                body = self._bodies[kind](delivery, request)
            else:
                request = self._parse(raw)
        except RemoteProtocolError as error:
            self._garbage(channel, error, raw)
            return
        try:
            if body is None:
                outcome = self._gateway.handle(request, channel, request_id)
            else:
                outcome = self._handle_with(body, request, channel, request_id)
        except Exception:
            # The gateway answers for the application's mistakes; this is one of ours, and it must not end the thread.
            log.exception("internal error request=%s", request_id)
            self._answer(channel, 500)
            return
        if isinstance(outcome, Pending):
            channel.detach()
            outcome.then(partial(self._drained, channel, request, core, wall, started))
            return
        if outcome.status == 413 and body is None:
            wake(request, channel)
        with self._count:
            self._mine = mine = self._mine + 1
            self._served[self._worker] += 1
        if access is not None:
            self._record(access, request, outcome, core, wall, started, mine)

    def _drained(
        self, channel: Channel, request: Request, core: int, wall: float, started: float, outcome: Outcome
    ) -> None:
        """An answer that went on without its thread is over. The courier's thread."""
        try:
            with self._count:
                self._mine = mine = self._mine + 1
                self._served[self._worker] += 1
            if self._access is not None:
                self._record(self._access, request, outcome, core, wall, started, mine)
        finally:
            channel.ended()

    def _record(
        self, access: AccessLog, request: Request, outcome: Outcome, core: int, wall: float, started: float, mine: int
    ) -> None:
        access.record(
            request,
            outcome,
            core=core,
            started_wall=wall,
            elapsed=time.perf_counter() - started,
            served_by_worker=mine,
            served_total=sum(self._served.tolist()),
        )

    def _handle_with(self, body: Body, request: Request, channel: Channel, request_id: str) -> Outcome | Pending:
        try:
            return self._gateway.handle(request, channel, request_id, body)
        finally:
            body.close()

    def _garbage(self, channel: Channel, error: RemoteProtocolError, raw: bytes) -> None:
        self.garbage += 1
        log.warning("bad message status=%d reason=%s size=%d head=%r", error.status, error, len(raw), raw[:60])
        self._answer(channel, error.status)

    @staticmethod
    def _answer(channel: Channel, status: int) -> None:
        try:
            if not channel.began:
                channel.send_last(mongrel2.error_answer(status))
        except ClientGone:
            return
        channel.close()
