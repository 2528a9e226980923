"""One m2serve with a door for each protocol, behind a real Mongrel2 too, and the ways through them."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, NamedTuple

from support.cgi import FastCgiConnection, KeptFastCgiConnection, ScgiConnection, UwsgiConnection
from support.http import Connection
from support.mongrel2 import Mongrel2, require
from support.ports import free_ports
from support.server import APPS, Server
from support.told import statistics

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path
    from typing import Any

    from support.http import Address, Response


class Way(NamedTuple):
    """How requests reach the application."""

    name: str
    address: Address
    connect: type[Connection]

    def open(self, timeout: float = 30.0) -> Connection:
        return self.connect(self.address, timeout)

    def get(
        self, target: str = "/", *, method: str = "GET", headers: tuple[tuple[str, str], ...] = (), body: bytes = b""
    ) -> Response:
        """One request on a connection of its own."""
        with self.open() as connection:
            return connection.request(target, method=method, headers=headers, body=body)

    @property
    def speaks_http(self) -> bool:
        """The client itself is at the other end, so that framing and connections are our business."""
        return self.connect is Connection


PYTHONPATH = ("--pythonpath", str(APPS), "--pythonpath", str(APPS.parent), "--need-app")
WAYS = ("mongrel2", "http", "http-unix", "uwsgi", "uwsgi-unix", "fastcgi", "fastcgi-kept", "scgi")


class Doors:
    """See above; the server's statistics lie in its directory.

    Args:
        mongrel2: None: there is none.
    """

    def __init__(self, directory: Path, mongrel2: Mongrel2 | None) -> None:
        http, uwsgi, fastcgi = (("127.0.0.1", port) for port in free_ports(3))
        unix, uwsgi_unix, scgi = f"{directory}/http", f"{directory}/uwsgi", f"@{directory}/scgi"
        self.stats = directory / "stats"
        self.arguments = ["--http", f"127.0.0.1:{http[1]}", "--http", unix]
        self.arguments += ["--socket", f"127.0.0.1:{uwsgi[1]}", "--socket", uwsgi_unix]
        self.arguments += ["--fastcgi-socket", f"127.0.0.1:{fastcgi[1]}", "--scgi-socket", scgi]
        self.arguments += ["--stats", str(self.stats)]
        ways = [
            Way("http", http, Connection),
            Way("http-unix", unix, Connection),
            Way("uwsgi", uwsgi, UwsgiConnection),
            Way("uwsgi-unix", uwsgi_unix, UwsgiConnection),
            Way("fastcgi", fastcgi, FastCgiConnection),
            Way("fastcgi-kept", fastcgi, KeptFastCgiConnection),
            Way("scgi", scgi, ScgiConnection),
        ]
        if mongrel2 is not None:
            # where it puts large bodies is in its own database
            self.arguments += ["--zeromq", mongrel2.pair, "--mongrel2-config", f"{mongrel2.directory}/config.sqlite"]
            ways.append(Way("mongrel2", mongrel2.address, Connection))
        self.ways = {way.name: way for way in ways}

    def statistics(self) -> Any:
        return statistics(self.stats, timeout=25)


class Running(NamedTuple):
    """The doors, and who serves there."""

    server: Server
    doors: Doors

    def way(self, name: str) -> Way:
        return self.doors.ways[name]


@contextlib.contextmanager
def running(
    make: Callable[[str], Path],
    *options: str,
    module: str = "at_doors",
    processes: int = 2,
    threads: int = 4,
    behind_mongrel2: bool = True,
) -> Iterator[Running]:
    """For several tests. At the end nothing may be left, nor an unexpected word in the log.

    Args: make: gives a directory for a name.
    """
    mongrel2 = None
    if behind_mongrel2:
        require()
        mongrel2 = Mongrel2(make("mongrel2")).start()
    try:
        directory = make("server")
        doors = Doors(directory, mongrel2)
        arguments = [*doors.arguments, "-p", str(processes), "--threads", str(threads)]
        server = Server(directory, *arguments, *PYTHONPATH, "--module", module, *options)
        try:
            server.wait_ready(processes)
            yield Running(server, doors)
        finally:
            problems = server.finish()
        assert not problems, "\n".join(problems)
    finally:
        if mongrel2 is not None:
            mongrel2.kill()
