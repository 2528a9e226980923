"""``m2serve --doctor``: what of a Mongrel2 and of our settings will hurt, before anybody is hurt.

Settings and database are read, and each address is asked who is there: the greeting of ZMTP says it, and without our
half of the handshake Mongrel2 deals us nothing. Nothing is started or changed.
"""

from __future__ import annotations

import logging
import os
import re
import socket
from enum import Enum
from typing import TYPE_CHECKING, NamedTuple

from m2serve.config import doors
from m2serve.errors import ConfigError, ProtocolError, TransportError
from m2serve.mongrel2 import database, place
from m2serve.mongrel2.fronts import fronts, merged, number
from m2serve.mongrel2.soundness import examine
from m2serve.transports import peer
from m2serve.wire import zmtp

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from m2serve.config.settings import Settings
    from m2serve.endpoint import Endpoint
    from m2serve.front import Front
    from m2serve.mongrel2.database import Database, Handler

_PATIENCE = 2.0
"""Seconds for an address to answer."""
_IDENT = re.compile(r"[A-Za-z0-9-]+")
_NO_APP = "no application:"
_ROOMY = 8192
"""Bytes of headers that browsers with cookies really send."""


class Level(Enum):
    """How much it hurts."""

    GOOD = "good"
    ADVICE = "advice"
    WARNING = "warning"
    PROBLEM = "problem"


class Finding(NamedTuple):
    """One thing that was looked at."""

    level: Level
    text: str


def diagnose(settings: Settings, problems: Sequence[str] = ()) -> list[tuple[str, list[Finding]]]:
    """Findings under a title each: of the settings, then of every Mongrel2.

    Args: problems: what is known to be wrong with the settings; that there is no application is none here.
    """
    own = [Finding(Level.ADVICE if text.startswith(_NO_APP) else Level.PROBLEM, text) for text in problems]
    if any(one.level is Level.PROBLEM for one in own):
        return [("settings", own)]
    if settings.with_mongrel2 is not None:
        own.append(_good("with-mongrel2 writes Mongrel2's configuration itself; there is none yet to be looked at"))
    known: tuple[Front, ...] = ()
    with _Heard() as heard:
        try:
            if settings.with_mongrel2 is None:
                known = fronts(settings)
                examine(settings, known)
        except ConfigError as error:
            own.append(Finding(Level.PROBLEM, str(error)))
    own += [Finding(Level.WARNING, text) for text in heard.texts]
    found, others = _database(settings)
    own += others
    own += _ours(settings)
    values = merged(settings, found.settings if found else {})
    sections = [("settings", own or [_good("nothing to be said against them")])]
    for front in known:
        handler = _handler(settings, found, front)
        findings = [*_addresses(front)]
        if found is not None and handler is not None:
            findings += [*_handlers(found, handler), *_settings(settings, values, front)]
        sections.append((_title(found, handler, front), findings))
    return sections


def report(sections: Sequence[tuple[str, Sequence[Finding]]]) -> str:
    """The findings as text, and how many there are of each kind."""
    lines: list[str] = []
    for title, findings in sections:
        lines += [title, *(f"  {finding.level.value:8} {finding.text}" for finding in findings), ""]
    counts = {level: sum(one.level is level for _, found in sections for one in found) for level in Level}
    lines.append(
        f"problems: {counts[Level.PROBLEM]}, warnings: {counts[Level.WARNING]}, advice: {counts[Level.ADVICE]}"
    )
    return "\n".join(lines) + "\n"


def is_ill(sections: Sequence[tuple[str, Sequence[Finding]]]) -> bool:
    """Whether something will not work."""
    return any(one.level is Level.PROBLEM for _, found in sections for one in found)


# --- the settings ---------------------------------------------------------------------


