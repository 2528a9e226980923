"""One request on its way through the rules, and what they have done with it."""

from __future__ import annotations

import logging
import os
import time
import uuid
from enum import Enum, auto
from http.cookies import CookieError, SimpleCookie
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs

from m2serve.gateways.base import Outcome
from m2serve.gateways.routing.canned import canned
from m2serve.wire.httpdate import http_date

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from m2serve.gateways.answer import Answer
    from m2serve.gateways.base import Environ, Write, WSGIApp


log = logging.getLogger("m2serve.route")


class Verdict(Enum):
    """How it goes on after an action."""

    NEXT = auto()
    """With the next rule."""
    GOTO = auto()
    """With the label that the call names."""
    ENOUGH = auto()
    """Without rules: what the call is now, the application gets."""
    ANSWERED = auto()
    """With the call's own application."""


class Quiet(Outcome):
    """An outcome that has no line in the log."""

    __slots__ = ()


class Call:
    """Threads: the request's; :meth:`over` also the courier's, later.

    Attributes:
        path, script: PATH_INFO and SCRIPT_NAME as the rules see them: all of the path, however applications are
            mounted.
        moved: one of them was changed.
        status: of the answer; 0: none has begun.
        app: answers in place of the application.
        begun: an answer has; ``instead``: what answers in its place.
        headers: which the answer gets besides, ``removed`` which it loses, in lower case.
        variables: for the log.
    """

    __slots__ = (
        "_answer",
        "_begun",
        "_errors",
        "_over",
        "app",
        "begun",
        "environ",
        "goto",
        "headers",
        "instead",
        "moved",
        "path",
        "quiet",
        "removed",
        "script",
        "status",
        "variables",
    )

    def __init__(
        self,
        environ: Environ,
        answer: Answer,
        begun: Callable[[Call, list[tuple[str, str]]], None] | None = None,
        over: Callable[[Call], object] | None = None,
        errors: Callable[[Call], bool] | None = None,
    ) -> None:
        self.environ = environ
        self._answer = answer
        self._begun = begun
        self._over = over
        self._errors = errors
        self.begun = False
        self.instead: WSGIApp | None = None
        self.path: str = environ["SCRIPT_NAME"] + environ["PATH_INFO"]
        self.script = ""
        self.moved = False
        self.status = 0
        self.app: WSGIApp | None = None
        self.goto = ""
        self.headers: list[tuple[str, str]] = []
        self.removed: set[str] = set()
        self.quiet = False
        self.variables: dict[str, str] = {}

    # --- what rules ask -----------------------------------------------------------------

    def variable(self, name: str) -> str:
        """A variable of the request, or what uWSGI has besides, as ``cookie[id]``; empty where there is none."""
        if name.endswith("]"):
            function, _, key = name[:-1].partition("[")
            return _FUNCTIONS[function](self, key) if function in _FUNCTIONS else ""
        if name == "PATH_INFO":
            return self.path
        if name == "SCRIPT_NAME":
            return self.script
        if name == "status":
            return str(self.status) if self.status else ""
        value: Any = self.environ.get(name, "")
        return value if isinstance(value, str) else ""

    # --- what rules do ------------------------------------------------------------------

    def set_variable(self, name: str, value: str) -> None:
        """``addvar`` and its kin."""
        if name == "PATH_INFO":
            self.path, self.moved = value, True
        elif name == "SCRIPT_NAME":
            self.script, self.moved = value, True
        else:
            self.environ[name] = value
            self.variables[f"var.{name}"] = value

    def add_header(self, name: str, value: str) -> None:
        """``addheader``; what a client has put into the value cannot end it."""
        if name.lower() == "connection":
            self._answer.keep = self._answer.keep and value.lower() != "close"
        else:
            self.headers.append((name, "".join(one if one >= " " and one != "\x7f" else " " for one in value)))

    # --- what the gateway calls, or gives the application ---------------------------------

    def start_response(self, status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Write:
        """The one of PEP 3333; the rules for answers are applied before it."""
        if isinstance(status, str) and status[:3].isdigit():
            self.status = int(status[:3])
        kept, gone = len(self.headers), set(self.removed)
        if self._errors is not None and self.instead is None:
            if self._errors(self):
                self.instead = self.app
                return _nothing
            self.begun = True
        if self._begun is not None and type(headers) is list:
            self._begun(self, headers)
        if type(headers) is list and (self.headers or self.removed):
            headers = [*self._left(headers), *self.headers]
        # An application that starts again gets the rules again.
        del self.headers[kept:]
        self.removed = gone
        return self._answer.start_response(status, headers, exc_info)

    @property
    def guarded(self) -> bool:
        """Another answer may be given in place of one that begins."""
        return self._errors is not None

    def start_instead(self, status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Write:
        """The same for what answers in place of another one, which may have begun."""
        return self.start_response(status, headers, exc_info or (None, None, None))

    def failed(self) -> WSGIApp | None:
        """What answers where nobody else has: an exception of the application's would be a 500. None: nobody does."""
        if self._errors is None or self.instead is not None:
            return None
        self.status = 500
        changes = len(self.headers), len(self.removed)
        if self._errors(self):
            self.instead = self.app
        elif changes != (len(self.headers), len(self.removed)):
            self.instead = canned("500 Internal Server Error")
        return self.instead

    def over(self, outcome: Outcome) -> Outcome:
        """The answer is over: the last rules; gives the outcome for the log."""
        self.status = outcome.status
        if self._over is not None:
            try:
                self._over(self)
            except Exception:
                # The answer has left: there is nobody else who could be told.
                log.exception("final-route failed uri=%s", ascii(self.variable("REQUEST_URI")))
        return Quiet(*outcome) if self.quiet else outcome

    def _left(self, headers: list[tuple[str, str]]) -> Sequence[tuple[str, str]]:
        if not self.removed:
            return headers
        return [one for one in headers if not (isinstance(one[0], str) and one[0].lower() in self.removed)]


def _nothing(data: bytes) -> None:
    """``write()`` of an answer that is not given."""


def _cookie(call: Call, key: str) -> str:
    try:
        found = SimpleCookie(call.variable("HTTP_COOKIE")).get(key)
    except CookieError:
        return ""
    return found.value if found is not None else ""


def _query(call: Call, key: str) -> str:
    try:
        found = parse_qs(call.variable("QUERY_STRING"), keep_blank_values=True, encoding="latin-1", max_num_fields=1000)
    except ValueError:
        return ""
    return found.get(key, [""])[0]


def _server(call: Call, key: str) -> str:
    if key == "status":
        return call.variable("status")
    return {"pid": str(os.getpid()), "uuid": str(uuid.uuid4())}.get(key, "")


def _time(call: Call, key: str) -> str:
    now = time.time()
    return {"unix": str(int(now)), "micros": str(int(now * 1e6))}.get(key, "")


def _http_time(call: Call, key: str) -> str:
    return http_date(time.time() + (int(key) if key.lstrip("-").isdigit() else 0)).decode("ascii")


_FUNCTIONS: dict[str, Callable[[Call, str], str]] = {
    "cookie": _cookie,
    "qs": _query,
    "uwsgi": _server,
    "time": _time,
    "httptime": _http_time,
}
