"""Mongrel2's own database, read."""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING

import pytest

from m2serve.errors import ConfigError
from m2serve.mongrel2.database import Handler, Server, read

if TYPE_CHECKING:
    from pathlib import Path

    from written import Written


def test_everything_we_want_to_know(written: Written) -> None:
    first = written.server("main", "/srv/m2", "/run/m2.pid", "ipc://run/control")
    second = written.server("tls", None)
    written.handler("app", "tcp://*:9997", "tcp://127.0.0.1:9996", (first, second))
    written.handler("chat", "ipc:///run/chat", "ipc:///run/back", (second,))
    written.handler("unused", "ipc:///run/u", "ipc:///run/v", ())
    written.setting("upload.temp_store", "/uploads/up.XXXXXX")
    written.plugin("xrequest", "/usr/lib/mongrel2/filters/sendfile.so", second)
    written.plugin("filter", "/usr/lib/mongrel2/filters/rewrite.so", first)
    found = read(str(written))
    assert found.servers == (
        Server("1", "main", "/srv/m2", "/run/m2.pid", "ipc://run/control", False),
        Server("2", "tls", "", "/run/m2.pid", "", True),
    )
    app, chat, unused = found.handlers
    assert app == Handler("tcp://*:9997", "app", "tcp://127.0.0.1:9996", "tnetstring", frozenset("12"), "app")
    assert chat.servers == {"2"}
    assert [server.uuid for server in found.servers_of(chat)] == ["tls"]
    assert found.servers_of(unused) == found.servers
    assert found.settings == {"upload.temp_store": "/uploads/up.XXXXXX"}


def test_handlers_of_equal_specs_are_one(written: Written) -> None:
    first, second = written.server("a"), written.server("b")
    written.handler("app", servers=(first,))
    written.handler("same", servers=(second,))
    (one,) = read(str(written)).handlers
    assert (one.send_ident, one.servers) == ("app", frozenset("12"))


def test_routes_to_directories_are_not_to_handlers(written: Written) -> None:
    server, other = written.server("a"), written.server("b")
    handler = written.handler(servers=(server,))
    written.execute(f"INSERT INTO route (host_id, target_id, target_type) VALUES ({other}, {handler}, 'dir')")
    assert read(str(written)).handlers[0].servers == {"1"}


def test_older_and_newer_tables_will_do(written: Written) -> None:
    written.server()
    written.handler()
    written.execute("DROP TABLE xrequest")
    written.execute("DROP TABLE filter")
    written.execute("ALTER TABLE server DROP COLUMN control_port")
    written.execute("ALTER TABLE handler DROP COLUMN protocol")
    written.execute("ALTER TABLE server ADD COLUMN error_log_level TEXT")
    found = read(str(written))
    assert found.servers[0].control_port == ""
    assert found.handlers[0].protocol == "json"


def test_paths_need_not_be_text(written: Written) -> None:
    written.server()
    written.execute("UPDATE server SET chroot = CAST(x'2fff' AS TEXT)")
    assert read(str(written)).servers[0].chroot == "/\udcff"


def test_names_with_signs_of_addresses(tmp_path: Path, written: Written) -> None:
    path = tmp_path / "a?b#c%20d"
    path.write_bytes(written.path.read_bytes())
    assert read(str(path)).handlers == ()


def test_it_is_only_read(written: Written) -> None:
    written.server()
    before = written.path.stat()
    written.path.chmod(0o400)
    read(str(written))
    assert written.path.stat().st_mtime_ns == before.st_mtime_ns
    assert [path.name for path in written.path.parent.iterdir()] == ["config.sqlite"]


def test_something_else_is_refused(tmp_path: Path) -> None:
    text = tmp_path / "mongrel2.conf"
    text.write_text("main = Server(uuid='main')\n" * 100)
    empty = tmp_path / "empty.sqlite"
    empty.touch()
    other = tmp_path / "other.sqlite"
    connection = sqlite3.connect(other)
    connection.execute("CREATE TABLE server (id INTEGER)")
    connection.close()
    for path, reason in (
        (text, "file is not a database"),
        (empty, "no such table: server"),
        (other, "no such table"),
        (tmp_path / "none", "unable to open"),
    ):
        with pytest.raises(ConfigError, match=f"cannot read {path}: {reason}.*expected the database that m2sh load"):
            read(str(path))


@pytest.mark.parametrize("table", ["handler", "server"])
def test_missing_columns_are_refused(written: Written, table: str) -> None:
    written.server()
    written.handler()
    written.execute(f"ALTER TABLE {table} RENAME COLUMN {'send_spec' if table == 'handler' else 'uuid'} TO other")
    with pytest.raises(ConfigError, match="no column"):
        read(str(written))
