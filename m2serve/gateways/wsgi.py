"""PEP 3333: calls an application for a request and sends what it answers."""

from __future__ import annotations

import logging
import time
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from m2serve.errors import BodyError, ClientGone
from m2serve.gateways.admission import Refusal, admit, refuse_upload, speaks_of_upload, without_upload
from m2serve.gateways.answer import Answer
from m2serve.gateways.base import CLIENT_GONE_STATUS, EXCEPTION, FILE, NO_APP, READ_ERROR, WRITE_ERROR, Outcome
from m2serve.gateways.courier import Courier
from m2serve.gateways.early import EarlyAnswer
from m2serve.gateways.environ import EnvironBuilder
from m2serve.gateways.faults import Faults, describe, uri_of
from m2serve.gateways.files.answer import StaticFile
from m2serve.gateways.filewrapper import FileWrapper
from m2serve.gateways.outflow import Means
from m2serve.gateways.places import move, place
from m2serve.gateways.routing.errors import guarded
from m2serve.gateways.terms import terms_of
from m2serve.wire.head import HeadWriter
from m2serve.wire.httpdate import http_date
from m2serve.wire.memo import Memo

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from typing import TextIO

    from m2serve.config.postlimits import PostLimits
    from m2serve.gateways.base import Body, Channel, Environ, Mounts, WSGIApp
    from m2serve.gateways.exceptions import Exceptions
    from m2serve.gateways.files.search import StaticFiles
    from m2serve.gateways.outflow import Outflow
    from m2serve.gateways.routing.call import Call
    from m2serve.gateways.routing.router import Router
    from m2serve.gateways.terms import Terms
    from m2serve.message import Request


_PLANS = 512

_new = tuple.__new__


class _Plan(NamedTuple):
    """What was found out about an admitted request that repeats itself: all that does not depend on its client."""

    terms: Terms
    environ: Environ
    """A template, never given away itself; what is in it is immutable or was always shared."""
    app_number: int
    app: WSGIApp


class Pending:
    """An answer that goes on without its thread: the courier drives it."""

    __slots__ = ("_conclude", "_outflow", "app")

    def __init__(self, outflow: Outflow, conclude: Callable[[], Outcome], app: int) -> None:
        self._outflow = outflow
        self._conclude = conclude
        self.app = app

    def then(self, over: Callable[[Outcome], None]) -> None:
        """Have *over* called, once, when the answer is over: from here, or later from the courier's thread."""
        self._outflow.then(lambda: over(self._conclude()))


