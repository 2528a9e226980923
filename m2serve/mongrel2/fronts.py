"""What is known of each Mongrel2 before anything is started: from options, from its database, else its defaults."""

from __future__ import annotations

import logging
import os
import re
from typing import TYPE_CHECKING, NamedTuple

from m2serve.endpoint import Endpoint, ZmqPair
from m2serve.errors import ConfigError
from m2serve.front import Front
from m2serve.mongrel2 import database, place
from m2serve.mongrel2.place import Place

if TYPE_CHECKING:
    from collections.abc import Mapping

    from m2serve.config.settings import Settings
    from m2serve.mongrel2.database import Database, Handler, Server

log = logging.getLogger("m2serve.mongrel2")

_CONTENT_LENGTH = 20480
_BUFFER_SIZE = 4096
_CONTROL = "ipc://run/control"
_IDENT = re.compile(r"[A-Za-z0-9-]+")


def fronts(settings: Settings, attached: Front | None = None) -> tuple[Front, ...]:
    """One for each pair of sockets, in the order of ``zeromq``, whose addresses the database may supply.

    Args:
        attached: of with-mongrel2, whose configuration is our own; it has the first pair.

    Raises: ConfigError: what is known cannot work, or is not enough.
    """
    known = _from_database(settings) if settings.mongrel2_config is not None else _from_options(settings, attached)
    _check_chroots(settings, known)
    return known


def merged(settings: Settings, others: Mapping[str, str]) -> dict[str, str]:
    """Mongrel2's settings: the options win."""
    return {**others, **{setting.key: setting.value for setting in settings.mongrel2_setting}}


def front(pair: ZmqPair, where: Place, values: Mapping[str, str], control: str = "", sendfile: bool = False) -> Front:
    """Read Mongrel2's settings as Mongrel2 does.

    Args:
        control: the server's own control port; it wins over that of the settings.
    """
    return Front(
        pair,
        chroot=where.root,
        directory=where.directory,
        temp_store=values.get("upload.temp_store") or None,
        content_length=number(values.get("limits.content_length"), _CONTENT_LENGTH),
        stream=number(values.get("upload.stream"), 0) != 0,
        flow_control=number(values.get("download.flow_control"), 0) != 0,
        control=_control(control or values.get("control_port", ""), where),
        sendfile=sendfile,
    )


# --- without a database ---------------------------------------------------------------


def _from_options(settings: Settings, attached: Front | None) -> tuple[Front, ...]:
    rest = settings.zeromq if attached is None else settings.zeromq[1:]
    found = [_unknown(settings, pair) for pair in rest]
    return tuple(found) if attached is None else (attached, *found)


def _unknown(settings: Settings, pair: ZmqPair) -> Front:
    """Of a Mongrel2 that no database describes; its relative names are ours."""
    where = _chroot(settings, str(pair.send)) or Place("/", os.getcwd())
    return front(pair, where, merged(settings, {}))


def _chroot(settings: Settings, *specs: str) -> Place | None:
    """What mongrel2-chroot says of the handler with one of these addresses."""
    for option in settings.mongrel2_chroot:
        if option.endpoint is not None and any(place.is_at(spec, option.endpoint) for spec in specs):
            return place.given(option.directory)
    return next((place.given(option.directory) for option in settings.mongrel2_chroot if option.endpoint is None), None)


def _check_chroots(settings: Settings, known: tuple[Front, ...]) -> None:
    for option in settings.mongrel2_chroot:
        wanted = option.endpoint
        if wanted is not None and not any(place.is_at(str(wanted), front.pair.send) for front in known):
            raise _mistake(settings, "mongrel2_chroot", f"no Mongrel2 at {wanted}: expected one of {_sends(known)}")


def _sends(known: tuple[Front, ...]) -> str:
    return ", ".join(str(front.pair.send) for front in known)


# --- with a database ------------------------------------------------------------------


class _Entry(NamedTuple):
    """A handler of the database, and where its Mongrel2 lies."""

    handler: Handler
    where: Place
    servers: tuple[Server, ...]


def _from_database(settings: Settings) -> tuple[Front, ...]:
    try:
        known = database.read(os.path.abspath(str(settings.mongrel2_config)))
    except ConfigError as error:
        raise _mistake(settings, "mongrel2_config", str(error)) from None
    if not known.handlers:
        raise _mistake(settings, "mongrel2_config", f"{known.path} has no handler: expected one with a route to it")
    values = merged(settings, known.settings)
    _check_values(values)
    if settings.handler is not None or not settings.zeromq:
        handler = _named(settings, known)
        pair = settings.zeromq[0] if settings.zeromq else None
        entry = _entry(settings, known, handler, pair)
        return (_described(entry, pair or _pair(settings, entry), values),)
    return _supplied(settings, known, values)


def _supplied(settings: Settings, known: Database, values: Mapping[str, str]) -> tuple[Front, ...]:
    """Addresses are given; what the database has at these is used."""
    found = []
    for pair in settings.zeromq:
        handlers = [handler for handler in known.handlers if place.is_at(handler.send_spec, pair.send)]
        exact = [handler for handler in handlers if handler.send_spec == str(pair.send)] or handlers
        if exact:
            found.append(_described(_entry(settings, known, exact[0], pair), pair, values))
            continue
        specs = ", ".join(sorted(handler.send_spec for handler in known.handlers))
        text = f"{known.path} has no handler with send_spec {pair.send}, only {specs}"
        if len(settings.zeromq) == 1:
            raise _mistake(settings, "mongrel2_config", f"{text}; if it is one of these, name it with handler")
        log.info("%s: of that Mongrel2 only options are known", text)
        found.append(_unknown(settings, pair))
    return tuple(found)


