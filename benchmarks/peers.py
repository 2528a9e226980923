"""The servers that are compared: how each is configured, started, found and stopped."""

from __future__ import annotations

import contextlib
import functools
import http.client
import os
import socket
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, NamedTuple

from processes import StartError, Tree, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import psutil

HERE = Path(__file__).resolve().parent
REPO = HERE.parent
START_SECONDS = 60.0


@contextlib.contextmanager
def with_mongrel2(workers: int, *options: str, tail: int = 300, **env: str) -> Iterator[tuple[int, Tree]]:
    """An m2serve that starts its own Mongrel2, in a directory of its own; gives the port when it serves.

    Args: tail: bytes of its log that are shown at the end.
    """
    port = free_port()
    with tempfile.TemporaryDirectory() as place:
        argv = [sys.executable, "-m", "m2serve", "--with-mongrel2", f"127.0.0.1:{port}", "-p", str(workers)]
        tree = Tree([*argv, "--disable-logging", *options], Path(place) / "log", REPO, env)
        try:
            ready = f"all {workers} workers ready"
            wait_until(lambda: port_open(port) and ready in tree.tail(100_000), 20, [tree], "m2serve")
            yield port, tree
        finally:
            tree.stop()
            print(tree.tail(tail), file=sys.stderr)


class Roles(NamedTuple):
    """The processes of a peer, by what they do."""

    front: list[psutil.Process]
    master: list[psutil.Process]
    dispatcher: list[psutil.Process]
    workers: list[psutil.Process]

    def everyone(self) -> list[psutil.Process]:
        return [*self.front, *self.master, *self.dispatcher, *self.workers]


class Peer:
    """One server under test, serving ``benchmarks.apps:<app>`` on a free port of the loopback interface."""

    loads: ClassVar[tuple[str, ...]] = ("hello", "mixed")
    greeting = b"Hello from the benchmark.\n"
    """The end of the answer to ``GET /``."""

    def __init__(self, app: str, place: Path) -> None:
        self.app = f"benchmarks.apps:{app}"
        self.place = place
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}/"
        self.trees: list[Tree] = []

    def start(self) -> None:
        """Come up; returns when the peer answers 200."""
        try:
            self.launch()
            wait_until(self.answers, START_SECONDS, self.trees, f"an answer from {self.url}")
        except BaseException:
            self.stop()
            raise

    def launch(self) -> None:
        raise NotImplementedError

    def roles(self) -> Roles:
        raise NotImplementedError

    def stop(self) -> None:
        """Last started, first stopped."""
        while self.trees:
            self.trees.pop().stop()

    def spawn(self, *argv: str, **env: str) -> Tree:
        name = Path(argv[0]).name
        tree = Tree(argv, self.place / f"{name}.log", REPO, env)
        self.trees.append(tree)
        return tree

    def answers(self) -> bool:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=1)
        try:
            connection.request("GET", "/")
            response = connection.getresponse()
            return response.status == 200 and response.read().endswith(self.greeting)
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()


class BehindMongrel2(Peer):
    """A peer that is a Mongrel2 handler; the front is a real Mongrel2."""

    ident = "bench-1"
    wire = "ipc"

    def launch(self) -> None:
        if self.wire == "tcp":
            self.send_spec, self.recv_spec = (f"tcp://127.0.0.1:{free_port()}" for _ in "12")
        else:
            self.send_spec, self.recv_spec = (f"ipc://{self.place}/{name}" for name in ("send", "recv"))
        for name in ("logs", "run"):
            (self.place / name).mkdir()
        config = self.place / "mongrel2.conf"
        config.write_text(MONGREL2_CONF.format(self=self))
        database = self.place / "config.sqlite"
        load = subprocess.run(
            ["m2sh", "load", "-config", str(config), "-db", str(database)],
            env={"LOGNAME": "bench", **os.environ},
            capture_output=True,
            text=True,
            check=False,
        )
        if not database.exists():  # m2sh leaves with 0 even when it could not parse
            raise StartError(f"m2sh load: {load.stdout}{load.stderr}")
        self.front = self.spawn("mongrel2", str(database), "main")
        wait_until(functools.partial(port_open, self.port), START_SECONDS, self.trees, "mongrel2")
        self.server = self.spawn(*self.handler())

    def handler(self) -> list[str]:
        """The command of the handler."""
        raise NotImplementedError


class BareC(BehindMongrel2):
    """``handler.c``: what Mongrel2 itself can do. It does not sleep, so there is no mixed load."""

    loads = ("hello",)

    def handler(self) -> list[str]:
        binary = self.place / "handler"
        build = ["gcc", "-O2", "-o", str(binary), str(HERE / "handler.c"), "-lzmq"]
        done = subprocess.run(build, capture_output=True, text=True, check=False)
        if done.returncode:
            raise StartError(done.stderr)
        return [str(binary), self.send_spec, self.recv_spec, self.ident]

    def roles(self) -> Roles:
        return Roles(self.front.members(), [], [], self.server.members())


