"""Writes the configuration of an attached Mongrel2."""

from __future__ import annotations

import fcntl
import os
import re
import secrets
import shutil
import socket
import sqlite3
import subprocess
import tempfile
from typing import TYPE_CHECKING

from m2serve.endpoint import Endpoint, ZmqPair
from m2serve.errors import ConfigError
from m2serve.mongrel2.daemon import DaemonSpec
from m2serve.mongrel2.fronts import front, merged
from m2serve.mongrel2.place import Place

if TYPE_CHECKING:
    from collections.abc import Mapping

    from m2serve.config.settings import Settings
    from m2serve.front import Front

_PACKAGE = "expected Mongrel2's programs, Debian package mongrel2-core"
_SERVER = "m2serve"
_CONTROL = "control"
_UPLOAD = "upload."
_BUFFER_SIZE = 16384
_CONTENT_LENGTH = 65536

_COMPILE_SECONDS = 30.0


def prepare(settings: Settings) -> tuple[Front, DaemonSpec]:
    """Make everything that Mongrel2 needs to start: directory, database, names of its sockets.

    A route has one handler, so of several pairs of sockets this Mongrel2 gets the first.

    Raises: ConfigError: a program is missing, the port is taken, or the configuration was refused.
    """
    if settings.with_mongrel2 is None:
        raise ConfigError("with-mongrel2 is not set")
    address = settings.with_mongrel2
    binary = _program(settings.mongrel2_binary)
    compiler = _program("m2sh")
    _check_free(address.host, address.port)
    own = None if settings.mongrel2_dir else tempfile.mkdtemp(prefix="m2serve-")
    lock_fd = -1
    try:
        directory = own or _directory(str(settings.mongrel2_dir))
        lock_fd = _lock(directory)
        pair = settings.zeromq[0] if settings.zeromq else _pair(directory)
        values = merged(settings, _defaults(directory, settings))
        _check(values)
        text = configuration(directory, address.host, address.port, pair, settings.mongrel2_protocol, values)
        database = _compile(compiler, directory, text)
    except BaseException:
        if lock_fd >= 0:
            os.close(lock_fd)
        if own is not None:
            shutil.rmtree(own, ignore_errors=True)
        raise
    spec = DaemonSpec(
        name="mongrel2",
        argv=(binary, database, _SERVER),
        directory=directory,
        address=(_reachable(address.host), address.port),
        url=f"http://{address}/",
        lock_fd=lock_fd,
        # Without it, and without a terminal, Mongrel2 complains that it does not know who it is.
        environment={"LOGNAME": os.environ.get("LOGNAME", "m2serve")},
        own_directory=own,
        files=(database,),
    )
    return front(pair, Place("/", directory), values, f"ipc://{directory}/{_CONTROL}"), spec


def configuration(
    directory: str, host: str, port: int, pair: ZmqPair, protocol: str, values: Mapping[str, str], ident: str = ""
) -> str:
    """The text that m2sh compiles: one server, one host, one route.

    Args: values: Mongrel2's settings.
    """
    # Unique, so that answers of another server's handlers on the same sockets never reach our clients.
    ident = ident or f"m2serve-{secrets.token_hex(8)}"
    path = _quoted(directory)
    lines = ",\n            ".join(f"'{key}': {_value(value)}" for key, value in values.items())
    return f"""\
application = Handler(send_spec={_quoted(pair.send)}, send_ident='{ident}',
                      recv_spec={_quoted(pair.recv)}, recv_ident='{ident}', protocol='{protocol}')
site = Host(name='{_SERVER}', matching='{_SERVER}', routes={{'/': application}})
main = Server(uuid='{_SERVER}', name='{_SERVER}', default_host='{_SERVER}', hosts=[site],
              bind_addr='{host}', port={port}, chroot='',
              access_log={path[:-1]}/access.log', error_log='/dev/stderr',
              pid_file={path[:-1]}/mongrel2.pid', control_port='ipc://{path[1:-1]}/{_CONTROL}')
settings = {{{lines}}}
servers = [main]
"""