def _named(settings: Settings, known: Database) -> Handler:
    """The handler of that send_ident; without a name, the only one there is."""
    idents = sorted({handler.send_ident for handler in known.handlers})
    if settings.handler is None and len(known.handlers) > 1:
        expected = f"{known.path} has several handlers: expected handler, one of {', '.join(idents)}"
        raise _mistake(settings, "mongrel2_config", expected)
    wanted = settings.handler if settings.handler is not None else idents[0]
    found = [handler for handler in known.handlers if handler.send_ident == wanted]
    if not found:
        expected = f"{wanted!r}: no such send_ident in {known.path}: expected one of {', '.join(idents)}"
        raise _mistake(settings, "handler", expected)
    if len(found) > 1:
        specs = "; ".join(f"{handler.send_spec},{handler.recv_spec}" for handler in found)
        expected = f"{wanted!r}: {len(found)} handlers of {known.path} have that send_ident: expected zeromq instead, "
        raise _mistake(settings, "handler", f"{expected}one of {specs}")
    if _IDENT.fullmatch(wanted) is None:
        expected = f"{wanted!r}: Mongrel2 refuses answers to such a send_ident: expected letters, digits and '-' in it"
        raise _mistake(settings, "handler", expected)
    return found[0]


def _entry(settings: Settings, known: Database, handler: Handler, pair: ZmqPair | None) -> _Entry:
    servers = known.servers_of(handler)
    chosen = _chroot(settings, handler.send_spec, *([str(pair.send)] if pair else ()))
    if chosen is not None:
        return _Entry(handler, chosen, servers)
    if not servers:
        raise _mistake(settings, "mongrel2_config", f"{known.path} has no server: expected one for its handlers")
    if len({server.chroot for server in servers}) > 1:
        roots = ", ".join(f"{server.uuid} ({server.chroot or 'no chroot'})" for server in servers)
        expected = f"handler {handler.send_ident} belongs to several servers, {roots}: expected mongrel2-chroot"
        raise _mistake(settings, "mongrel2_config", expected)
    places = [place.found(server, known.path) for server in servers]
    return _Entry(handler, next((where for where in places if where.certain), places[0]), servers)


def _pair(settings: Settings, entry: _Entry) -> ZmqPair:
    handler = entry.handler
    try:
        pair = ZmqPair(place.reachable(handler.send_spec, entry.where), place.reachable(handler.recv_spec, entry.where))
    except ConfigError as error:
        text = f"handler {handler.send_ident}: {error}; zeromq can name both"
        raise _mistake(settings, "mongrel2_config", text) from None
    paths = [endpoint.path for endpoint in (pair.send, pair.recv) if endpoint.path]
    if paths and not entry.where.certain and not any(map(os.path.exists, paths)):
        log.warning(
            "mongrel2-config: Mongrel2 does not run yet, so its chroot %s is believed: sockets are looked for at %s;"
            " mongrel2-chroot can name another place",
            entry.where.root,
            ", ".join(paths),
        )
    return pair


def _described(entry: _Entry, pair: ZmqPair, values: Mapping[str, str]) -> Front:
    ports = {server.control_port for server in entry.servers}
    control = (ports.pop() or values.get("control_port") or _CONTROL) if len(ports) == 1 else ""
    sendfile = bool(entry.servers) and all(server.sendfile for server in entry.servers)
    return front(pair, entry.where, values, control, sendfile)


def _check_values(values: Mapping[str, str]) -> None:
    """Settings with which Mongrel2 itself fails."""
    stream = number(values.get("upload.stream"), 0)
    store = values.get("upload.temp_store")
    if not store and not stream:
        log.warning(
            "mongrel2-config: upload.temp_store is not set: Mongrel2 refuses large and chunked bodies,"
            " and each refusal may close the connection of somebody else"
        )
    elif store and not store.endswith("XXXXXX"):
        log.warning("mongrel2-config: upload.temp_store is %s: without XXXXXX at its end Mongrel2 makes no file", store)
    content = number(values.get("limits.content_length"), _CONTENT_LENGTH)
    headers = number(values.get("limits.buffer_size"), _BUFFER_SIZE)
    if content < headers:
        log.warning(
            "mongrel2-config: limits.content_length is %d, less than limits.buffer_size, %d:"
            " Mongrel2 writes uploads with a wrong content",
            content,
            headers,
        )


# --- values ---------------------------------------------------------------------------


def number(text: str | None, default: int) -> int:
    """A setting as C's atoi reads it."""
    if text is None:
        return default
    match = re.match(r"\s*([+-]?[0-9]{1,10})", text)
    return int(match[1]) if match else 0


def _control(spec: str, where: Place) -> Endpoint | None:
    try:
        return place.reachable(spec, where) if spec else None
    except ConfigError:
        return None  # nothing depends on it so much that it would be worth an error


def _mistake(settings: Settings, name: str, expected: str) -> ConfigError:
    return ConfigError(f"{settings.origin(name)}: {name.replace('_', '-')}: {expected}")