class M2serve(BehindMongrel2):
    """m2serve, *workers* processes of *threads* threads each."""

    def __init__(self, app: str, place: Path, *, workers: int, threads: int, direct: bool) -> None:
        super().__init__(app, place)
        self.workers, self.threads, self.direct = workers, threads, direct

    def handler(self) -> list[str]:
        return [
            *(sys.executable, "-m", "m2serve"),
            *("--zeromq", f"{self.send_spec},{self.recv_spec}"),
            *("-p", str(self.workers), "--threads", str(self.threads)),
            *("--module", self.app, "--disable-logging"),
            *(["--zeromq-direct"] if self.direct else []),
        ]

    def roles(self) -> Roles:
        master, *children = self.server.members()
        dispatcher = [child for child in children if "dispatcher" in " ".join(child.cmdline())]
        workers = [child for child in children if child not in dispatcher]
        return Roles(self.front.members(), [master], dispatcher, workers)


class NginxUwsgi(Peer):
    """nginx in front of uWSGI over a Unix socket, both as the distribution builds them."""

    conf = ""
    """Of nginx; none: NGINX_CONF."""

    def launch(self) -> None:
        sock = self.place / "uwsgi.sock"
        self.server = self.spawn(*self.command(sock))
        wait_until(sock.exists, START_SECONDS, self.trees, "uwsgi")
        config = self.place / "nginx.conf"
        user = "user root;" if os.geteuid() == 0 else ""
        config.write_text((self.conf or NGINX_CONF).format(place=self.place, port=self.port, sock=sock, user=user))
        self.front = self.spawn(
            *("nginx", "-p", str(self.place), "-c", str(config)), *("-e", str(self.place / "error.log"))
        )

    def command(self, sock: Path) -> list[str]:
        """uWSGI's own."""
        return [
            *("uwsgi", "--plugin", "python3", "--socket", str(sock), "--chmod-socket=666", "--listen", "128"),
            *("--master", "--processes", "4", "--threads", "8", "--thunder-lock", "--die-on-term"),
            *("--need-app", "--disable-logging", "--module", self.app, "--pythonpath", str(REPO)),
        ]

    def roles(self) -> Roles:
        master, *workers = self.server.members()
        return Roles(self.front.members(), [master], [], workers)


class Gunicorn(Peer):
    """gunicorn's threaded worker, speaking HTTP to the client itself: no front."""

    def launch(self) -> None:
        shm = Path("/dev/shm")
        self.server = self.spawn(
            *(
                sys.executable,
                "-m",
                "gunicorn",
                "--bind",
                f"127.0.0.1:{self.port}",
                "--worker-class",
                "gthread",
            ),
            *("--workers", "4", "--threads", "8", "--keep-alive", "60", "--log-level", "warning"),
            *("--worker-tmp-dir", str(shm if shm.is_dir() else self.place), self.app),
            GUNICORN_CMD_ARGS="",
        )

    def roles(self) -> Roles:
        master, *workers = self.server.members()
        return Roles([], [master], [], workers)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def port_open(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0


PEERS: dict[str, Callable[[str, Path], Peer]] = {
    "bare-c": BareC,
    "m2serve-1x1": functools.partial(M2serve, workers=1, threads=1, direct=False),
    "m2serve-1x1-direct": functools.partial(M2serve, workers=1, threads=1, direct=True),
    "m2serve-4x8": functools.partial(M2serve, workers=4, threads=8, direct=False),
    "m2serve-4x8-direct": functools.partial(M2serve, workers=4, threads=8, direct=True),
    "nginx-uwsgi": NginxUwsgi,
    "gunicorn-gthread": Gunicorn,
}

MONGREL2_CONF = """\
app = Handler(send_spec='{self.send_spec}', send_ident='{self.ident}',
              recv_spec='{self.recv_spec}', recv_ident='{self.ident}', protocol='tnetstring')
site = Host(name='localhost', routes={{'/': app}})
main = Server(uuid='main', name='main', default_host='localhost', bind_addr='127.0.0.1', port={self.port},
              access_log='{self.place}/logs/access.log', error_log='{self.place}/logs/error.log',
              pid_file='{self.place}/run/mongrel2.pid', control_port='ipc://{self.place}/run/control',
              chroot='', hosts=[site])
settings = {{'server.daemonize': 0, 'disable.access_logging': 1,
             'upload.temp_store': '{self.place}/run/up.XXXXXX', 'upload.temp_store_mode': '0660',
             'limits.buffer_size': 16384, 'limits.content_length': 65536, 'limits.client_read_retries': 20}}
servers = [main]
"""

# keepalive_requests: nginx would close each connection after 1000 requests, the other peers never do.
NGINX_CONF = """\
{user}
daemon off;
worker_processes auto;
pid {place}/nginx.pid;
events {{ worker_connections 1024; }}
http {{
    access_log off;
    keepalive_timeout 60s;
    keepalive_requests 100000000;
    client_body_temp_path {place}/body;
    proxy_temp_path {place}/proxy;
    fastcgi_temp_path {place}/fastcgi;
    uwsgi_temp_path {place}/uwsgi;
    scgi_temp_path {place}/scgi;
    server {{
        listen 127.0.0.1:{port};
        location / {{
            include /etc/nginx/uwsgi_params;
            uwsgi_pass unix:{sock};
        }}
    }}
}}
"""
