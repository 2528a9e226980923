"""The configuration files of real deployments start, serve through the door they name, and stop."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
from typing import TYPE_CHECKING

import psutil
import pytest
from support.cgi import UwsgiConnection
from support.corpus import NAMES
from support.deployment import Deployment, targets
from support.http import get
from support.server import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from support.mongrel2 import Mongrel2
    from support.server import Server

OWN = "m2serve-own.ini"
"""The one that starts a Mongrel2 itself."""

WITHOUT = {
    "emperor.ini": "names no application",
    "emperor-glob.ini": "names no application",
    "emperor-watched.ini": "names no application",
    "pyramid-paste.ini": "goes into the background: below",
    "django-cookiecutter.ini": "goes into the background: below",
    "vassal-on-demand.ini": "takes its socket from its emperor: below",
}
"""By file why it is not started here."""

SERVED = [name for name in NAMES if name not in WITHOUT]
TOGETHER = 8


def host(name: str) -> str:
    return f"{name.removesuffix('.ini')}.test"


BACKGROUND = {"pyramid-paste.ini": "pid_5000.pid", "django-cookiecutter.ini": "portal.pid"}
"""Their pid files."""


FEWER = {"cheaper-busyness.ini": ("-p", "9", "--cheaper-initial", "8")}
"""By file how many of its 128 processes there are."""


def test_forty_are_served() -> None:
    assert len(SERVED) >= 40
    assert set(WITHOUT) < set(NAMES)


@pytest.mark.parametrize("at", range(0, len(SERVED), TOGETHER))
def test_they_serve(
    at: int,
    start_mongrel2: Callable[..., Mongrel2],
    start_server: Callable[..., Server],
    public_path: Callable[[], Path],
) -> None:
    """Several at a time; one process each, but where a number of them follows from it."""
    names = SERVED[at : at + TOGETHER]
    deployment = Deployment(public_path() / "root", names)  # a short name: the path of a socket ends at 107 bytes
    front = start_mongrel2(hosts=tuple(map(host, names)))
    servers: dict[str, Server] = {}
    for name in names:
        door = () if name == OWN else ("--zeromq", front.pair_of(host(name)))
        counted = any(word in (deployment.files / name).read_text() for word in ("cheaper", "map-socket"))
        fewer = FEWER.get(name, () if counted else ("-p", "1", "--threads", "2"))
        servers[name] = start_server(
            *(name, *door, *fewer, "--pythonpath", str(deployment.stubs)),
            cwd=deployment.files,
            environment=deployment.environment(name),
        )
    for name, server in servers.items():
        address = front.address
        if name == OWN:
            server.wait_log("serving on")
            address = ("127.0.0.1", deployment.own_port)
        for target, mounted in targets(name):
            response = get(address, target, headers=(("Host", host(name)),))
            assert response.status == 200, name
            assert response.text == f"{name} at {mounted}/" or "<title>WSGI Information</title>" in response.text, name
    for server in servers.values():
        server.signal(signal.SIGINT)
    for name, server in servers.items():
        assert server.wait() == 0, name


@pytest.mark.parametrize("name", BACKGROUND)
def test_they_serve_in_the_background(
    name: str, mongrel2: Mongrel2, start_server: Callable[..., Server], public_path: Callable[[], Path]
) -> None:
    """The command is over when they are there; the pid file says who is to be stopped."""
    deployment = Deployment(public_path() / "root", [name])
    more = ("--zeromq", mongrel2.pair, "-p", "1", "--threads", "2", "--pythonpath", str(deployment.stubs))
    where = {"cwd": deployment.files, "environment": deployment.environment(name)}
    launcher = start_server(name, *more, **where)
    assert launcher.wait(30) == 0, launcher.log
    (pidfile,) = deployment.root.rglob(BACKGROUND[name])
    pid = int(pidfile.read_text())
    try:
        assert get(mongrel2.address).text == f"{name} at /"
        assert start_server("--stop", str(pidfile)).wait() == 0
        wait_until(lambda: not psutil.pid_exists(pid), 30, "it stops")
        assert not pidfile.exists()
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def test_a_vassal_is_given_its_socket(start_server: Callable[..., Server], public_path: Callable[[], Path]) -> None:
    """Nobody is there until somebody connects."""
    name = "vassal-on-demand.ini"
    deployment = Deployment(public_path() / "root", [name])
    file = deployment.files / name
    with socket.create_server(("127.0.0.1", 0)) as listening:
        file.write_text(file.read_text().replace("fd://3", f"fd://{listening.fileno()}"))
        where = {"cwd": deployment.files, "environment": deployment.environment(name)}
        args = (name, "--pythonpath", str(deployment.stubs))
        server = start_server(*args, **where, pass_fds=(listening.fileno(),))
        server.wait_log("no worker is wanted before a request comes")
        with UwsgiConnection(listening.getsockname(), 30) as connection:
            assert connection.request("/").text == f"{name} at /"
    server.signal(signal.SIGINT)
    assert server.wait() == 0
