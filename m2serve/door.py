"""A socket that m2serve itself listens at."""

from __future__ import annotations

import socket
from typing import Literal, NamedTuple, TypeAlias

DoorProtocol: TypeAlias = Literal["http", "https", "uwsgi", "fastcgi", "scgi"]


class Tls(NamedTuple):
    """Files of a door's certificate."""

    certificate: str
    key: str
    ciphers: str = ""
    """As OpenSSL names them; empty: Python's choice."""
    client_ca: str = ""
    """Certificates of those whose clients' certificates are believed; empty: clients need none."""


class Door(NamedTuple):
    """One listening socket, bound by the master, and how whoever accepts from it is to treat its clients."""

    protocol: DoorProtocol
    name: str
    """As logs and statistics show it: the address."""
    fd: int
    """Listening, non-blocking. The same number in the master and in its children."""
    family: socket.AddressFamily = socket.AF_INET
    local: tuple[str, int] = ("", 0)
    """Address and port that it is bound to; nothing for Unix sockets."""
    keepalive: float = 0.0
    """Seconds that a connection may wait for another request; 0: each serves one."""
    head_timeout: float = 60.0
    """Seconds from the first byte of a request to the last one of its head."""
    body_timeout: float = 60.0
    """Seconds without a byte of a body."""
    chunk_timeout: float = 60.0
    """The same of one that comes in chunks."""
    tls: Tls | None = None
    shared: bool = False
    """The address is that of a shared-socket."""
    workers: tuple[int, ...] = ()
    """Numbers of those who accept there (map-socket); empty: all do."""
