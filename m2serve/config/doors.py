"""What the settings say about sockets of our own: all of them, in order, with what each is for."""

from __future__ import annotations

import os
from collections import Counter
from typing import TYPE_CHECKING, NamedTuple

from m2serve.config.addresses import SocketAddress, TlsAddress

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from m2serve.config.addresses import SocketMap
    from m2serve.config.settings import Settings
    from m2serve.door import DoorProtocol, Tls

OPTIONS: tuple[tuple[str, DoorProtocol | None], ...] = (
    ("socket", None),
    ("http", "http"),
    ("https", "https"),
    ("fastcgi_socket", "fastcgi"),
    ("scgi_socket", "scgi"),
)
"""Fields of the settings, and what is spoken there; None: what ``protocol`` says."""

_OF_ROUTERS = ("http", "https", "https2")
"""Names under which uWSGI starts a router of its own, which is no socket of its workers."""

_SOMAXCONN = "/proc/sys/net/core/somaxconn"


class Wanted(NamedTuple):
    """One socket that the settings ask for."""

    field: str
    """The option's."""
    origin: str
    """``app.ini:3: http``."""
    protocol: DoorProtocol
    address: SocketAddress
    """Never one of a shared-socket's number, unless there is none of that number."""
    tls: Tls | None = None
    shared: bool = False
    """It is that of a shared-socket."""
    workers: tuple[int, ...] = ()
    """Who serves there (map-socket); empty: all."""


class Timeouts(NamedTuple):
    """Of connections at one door, as ``Door`` has them."""

    keepalive: float
    head: float
    body: float
    chunked: float
    """A body in chunks."""


def numbered(given: Iterable[tuple[str, str]]) -> tuple[tuple[str, int], ...]:
    """The sockets in the order of their numbers for map-socket, each as its field and the index of its value.

    As in uWSGI they count from 0 as they are declared. Those that are none of its workers' there come last: a file's
    numbers mean the same here, and each socket has one.

    Args: given: keys and fields of all values of lists, in their order.
    """
    counts: Counter[str] = Counter()
    found = []
    for key, field in given:
        if any(field == name for name, _ in OPTIONS):
            found.append((key in _OF_ROUTERS, (field, counts[field])))
            counts[field] += 1
    return tuple(place for _, place in sorted(found, key=lambda one: one[0]))


def wanted(settings: Settings) -> Iterator[Wanted]:
    """Every one of them."""
    numbers = {place: number for number, place in enumerate(settings.sockets)}
    served = served_by(settings.map_socket)
    for field, protocol in OPTIONS:
        origins = settings.origins.get(field, ())
        for index, value in enumerate(getattr(settings, field)):
            origin = f"{origins[index] if index < len(origins) else 'default'}: {field.replace('_', '-')}"
            address, tls = (value.address, value.tls) if isinstance(value, TlsAddress) else (value, None)
            shared = 0 <= address.shared < len(settings.shared_socket)
            if shared:
                address = settings.shared_socket[address.shared]
            workers = served.get(numbers.get((field, index), -1), ())
            yield Wanted(field, origin, protocol or settings.protocol, address, tls, shared, workers)


def served_by(maps: Iterable[SocketMap]) -> dict[int, tuple[int, ...]]:
    """Workers by the number of a socket. Where several lines are about one, a worker must stand in all, as in uWSGI."""
    found: dict[int, tuple[int, ...]] = {}
    for one in maps:
        both = found.get(one.socket, one.workers)
        found[one.socket] = tuple(worker for worker in one.workers if worker in both)
    return found


def timeouts(settings: Settings, protocol: DoorProtocol) -> Timeouts:
    """What connections of that protocol are given. A web server in front has the whole request first."""
    if protocol in ("http", "https"):
        body = settings.http_timeout
        patience = (settings.http_headers_timeout, body, settings.chunked_input_timeout or body)
    else:
        patience = (settings.socket_timeout,) * 3
    several = protocol in ("http", "https", "fastcgi")
    return Timeouts(float(settings.http_keepalive) if several else 0.0, *map(float, patience))


