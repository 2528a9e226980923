"""What rules do."""

from __future__ import annotations

import logging
import os
from typing import TYPE_CHECKING, TypeAlias
from urllib.parse import quote, unquote

from m2serve.config.routes import proxied
from m2serve.gateways.routing.call import Verdict
from m2serve.gateways.routing.canned import canned
from m2serve.gateways.routing.credentials import Users
from m2serve.gateways.routing.proxy import Proxy
from m2serve.gateways.routing.text import Text

if TYPE_CHECKING:
    from collections.abc import Callable

    from m2serve.gateways.base import WSGIApp
    from m2serve.gateways.files.search import StaticFiles
    from m2serve.gateways.routing.call import Call
    from m2serve.gateways.routing.text import Groups

Step: TypeAlias = "Callable[[Call, Groups], Verdict]"

log = logging.getLogger("m2serve.route")

_NEXT, _ENOUGH, _ANSWERED = Verdict.NEXT, Verdict.ENOUGH, Verdict.ANSWERED
_URL = "".join(chr(code) for code in range(0x21, 0x7F) if chr(code) not in '"<>\\^`{|}')
"""Signs that stay as they are in a Location."""


class Actions:
    """Makes the function of each action.

    Args:
        base: where relative paths start.
        files: presents static files.
        patience: seconds for each step of another server's.
    """

    def __init__(self, base: str, files: StaticFiles, patience: float = 60.0) -> None:
        self._base = base
        self._patience = patience
        self._files = files

    def step(self, name: str, argument: str) -> Step:
        """The function of one rule."""
        if name in _SETTERS:
            return _set(_SETTERS[name], Text(argument))
        made: Step = getattr(self, "_" + name.replace("-", "_"))(argument)
        return made

    def _continue(self, argument: str) -> Step:
        return lambda call, groups: _ENOUGH

    _last = _continue

    def _goto(self, argument: str) -> Step:
        def step(call: Call, groups: Groups) -> Verdict:
            call.goto = argument
            return Verdict.GOTO

        return step

    def _log(self, argument: str) -> Step:
        text = Text(argument)

        def step(call: Call, groups: Groups) -> Verdict:
            said = text.of(call, groups)
            # Clients may have chosen some of it: no line of theirs in the log.
            log.info("%s", said if said.isprintable() else ascii(said)[1:-1])
            return _NEXT

        return step

    def _donotlog(self, argument: str) -> Step:
        def step(call: Call, groups: Groups) -> Verdict:
            call.quiet = True
            return _NEXT

        return step

    def _logvar(self, argument: str) -> Step:
        name, text = _pair(argument, "=")

        def step(call: Call, groups: Groups) -> Verdict:
            call.variables[name] = text.of(call, groups)
            return _NEXT

        return step

    def _addvar(self, argument: str) -> Step:
        name, text = _pair(argument, "=")
        return _set(name, text)

    def _addheader(self, argument: str) -> Step:
        name, text = _pair(argument, ":")

        def step(call: Call, groups: Groups) -> Verdict:
            call.add_header(name, text.of(call, groups))
            return _NEXT

        return step

    def _remheader(self, argument: str) -> Step:
        name = argument.lower()

        def step(call: Call, groups: Groups) -> Verdict:
            call.removed.add(name)
            return _NEXT

        return step

    _delheader = _remheader

    def _break(self, argument: str) -> Step:
        # Without a status uWSGI says nothing at all, which looks like a fault of the server.
        return _answer(canned(argument or "403 Forbidden"))

    def _return(self, argument: str) -> Step:
        return _answer(canned(argument))

    _break_with_status = _return

    def _redirect(self, argument: str, status: str = "302 Found") -> Step:
        text = Text(argument)

        def step(call: Call, groups: Groups) -> Verdict:
            location = quote(text.of(call, groups), safe=_URL, encoding="latin-1", errors="replace")
            call.app = canned(status, [("Location", location)])
            return _ANSWERED

        return step

    _redirect_302 = _redirect

    def _redirect_permanent(self, argument: str) -> Step:
        return self._redirect(argument, "301 Moved Permanently")

    _redirect_301 = _redirect_permanent

    def _rewrite(self, argument: str, verdict: Verdict = _NEXT) -> Step:
        text = Text(argument)

        def step(call: Call, groups: Groups) -> Verdict:
            path, _, query = text.of(call, groups).partition("?")
            call.set_variable("PATH_INFO", unquote(path, encoding="latin-1"))
            # As in uWSGI what the client asked for comes behind it.
            call.set_variable("QUERY_STRING", "&".join(filter(None, (query, call.variable("QUERY_STRING")))))
            return verdict

        return step

    def _rewrite_last(self, argument: str) -> Step:
        return self._rewrite(argument, _ENOUGH)

    def _static(self, argument: str) -> Step:
        text = Text(argument)
        # What a client has chosen must not lead out of the directory that the rule names.
        root, separator, begin = text.fixed.rpartition("/") if text.varies else (text.fixed, "", "")
        where = os.fsencode(os.path.join(self._base, os.path.expanduser(root or separator or ".")))

        def step(call: Call, groups: Groups) -> Verdict:
            if call.environ["REQUEST_METHOD"] not in ("GET", "HEAD"):
                call.app = canned("405 Method Not Allowed", [("Allow", "GET, HEAD")])
                return _ANSWERED
            rest = (begin + text.rest(call, groups)) if text.varies else ""
            call.app = self._files.beneath(where, rest.encode("latin-1", "replace"), call.environ)
            call.app = call.app or canned("404 Not Found")
            return _ANSWERED

        return step

    def _http(self, argument: str) -> Step:
        return _answer(Proxy(*proxied(argument), self._patience))

    def _basicauth(self, argument: str, *, tries: bool = False) -> Step:
        realm, _, spec = argument.partition(",")
        users = Users(spec.strip(), self._base)
        refused = canned(
            "401 Unauthorized", [("WWW-Authenticate", f'Basic realm="{realm.strip().replace(chr(34), "")}"')]
        )

        def step(call: Call, groups: Groups) -> Verdict:
            if call.variable("REMOTE_USER"):
                return _NEXT
            user = users.who(call.variable("HTTP_AUTHORIZATION"))
            if user is not None:
                call.set_variable("REMOTE_USER", user)
                call.set_variable("AUTH_TYPE", "Basic")
            elif not tries:
                call.app = refused
                return _ANSWERED
            return _NEXT

        return step

    def _basicauth_next(self, argument: str) -> Step:
        return self._basicauth(argument, tries=True)


_SETTERS = {
    "setpathinfo": "PATH_INFO",
    "setscriptname": "SCRIPT_NAME",
    "setmethod": "REQUEST_METHOD",
    "seturi": "REQUEST_URI",
    "setremoteaddr": "REMOTE_ADDR",
    "setuser": "REMOTE_USER",
}


def _set(name: str, text: Text) -> Step:
    def step(call: Call, groups: Groups) -> Verdict:
        call.set_variable(name, text.of(call, groups))
        return _NEXT

    return step


def _pair(argument: str, sign: str) -> tuple[str, Text]:
    name, _, value = argument.partition(sign)
    return name.strip(), Text(value.strip())


def _answer(app: WSGIApp) -> Step:
    def step(call: Call, groups: Groups) -> Verdict:
        call.app = app
        return _ANSWERED

    return step
