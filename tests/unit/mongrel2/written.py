"""A database as ``m2sh load`` writes it."""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

_TABLES = """
CREATE TABLE server (id INTEGER PRIMARY KEY, uuid TEXT, access_log TEXT, error_log TEXT,
    chroot TEXT DEFAULT '/var/www', pid_file TEXT, control_port TEXT DEFAULT '', default_host TEXT,
    name TEXT DEFAULT '', bind_addr TEXT DEFAULT "0.0.0.0", port INTEGER, use_ssl INTEGER default 0);
CREATE TABLE host (id INTEGER PRIMARY KEY, server_id INTEGER, maintenance BOOLEAN DEFAULT 0, name TEXT, matching TEXT);
CREATE TABLE handler (id INTEGER PRIMARY KEY, send_spec TEXT, send_ident TEXT, recv_spec TEXT, recv_ident TEXT,
    raw_payload INTEGER DEFAULT 0, protocol TEXT DEFAULT 'json');
CREATE TABLE route (id INTEGER PRIMARY KEY, path TEXT, reversed BOOLEAN DEFAULT 0, host_id INTEGER, target_id INTEGER,
    target_type TEXT);
CREATE TABLE setting (id INTEGER PRIMARY KEY, key TEXT, value TEXT);
CREATE TABLE filter (id INTEGER PRIMARY KEY, server_id INTEGER, name TEXT, settings TEXT);
CREATE TABLE xrequest (id INTEGER PRIMARY KEY, server_id INTEGER, name TEXT, settings TEXT);
"""


class Written:
    """A database to fill; what is not said is as in most installations."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._connection = sqlite3.connect(path, isolation_level=None)
        self._connection.executescript(_TABLES)

    def __str__(self) -> str:
        return str(self.path)

    def server(self, uuid: str = "main", chroot: str | None = "", pid_file: str = "/run/m2.pid", port: str = "") -> int:
        """A server with one host."""
        row = (uuid, chroot, pid_file, port)
        server = self._insert("server (uuid, chroot, pid_file, control_port)", row)
        self._insert("host (server_id, name)", (server, uuid))
        return server

    def handler(
        self,
        ident: str = "app",
        send: str = "tcp://127.0.0.1:9997",
        recv: str = "tcp://127.0.0.1:9996",
        servers: tuple[int, ...] = (1,),
    ) -> int:
        """A handler with a route from the host of each of these servers."""
        columns = "handler (send_spec, send_ident, recv_spec, recv_ident, protocol)"
        handler = self._insert(columns, (send, ident, recv, ident, "tnetstring"))
        for server in servers:
            self._insert("route (path, host_id, target_id, target_type)", ("/", server, handler, "handler"))
        return handler

    def setting(self, key: str, value: str) -> None:
        self._insert("setting (key, value)", (key, value))

    def plugin(self, table: str, name: str, server: int = 1) -> None:
        self._insert(f"{table} (server_id, name)", (server, name))

    def execute(self, statement: str) -> None:
        self._connection.execute(statement)

    def close(self) -> None:
        self._connection.close()

    def _insert(self, columns: str, row: tuple[object, ...]) -> int:
        marks = ", ".join("?" * len(row))
        number = self._connection.execute(f"INSERT INTO {columns} VALUES ({marks})", row).lastrowid
        assert number is not None
        return number