def _defaults(directory: str, settings: Settings) -> dict[str, str]:
    """What makes bodies of any size work, and headers longer than Mongrel2's own limits."""
    return {
        "server.daemonize": "0",
        "disable.access_logging": "1",
        "limits.buffer_size": str(_BUFFER_SIZE),
        "limits.client_read_retries": "20",
        # Larger bodies go through a file. One message must fill much less than the half of our buffer.
        "limits.content_length": str(min(_CONTENT_LENGTH, settings.request_buffer // 4)),
        "upload.temp_store": f"{directory}/{_UPLOAD}XXXXXX",
        "upload.temp_store_mode": "0600",
        # Its notices go to one receiver, which only the dispatcher is.
        "download.flow_control": "0" if settings.zeromq_direct else "1",
    }


def _check(values: Mapping[str, str]) -> None:
    if values["server.daemonize"] != "0":
        raise ConfigError("mongrel2-setting: server.daemonize: expected 0, a Mongrel2 that does not leave its master")
    if int(values["limits.content_length"]) < int(values["limits.buffer_size"]):
        # Mongrel2 then writes uploads with a wrong content.
        expected = f"expected limits.buffer_size, {values['limits.buffer_size']}, or more"
        raise ConfigError(f"mongrel2-setting: limits.content_length: {values['limits.content_length']}: {expected}")


def _value(text: str) -> str:
    """A string or, where it is one, a number of the .conf syntax; a number with zeros in front stays as written."""
    return text if re.fullmatch("0|[1-9][0-9]*", text) else _quoted(text)


def _quoted(value: object) -> str:
    """A string of the .conf syntax, which knows no escapes."""
    text = str(value)
    if any(char in "'\"\\\n" for char in text):
        raise ConfigError(f"{text!r} cannot be written into Mongrel2's configuration: expected no quotes")
    return f"'{text}'"


def _compile(compiler: str, directory: str, text: str) -> str:
    """Turn the text into the database that Mongrel2 reads. m2sh leaves with 0 even when it refuses."""
    source = os.path.join(directory, "mongrel2.conf")
    database = os.path.join(directory, "config.sqlite")
    try:
        _write_afresh(source, text, database, os.path.join(directory, "mongrel2.pid"), *_old_uploads(directory))
    except OSError as error:
        raise ConfigError(f"mongrel2-dir: cannot write into {directory}: {error.strerror}") from None
    try:
        done = subprocess.run(
            [compiler, "load", "-config", source, "-db", database],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env={**os.environ, "LOGNAME": os.environ.get("LOGNAME", "m2serve")},
            cwd=directory,
            timeout=_COMPILE_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ConfigError(f"with-mongrel2: {compiler} cannot be run: {error}") from None
    if not _compiled(database):
        said = os.fsdecode(done.stdout).strip() or "nothing"
        raise ConfigError(f"m2sh cannot compile {source}; it said: {said}")
    return database


def _write_afresh(source: str, text: str, *stale: str) -> None:
    """A database that survives from last time would hide a failure; the lock says that nobody uses it."""
    for path in stale:
        if os.path.exists(path):
            os.unlink(path)
    with open(source, "w", encoding="utf-8", errors="surrogateescape") as file:
        file.write(text)


def _old_uploads(directory: str) -> list[str]:
    """Files of uploads that a Mongrel2 left which was killed."""
    return [entry.path for entry in os.scandir(directory) if re.fullmatch(rf"{_UPLOAD}[A-Za-z0-9]{{6}}", entry.name)]


def _compiled(database: str) -> bool:
    if not os.path.exists(database):
        return False
    connection = sqlite3.connect(f"file:{database}?mode=ro", uri=True)
    try:
        row = connection.execute(
            "SELECT count(*) FROM server JOIN host ON host.server_id = server.id"
            " JOIN route ON route.host_id = host.id JOIN handler ON handler.id = route.target_id"
        ).fetchone()
    except sqlite3.Error:
        return False
    finally:
        connection.close()
    return bool(row[0] == 1)


def _program(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        raise ConfigError(f"with-mongrel2: cannot find the program {name!r}: {_PACKAGE}")
    return os.path.abspath(found)


def _directory(path: str) -> str:
    path = os.path.abspath(path)
    try:
        os.makedirs(path, mode=0o700, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"mongrel2-dir: cannot make {path}: {error.strerror}") from None
    return path


def _lock(directory: str) -> int:
    """Keep a second server from the database, the sockets and the PID file of the first."""
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(fd)
        raise ConfigError(f"mongrel2-dir: another m2serve uses {directory}") from None
    return fd


def _pair(directory: str) -> ZmqPair:
    return ZmqPair(Endpoint.parse(f"ipc://{directory}/send"), Endpoint.parse(f"ipc://{directory}/recv"))


def _check_free(host: str, port: int) -> None:
    """Say at once what Mongrel2 would say into its log."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        # As Mongrel2 does: connections of a server just stopped do not count.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
            probe.listen(1)
        except OSError as error:
            raise ConfigError(f"with-mongrel2: cannot listen on {host}:{port}: {error.strerror}") from None


def _reachable(host: str) -> str:
    return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