class _Heard(logging.Handler):
    """What the parts that start a server would warn of; nothing of it reaches the log."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.texts: list[str] = []
        self._log = logging.getLogger("m2serve.mongrel2")

    def emit(self, record: logging.LogRecord) -> None:
        self.texts.append(record.getMessage())

    def __enter__(self) -> _Heard:
        self._log.addHandler(self)
        self._propagate, self._log.propagate = self._log.propagate, False
        return self

    def __exit__(self, *_: object) -> None:
        self._log.removeHandler(self)
        self._log.propagate = self._propagate


def _good(text: str) -> Finding:
    return Finding(Level.GOOD, text)


def _database(settings: Settings) -> tuple[Database | None, list[Finding]]:
    if settings.mongrel2_config is None:
        if settings.with_mongrel2 is not None or not settings.has_mongrel2:
            return None, []
        text = "name Mongrel2's database with mongrel2-config: without it only addresses can be looked at"
        return None, [Finding(Level.ADVICE, text)]
    try:
        return database.read(os.path.abspath(settings.mongrel2_config)), []
    except ConfigError:
        return None, []  # said already


def _ours(settings: Settings) -> Iterator[Finding]:
    for door in doors.wanted(settings):
        yield from _door(door)
    if not settings.has_mongrel2:
        return
    if settings.zeromq_direct:
        yield Finding(
            Level.WARNING,
            "zeromq-direct: a slow request holds up those that were dealt to its thread, requests are lost with a"
            " dying worker, and bodies over limits.content_length are answered 413",
        )
    if not settings.keep_alive_interval:
        yield Finding(Level.WARNING, "keep-alive-interval is 0: Mongrel2 will cull connections that wait for long")


def _door(door: doors.Wanted) -> Iterator[Finding]:
    """Whether it could be bound. A port below 1024, or somebody who listens there already, are the usual reasons."""
    address = door.address
    text = f"{door.origin}: {door.protocol} at {address}"
    if address.fd >= 0 or address.shared >= 0 or (not address.path and not address.port):
        yield _good(f"{text}: nothing to be looked at before the start")
        return
    with socket.socket(address.family, socket.SOCK_STREAM) as probe:
        probe.settimeout(_PATIENCE)
        try:
            probe.connect(address.address)
        except OSError:
            yield _good(f"{text}: nobody listens there yet")
        else:
            yield Finding(Level.WARNING, f"{text}: somebody listens there already; if not this server, it cannot start")


# --- the addresses --------------------------------------------------------------------


def _addresses(front: Front) -> Iterator[Finding]:
    for endpoint, kind, role in (
        (front.pair.send, b"PUSH", "send_spec"),
        (front.pair.recv, b"SUB", "recv_spec"),
    ):
        yield _asked(endpoint, kind, role)
    control = front.control
    if control is not None and control.path and not os.path.exists(control.path):
        yield Finding(Level.ADVICE, f"no control port at {control}: Mongrel2 does not run, or its chroot is elsewhere")


def _asked(endpoint: Endpoint, kind: bytes, role: str) -> Finding:
    """Who answers there. Our READY is never said, so a PUSH does not count us in."""
    handshake = zmtp.Handshake(kind)
    try:
        with peer.connect(endpoint) as sock:
            sock.settimeout(_PATIENCE)
            sock.sendall(zmtp.GREETING)
            while not handshake.done:
                chunk = sock.recv(handshake.missing)
                if not chunk:
                    raise TransportError("closed by the peer")
                handshake.feed(chunk)
    except ProtocolError as error:
        return Finding(Level.PROBLEM, f"{role} {endpoint}: {error}")
    except (TransportError, OSError) as error:
        why = "no answer" if isinstance(error, socket.timeout) else getattr(error, "strerror", None) or str(error)
        return Finding(
            Level.PROBLEM, f"{role} {endpoint}: {why.lower()}: Mongrel2 does not run, or has another address"
        )
    return _good(f"{role} {endpoint}: a {kind.decode()} socket answers")


# --- the database ---------------------------------------------------------------------


def _handler(settings: Settings, found: Database | None, front: Front) -> Handler | None:
    if found is None:
        return None
    fitting = [one for one in found.handlers if place.is_at(one.send_spec, front.pair.send)]
    named = [one for one in found.handlers if one.send_ident == settings.handler]
    return next(iter([one for one in named if one in fitting] or named or fitting), None)


def _title(found: Database | None, handler: Handler | None, front: Front) -> str:
    if found is None or handler is None:
        return f"Mongrel2 at {front.pair.send}"
    servers = ", ".join(server.uuid for server in found.servers_of(handler))
    return f"Mongrel2 at {front.pair.send}: handler {handler.send_ident} of {servers or 'no server'} in {found.path}"


def _handlers(found: Database, handler: Handler) -> Iterator[Finding]:
    ident, receives = handler.send_ident, handler.recv_ident
    if _IDENT.fullmatch(ident) is None:
        text = f"send_ident {ident!r}: Mongrel2 refuses answers to it: expected letters, digits and '-'"
        yield Finding(Level.PROBLEM, text)
    if not receives:
        several = len(found.servers) > 1 or len(found.handlers) > 1
        text = f"recv_ident is empty: Mongrel2 takes the answers of all others, too; set recv_ident='{ident}'"
        yield Finding(Level.PROBLEM if several else Level.WARNING, text)
    elif receives.rstrip(" ") != ident:
        level = Level.WARNING if ident.startswith(receives) else Level.PROBLEM
        effect = "takes answers of other handlers, too" if level is Level.WARNING else "takes none of our answers"
        yield Finding(level, f"recv_ident {receives!r} is not send_ident {ident!r}: Mongrel2 {effect}")
    for other in found.handlers:
        if other is handler:
            continue
        if other.send_ident == ident:
            text = f"send_ident {ident} is also that of the handler at {other.send_spec}: answers reach both"
            yield Finding(Level.PROBLEM, text)
        elif receives and other.send_ident.startswith(receives):
            text = f"recv_ident {receives!r} is the beginning of {other.send_ident}: its answers come here, too"
            yield Finding(Level.WARNING, f"{text}; a blank at the end makes the match exact")
    if not handler.servers:
        yield Finding(Level.WARNING, "no route leads to this handler: it gets no requests")
    if len(found.servers_of(handler)) > 1 and handler.servers:
        names = ", ".join(server.uuid for server in found.servers_of(handler))
        yield Finding(Level.PROBLEM, f"several servers have routes to it ({names}), and each binds its addresses")
    if handler.protocol != "tnetstring":
        text = "protocol is json: slower, and bytes that are no UTF-8 arrive as Mongrel2 escapes them; set tnetstring"
        yield Finding(Level.ADVICE, text)


def _settings(settings: Settings, values: Mapping[str, str], front: Front) -> Iterator[Finding]:
    if front.temp_store is None and not front.stream:
        yield Finding(
            Level.PROBLEM,
            f"upload.temp_store is not set: bodies over {front.content_length} bytes and chunked ones are refused",
        )
    elif front.temp_store is not None and front.stream:
        yield Finding(Level.ADVICE, "upload.stream is on: upload.temp_store is not used")
    if not front.flow_control:
        yield Finding(
            Level.WARNING,
            "download.flow_control is off: large answers go at a guessed pace, and slow clients may be cut off;"
            " set download.flow_control=1",
        )
    headers = number(values.get("limits.buffer_size"), 4096)
    if headers < _ROOMY:
        text = f"limits.buffer_size is {headers}: requests with longer headers are cut off; set 16384"
        yield Finding(Level.ADVICE, text)
    if number(values.get("limits.client_read_retries"), 5) < 10:
        text = "limits.client_read_retries is small: headers that come in many packets are cut off; set 20"
        yield Finding(Level.ADVICE, text)
    yield from _culling(settings, values)


def _culling(settings: Settings, values: Mapping[str, str]) -> Iterator[Finding]:
    """A connection is culled when more than kill_limit of the tests fail; our keep-alives renew the first."""
    tests = [number(values.get(f"limits.{name}"), default) for name, default in _TESTS]
    if sum(value > 0 for value in tests) <= number(values.get("limits.kill_limit"), 2):
        yield _good("no connection is culled")
        return
    ping, interval = tests[0], float(settings.keep_alive_interval)
    if ping and interval * 2 > ping:
        text = f"connections without a word for {ping} s are culled (limits.min_ping), but keep-alive-interval is"
        yield Finding(Level.WARNING, f"{text} {interval:g} s: long polls may be cut off; set it to {ping / 3:g}")


_TESTS = (("min_ping", 120), ("min_write_rate", 300), ("min_read_rate", 300))