def mistakes(settings: Settings, directory: str) -> Iterator[tuple[tuple[str, ...], str]]:
    """Fields, and what is wrong with their values together. Args: directory: where relative paths start."""
    found = list(wanted(settings))
    if settings.zeromq_direct and found:
        yield (found[0].field, "zeromq_direct"), "expected no zeromq-direct beside it: the dispatcher serves both"
    for one in found:
        if one.address.shared >= 0:
            count = len(settings.shared_socket)
            expected = f"expected a number below {count}" if count else "expected a shared-socket"
            yield (one.field, "shared_socket"), f"{one.address}: there are {count} of shared-socket: {expected}"
    for address in settings.shared_socket:
        if address.shared >= 0:
            yield ("shared_socket",), f"{address}: expected an address, not the number of another"
    for address, times in Counter(one.address for one in found).items():
        if times > 1 and (address.path or address.port or address.fd >= 0):
            fields = tuple(one.field for one in found if one.address == address)
            yield fields, f"{address} is used {times} times; expected each socket once"
    for one in found:
        for path in (one.tls.certificate, one.tls.key, one.tls.client_ca) if one.tls is not None else ():
            if path and not os.path.isfile(os.path.join(directory, path)):
                yield (one.field,), f"{path!r}: expected an existing file, PEM"
    for expected in _unserved(settings):
        # a value that could not be read has no number: then nothing is said here
        yield ("map_socket", *(name for name, _ in OPTIONS)), expected
    most = _somaxconn()
    if (found or settings.activated) and "listen" in settings.origins and settings.listen > most:
        yield ("listen",), f"{settings.listen}: expected {most} at most, the kernel's limit (net.core.somaxconn)"


def _unserved(settings: Settings) -> Iterator[str]:
    """What is wrong with map-socket."""
    sockets, processes, least = len(settings.sockets), settings.processes, settings.cheaper or settings.processes
    for one in settings.map_socket:
        if one.socket >= sockets:
            expected = f"expected a number below {sockets}" if sockets else "expected a socket"
            yield f"{one}: there are {sockets} sockets, counted from 0: {expected}"
        if one.workers[-1] > processes:
            yield f"{one}: there are {processes} workers (processes): expected numbers from 1 to {processes}"
    for number, workers in served_by(settings.map_socket).items():
        if not workers:
            yield f"socket {number} is left without a worker: expected one that stands in all lines about it"
        elif least < workers[0] <= processes:
            always = f"with cheaper = {least} only workers 1 to {least} are always there"
            yield f"socket {number}: {always}: expected one of them"


def doubts(settings: Settings) -> Iterator[tuple[tuple[str, ...], str]]:
    """Fields, and what may be wrong with them."""
    found = list(wanted(settings))
    most = _somaxconn()
    if found and "listen" not in settings.origins and settings.listen > most:
        text = f"{settings.listen}, but the kernel lets only {most} connections wait (net.core.somaxconn)"
        yield ("listen",), text
    for one in found:
        name = os.path.basename(one.address.path)
        if name.isdigit():
            yield (one.field,), f"{one.address}: the path of a Unix socket, as it has no colon; a port is :{name}"
    if settings.emperor and found:
        yield (found[0].field, "emperor"), "an emperor listens nowhere: expected it in a vassal's file"
    served = [one.workers for one in found]
    idle = [str(number) for number in range(1, settings.processes + 1) if all(served) and number not in sum(served, ())]
    if settings.map_socket and idle and not settings.has_mongrel2 and not settings.activated:
        yield ("map_socket",), f"no socket is left to these workers, which do nothing: {', '.join(idle)}"
    used = {value.shared for field, _ in OPTIONS for value in map(_address, getattr(settings, field))}
    for index, address in enumerate(settings.shared_socket):
        if index not in used:
            yield ("shared_socket",), f"{address}: nobody listens there; expected socket = ={index}, or http = ={index}"


def _address(value: SocketAddress | TlsAddress) -> SocketAddress:
    return value.address if isinstance(value, TlsAddress) else value


def _somaxconn() -> int:
    """The longest queue that the kernel allows; where it cannot be known, any."""
    try:
        with open(_SOMAXCONN, encoding="ascii") as file:
            return int(file.read())
    except (OSError, ValueError):
        return 1 << 31
