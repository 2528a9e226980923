"""A real Mongrel2 for one test: one server in a private directory, with one handler or one for each of its hosts."""

from __future__ import annotations

import itertools
import os
import shutil
import signal
import socket
import sqlite3
import subprocess
import time
from typing import TYPE_CHECKING

import pytest
from support.ports import free_ports

if TYPE_CHECKING:
    from pathlib import Path

_ENVIRONMENT = {**os.environ, "LOGNAME": os.environ.get("LOGNAME", "tests")}
_numbers = itertools.count(1)


def require() -> None:
    """Skip the test where Mongrel2 is not installed; on a CI machine that is a failure."""
    if shutil.which("mongrel2") and shutil.which("m2sh"):
        return
    text = "no mongrel2 and m2sh here (Debian package mongrel2-core)"
    if os.environ.get("CI") == "true":
        pytest.fail(text)
    pytest.skip(text)


class Mongrel2:
    """Started by :meth:`start`, and again, under the same addresses, by :meth:`restart`.

    Args:
        directory: private to this one.
        protocol: of the handler's messages.
        scheme: of the handler's sockets, tcp or ipc.
        ident: send_ident and recv_ident of the handler.
        settings: lines for the ``settings`` hash, in place of or besides the defaults.
        host: that it binds the handler's TCP sockets to.
        chroot: give it one below the directory, for which it needs root's rights.
        owner: number of the user who owns the chroot, and so whom it becomes.
        user: number of the user who starts it; without root's rights the chroot does not happen.
        hosts: names of further hosts, each with a handler of its own on Unix sockets.
    """

    def __init__(
        self,
        directory: Path,
        *,
        protocol: str = "tnetstring",
        scheme: str = "tcp",
        ident: str | None = None,
        settings: dict[str, int | str] | None = None,
        host: str = "127.0.0.1",
        chroot: bool = False,
        owner: int | None = None,
        user: int | None = None,
        hosts: tuple[str, ...] = (),
    ) -> None:
        self.directory = directory
        self.hosts = hosts
        self.host = host
        self.root = directory / "root" if chroot else None
        self.owner = owner
        self.user = user
        self.protocol = protocol
        self.scheme = scheme
        self.ident = ident or f"test-{os.getpid()}-{next(_numbers)}"
        self.settings = settings or {}
        self.process: subprocess.Popen[bytes] | None = None
        self._choose()

    def _choose(self) -> None:
        self.port, *own = free_ports(3)
        if self.scheme == "tcp":
            self.send_spec, self.recv_spec = (f"tcp://{self.host}:{port}" for port in own)
        else:
            where = f"{self.directory}/" if self._slash is None else f"{self._slash}run/"
            self.send_spec, self.recv_spec = (f"ipc://{where}{name}" for name in ("req", "rep"))

    @property
    def _slash(self) -> str | None:
        """What its paths begin with: relative ones for a chroot that does not happen, None without a chroot."""
        if self.root is None:
            return None
        return "/" if self.user is None else ""

    @property
    def home(self) -> Path:
        """Where ``run`` and the other directories of a Mongrel2 with a chroot lie for us."""
        return self.root if self.root is not None and self.user is None else self.directory

    @property
    def address(self) -> tuple[str, int]:
        return ("127.0.0.1", self.port)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def pair(self) -> str:
        """As m2serve's ``--zeromq`` wants it."""
        specs = f"{self.send_spec},{self.recv_spec}".replace("tcp://*", "tcp://127.0.0.1")
        return specs if self._slash is None else specs.replace(f"ipc://{self._slash}run/", f"ipc://{self.home}/run/")

    def pair_of(self, host: str) -> str:
        """As :attr:`pair`, of the handler of one of the further hosts."""
        number = self.hosts.index(host)
        return f"ipc://{self.directory}/req{number},ipc://{self.directory}/rep{number}"

    @property
    def log(self) -> str:
        paths = [path for path in (self.directory / "mongrel2.log", self.home / "logs" / "error.log") if path.exists()]
        return "".join(path.read_text("utf-8", "replace") for path in paths) or "(no log)"

    def start(self) -> Mongrel2:
        """Compile the configuration, run, wait until it accepts."""
        self._furnish()
        for _ in range(3):
            self._compile()
            if self._run():
                return self
            self._choose()  # somebody else took one of the ports in the meantime
        raise AssertionError(f"Mongrel2 does not start: {self.log}")

    def restart(self) -> None:
        """A new process at the old addresses; its connection ids start from 1 again."""
        assert self.process is None, "stop() or kill() comes first"
        self._pid_file.unlink(missing_ok=True)
        assert self._run(), f"Mongrel2 does not come back: {self.log}"

    def stop(self) -> None:
        """As an operator does it."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        self._end(signal.SIGKILL)

    def freeze(self) -> None:
        assert self.process is not None
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        assert self.process is not None
        self.process.send_signal(signal.SIGCONT)

    def alive(self) -> bool:
        return self.process is not None and self.process.poll() is None

    # --- inside -----------------------------------------------------------------------

    @property
    def _pid_file(self) -> Path:
        return self.directory / "mongrel2.pid" if self.root is None else self.home / "run" / "mongrel2.pid"

    def _furnish(self) -> None:
        """Make the directories that a Mongrel2 with a chroot wants in it."""
        if self.root is None:
            return
        owner = self.owner if self.user is None else self.user
        names = ("run", "logs", "tmp", "uploads")
        for path in (self.root, *(place / name for place in {self.root, self.home} for name in names)):
            path.mkdir()
            if owner is not None:
                os.chown(path, owner, owner)

    def _end(self, number: signal.Signals) -> None:
        if self.process is None:
            return
        self.process.send_signal(signal.SIGCONT)
        self.process.send_signal(number)
        try:
            self.process.wait(5)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process = None

    def _run(self) -> bool:
        with (self.directory / "mongrel2.log").open("ab") as log:
            self.process = subprocess.Popen(
                ["mongrel2", "config.sqlite", "main"],
                cwd=self.directory,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=_ENVIRONMENT,
                start_new_session=True,
                user=self.user,
                group=self.user,
            )
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline and self.process.poll() is None:
            if self._accepts():
                return True
            time.sleep(0.01)
        self._end(signal.SIGKILL)
        return False

    def _accepts(self) -> bool:
        try:
            socket.create_connection(self.address, timeout=1).close()
        except OSError:
            return False
        return True

    def _compile(self) -> None:
        database = self.directory / "config.sqlite"
        database.unlink(missing_ok=True)
        source = self.directory / "mongrel2.conf"
        source.write_text(self._configuration())
        done = subprocess.run(
            ["m2sh", "load", "-config", str(source), "-db", str(database)],
            cwd=self.directory,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=30,
            env=_ENVIRONMENT,
            check=False,
        )
        # m2sh leaves with 0 even when it could not parse
        assert database.exists(), f"m2sh made no database: {done.stdout}{done.stderr}"
        connection = sqlite3.connect(database)
        try:
            handlers = connection.execute("SELECT send_spec, recv_spec, protocol FROM handler").fetchall()
        finally:
            connection.close()
        assert handlers[0] == (self.send_spec, self.recv_spec, self.protocol), f"{handlers}: {done.stdout}"
        assert len(handlers) == 1 + len(self.hosts), done.stdout

    def _configuration(self) -> str:
        here = self.directory
        if self.root is None:
            access, error, pid_file, control = f"{here}/access.log", "/dev/stderr", f"{here}/mongrel2.pid", here
            store = f"{here}/upload.XXXXXX"
        else:
            access, error, pid_file, control = "/logs/access.log", "/logs/error.log", "/run/mongrel2.pid", "run"
            store = f"{self._slash}uploads/upload.XXXXXX"
        settings: dict[str, int | str] = {
            "server.daemonize": 0,
            "disable.access_logging": 1,
            "limits.buffer_size": 16384,
            "limits.content_length": 65536,
            "limits.client_read_retries": 20,
            "upload.temp_store": store,
            "upload.temp_store_mode": "0600",
            **self.settings,
        }
        lines = ",\n            ".join(f"'{key}': {value!r}" for key, value in settings.items())
        further = ""
        for number, host in enumerate(self.hosts):
            send_spec, recv_spec = self.pair_of(host).split(",")
            ident = f"{self.ident}-{number}"
            further += f"""\
handler{number} = Handler(send_spec='{send_spec}', send_ident='{ident}',
                          recv_spec='{recv_spec}', recv_ident='{ident}', protocol='{self.protocol}')
host{number} = Host(name='{host}', routes={{'/': handler{number}}})
"""
        hosts = ", ".join(["site", *(f"host{number}" for number in range(len(self.hosts)))])
        return f"""\
application = Handler(send_spec='{self.send_spec}', send_ident='{self.ident}',
                      recv_spec='{self.recv_spec}', recv_ident='{self.ident}', protocol='{self.protocol}')
site = Host(name='localhost', routes={{'/': application}})
{further}main = Server(uuid='main', name='main', default_host='localhost', hosts=[{hosts}],
              bind_addr='127.0.0.1', port={self.port}, chroot='{self.root or ""}',
              access_log='{access}', error_log='{error}', pid_file='{pid_file}',
              control_port='ipc://{control}/control')
settings = {{{lines}}}
servers = [main]
"""