class WsgiGateway:
    """Serves the mounted applications, any number of requests at a time.

    Threads: any may call :meth:`handle`; the attributes are caches whose single operations are atomic.

    Args:
        errors: ``wsgi.errors``.
        server_name_default, server_port_default: for requests without a usable Host header; an empty port is
            the default of the scheme.
        uploads_proven: whoever hands requests over knows which bodies lie elsewhere; else what may be an upload
            is refused.
        post_limits: how large bodies may be.
        file_wrapper: every environ has one; ``extra``: what else it has.
        exceptions: what else an exception of the application's brings about.
        files: what is served without the application.
        router: what is done with requests before that.
        courier: drives answers that cannot leave at once; one of its own if not given.
        buffer, spool: bytes of such an answer that may wait in memory, and on disk.
        patience: seconds for which a client may read nothing of such an answer; 0: for ever.
        clock, sleep: monotonic seconds, for the pace of streamed answers.
        wall_clock: seconds since the epoch, for the Date header.
    """

    def __init__(
        self,
        mounts: Mounts,
        *,
        multithread: bool,
        multiprocess: bool,
        server_name_default: str,
        server_port_default: str = "",
        errors: TextIO,
        logger: logging.Logger | None = None,
        software: str = "m2serve",
        keep_encoded_slashes: bool = False,
        file_wrapper: bool = True,
        uploads_proven: bool = False,
        post_limits: PostLimits | None = None,
        extra: Environ | None = None,
        files: StaticFiles | None = None,
        router: Router | None = None,
        exceptions: Exceptions | None = None,
        courier: Courier | None = None,
        buffer: int = 1024 * 1024,
        spool: int = 1024 * 1024 * 1024,
        patience: float = 0.0,
        headers: Sequence[tuple[str, str]] = (),
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        self._mounts = mounts
        self._log = logger or logging.getLogger("m2serve.gateway")
        self._environs = EnvironBuilder(
            errors=errors,
            multithread=multithread,
            multiprocess=multiprocess,
            server_name=server_name_default,
            server_port=server_port_default,
            software=software,
            keep_encoded_slashes=keep_encoded_slashes,
            file_wrapper=file_wrapper,
            extra=extra,
        )
        self._uploads_proven = uploads_proven
        self._post_limits = post_limits
        self._files = files
        self._router = router
        self._exceptions = exceptions
        self._faults = Faults(self._log, wall_clock)
        self._writer = HeadWriter(headers)
        self._means = Means(clock, sleep, courier or Courier(clock), buffer, spool, patience)
        self._wall_clock = wall_clock
        self._stamp = (0, b"")
        self._plans: Memo[bytes, _Plan] = Memo(_PLANS)

    def handle(
        self, request: Request, channel: Channel, request_id: str, body: Body | None = None
    ) -> Outcome | Pending:
        """Answer one request; *body* where it does not lie in the message. Never raises, whatever the application
        does.
        """
        # an empty key is never there
        plan = self._plans.get(request.key)
        if plan is None:
            if speaks_of_upload(request):
                request, refusal = self._without_upload(request, request_id, body)
            else:
                refusal = self._admit(request, body)
            if refusal is not None:
                return self._faults.refuse(refusal, request, channel, request_id)
            terms = terms_of(request)
        else:
            terms = plan.terms
        if channel.gone:
            return Outcome(CLIENT_GONE_STATUS, error="the client has left", trouble=WRITE_ERROR)
        second = int(self._wall_clock())
        stamp = self._stamp
        if stamp[0] != second:
            stamp = self._stamp = (second, b"Date: %b\r\n" % http_date(second))
        if body is None or body.complete:
            answer = Answer(channel, terms, stamp[1], self._writer, self._means)
        else:
            answer = EarlyAnswer(channel, terms, stamp[1], self._writer, self._means, body)
        app_number = NO_APP
        error: str | None = None
        trouble = 0
        filed = False
        call: Call | None = None
        result: Iterable[bytes] | None = None
        left = True
        try:
            if plan is None:
                environ = self._environs.template(request)
                app_number, app = place(self._mounts, environ, request)
                if request.key:
                    self._plans.put(request.key, _Plan(terms, environ.copy(), app_number, app))
            else:
                _, template, app_number, app = plan
                environ = template.copy()
            self._environs.complete(environ, request, request_id)
            environ["m2serve.connected"] = channel.connected
            if body is not None:
                self._environs.attach(environ, body)
            start = answer.start_response
            if self._router is not None:
                call = self._router.begin(environ, answer)
                start = call.start_response
                if call.app is not None:
                    app_number, app = NO_APP, call.app
                    filed = isinstance(app, StaticFile)
                elif call.moved:
                    app_number, app = move(self._mounts, environ, call, self._environs.script_name(request))
            if self._files is not None and (call is None or call.app is None):
                file = self._files.find(environ)
                if file is not None:
                    app_number, app, filed = FILE, file, True
            if call is not None and call.guarded:
                app = guarded(app, call)
            result = app(environ, start)
            if call is not None and call.instead is not None:
                filed = isinstance(call.instead, StaticFile)
            if type(result) is list:
                answer.whole(result)
            else:
                filed |= _send(answer, result)
            left = answer.finish()
        except ClientGone:
            error = self._faults.client_gone(answer)
            trouble = WRITE_ERROR
        except BodyError as raised:
            error = self._faults.unread(raised, answer, request, channel, request_id)
            trouble = READ_ERROR
        except BaseException as raised:
            # SystemExit and KeyboardInterrupt too: an application that calls sys.exit() has failed in one
            # request, and the other requests of this process are none of its business
            error = describe(raised)
            trouble = EXCEPTION
            left = self._failed(raised, answer, request, channel, request_id, call)
        finally:
            if type(result) is not list:
                error = self._close(result, request_id) or error
        if not left:
            assert answer.outflow is not None
            return Pending(
                answer.outflow,
                partial(self._conclude, answer, error, trouble, request, channel, request_id, app_number, filed, call),
                app_number,
            )
        if answer.fault is not None:
            error = error or answer.fault
            self._faults.broken(answer, request, request_id)
        outcome = _new(
            Outcome,
            (
                answer.status,
                answer.body_bytes,
                answer.header_count,
                answer.header_bytes,
                not answer.keep,
                error,
                app_number,
                trouble,
                filed,
            ),
        )
        return outcome if call is None else call.over(outcome)

    def _conclude(
        self,
        answer: Answer,
        error: str | None,
        trouble: int,
        request: Request,
        channel: Channel,
        request_id: str,
        app_number: int,
        filed: bool,
        call: Call | None,
    ) -> Outcome:
        """The last of the answer has left, or its client has; the thread that ran the application is elsewhere."""
        answer.conclude()
        if channel.gone:
            error = error or "the client has left"
            trouble = trouble or WRITE_ERROR
        if answer.fault is not None:
            error = error or answer.fault
            self._faults.broken(answer, request, request_id)
        outcome = Outcome(
            answer.status,
            answer.body_bytes,
            answer.header_count,
            answer.header_bytes,
            not answer.keep,
            error,
            app_number,
            trouble,
            filed,
        )
        return outcome if call is None else call.over(outcome)

    def _admit(self, request: Request, body: Body | None) -> Refusal | None:
        if body is not None:
            return admit(request, outside=True) or (Refusal(body.status, body.fault) if body.fault else None)
        limit = self._post_limits.of(request.path) if self._post_limits and request.body else None
        return admit(request, limit=limit)

    def _without_upload(self, request: Request, request_id: str, body: Body | None) -> tuple[Request, Refusal | None]:
        """Nobody but us may see the name of an upload's file; one that a client has made up is logged."""
        if body is None:
            if not self._uploads_proven:
                refusal = refuse_upload(request)
                if refusal is not None:
                    return request, refusal
            self._log.warning("upload headers of a client's own removed id=%s uri=%s", request_id, uri_of(request))
        request = without_upload(request)
        return request, self._admit(request, body)

    def _failed(
        self,
        raised: BaseException,
        answer: Answer,
        request: Request,
        channel: Channel,
        request_id: str,
        call: Call | None,
    ) -> bool:
        """Tell the log, and the client if nothing has been told to it yet. Whether all of that has left."""
        self._log.error("request failed id=%s uri=%s", request_id, uri_of(request), exc_info=True)
        told = ""
        if self._exceptions is not None:
            self._exceptions.raised(raised)
            told = self._exceptions.page(raised, request)
        if call is not None and not answer.committed and not told:
            app = call.failed()
            if app is not None:
                return self._instead(app, call, answer, request, channel, request_id)
        self._faults.break_off(500, answer, request, channel, request_id, told)
        return True

    def _instead(
        self, app: WSGIApp, call: Call, answer: Answer, request: Request, channel: Channel, request_id: str
    ) -> bool:
        """Have *app* answer for an application that has failed. Whether all of that has left."""
        result: Iterable[bytes] = ()
        try:
            result = app(call.environ, call.start_instead)
            if type(result) is list:
                answer.whole(result)
            else:
                _send(answer, result)
            return answer.finish()
        except ClientGone:
            self._faults.client_gone(answer)
        except Exception:
            self._log.exception("error-route failed id=%s uri=%s", request_id, uri_of(request))
            self._faults.break_off(500, answer, request, channel, request_id)
        finally:
            self._close(result, request_id)
        return True

    def _close(self, result: object, request_id: str) -> str | None:
        """Call the result's close(), which PEP 3333 promises in all cases."""
        try:
            close = getattr(result, "close", None)
            if close is not None:
                close()
        except BaseException as raised:
            # as around the application itself; the answer is complete, so only the log is to be told
            self._log.exception("close() of the answer failed id=%s", request_id)
            return f"close(): {describe(raised)}"
        return None


def _send(answer: Answer, result: Iterable[bytes]) -> bool:
    """Hand the application's result to *answer*, as its type allows; gives whether it was a file."""
    kind = type(result)
    if kind is tuple:
        answer.whole(result)  # type: ignore[arg-type]  # the type named
    elif kind is FileWrapper:
        return answer.file(result)  # type: ignore[arg-type]
    elif isinstance(result, (bytes, str)):
        raise TypeError(f"the application returned {kind.__name__}, not an iterable of bytes")
    else:
        for piece in result:
            answer.push(piece)
            if answer.bodyless or answer.fault is not None:
                break
    return False
