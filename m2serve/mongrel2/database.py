"""Mongrel2's own database, read: the tables that ``m2sh load`` writes."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from typing import NamedTuple
from urllib.parse import quote

from m2serve.errors import ConfigError

_EXPECTED = "expected the database that m2sh load makes"

Row = Mapping[str, str]


class Handler(NamedTuple):
    """A row of ``handler``, less what only Mongrel2 needs."""

    send_spec: str
    send_ident: str
    recv_spec: str
    protocol: str
    servers: frozenset[str]
    """The ids of the servers with a route to it."""
    recv_ident: str = ""


class Server(NamedTuple):
    """A row of ``server``: one Mongrel2 process."""

    id: str
    uuid: str
    chroot: str
    pid_file: str
    control_port: str
    sendfile: bool
    """Its filters or xrequests have sendfile."""


@dataclass(frozen=True)
class Database:
    """What the file says; several servers may share it."""

    path: str
    handlers: tuple[Handler, ...]
    servers: tuple[Server, ...]
    settings: Mapping[str, str]

    def servers_of(self, handler: Handler) -> tuple[Server, ...]:
        """Those with a route to a handler; where nobody has one, all."""
        routed = tuple(server for server in self.servers if server.id in handler.servers)
        return routed or self.servers


def read(path: str) -> Database:
    """Read a database without writing to it.

    Raises: ConfigError: it cannot be opened, or is something else.
    """
    try:
        with closing(sqlite3.connect(f"file:{quote(path)}?mode=ro", uri=True)) as connection:
            # Paths need not be valid text.
            connection.text_factory = lambda raw: raw.decode("utf-8", "surrogateescape")
            return _read(connection, path)
    except sqlite3.Error as error:
        raise ConfigError(f"cannot read {path}: {error}; {_EXPECTED}") from None
    except KeyError as error:
        raise ConfigError(f"cannot read {path}: no column {error}; {_EXPECTED}") from None


def _read(connection: sqlite3.Connection, path: str) -> Database:
    servers = _rows(connection, "SELECT * FROM server")
    # Mongrel2 joins handlers of equal specs, so they count once; ident and protocol are those of the first.
    handlers: dict[tuple[str, str], Handler] = {}
    routes = _rows(
        connection,
        "SELECT route.target_id AS handler, host.server_id AS server FROM route JOIN host ON host.id = route.host_id"
        " WHERE route.target_type = 'handler'",
    )
    for row in _rows(connection, "SELECT * FROM handler ORDER BY id"):
        owners = frozenset(route["server"] for route in routes if route["handler"] == row["id"])
        specs = (row["send_spec"], row["recv_spec"])
        one = Handler(
            specs[0], row["send_ident"], specs[1], row.get("protocol") or "json", owners, row.get("recv_ident", "")
        )
        first = handlers.setdefault(specs, one)
        handlers[specs] = first._replace(servers=first.servers | owners)
    return Database(
        path,
        tuple(handlers.values()),
        tuple(_server(connection, row) for row in servers),
        {row["key"]: row["value"] for row in _rows(connection, "SELECT key, value FROM setting")},
    )


def _server(connection: sqlite3.Connection, row: Row) -> Server:
    names: list[str] = []
    for table in ("filter", "xrequest"):
        try:
            loaded = _rows(connection, f'SELECT name FROM "{table}" WHERE server_id = ?', row["id"])
        except sqlite3.OperationalError:
            continue  # a database of an older Mongrel2, which had none
        names += [one["name"] for one in loaded]
    return Server(
        row["id"],
        row["uuid"],
        row["chroot"],
        row["pid_file"],
        row.get("control_port", ""),
        any(name.rpartition("/")[2] == "sendfile.so" for name in names),
    )


def _rows(connection: sqlite3.Connection, query: str, *arguments: str) -> list[Row]:
    """Every row by its columns' names, all values as text; which columns there are depends on Mongrel2's version."""
    cursor = connection.execute(query, arguments)
    columns = [column[0] for column in cursor.description]
    return [
        {name: "" if value is None else str(value) for name, value in zip(columns, values, strict=True)}
        for values in cursor
    ]
