"""Sockets of our own: bound before anything, kept through everything, and gone at the end. Nobody needs a Mongrel2."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import stat
from typing import TYPE_CHECKING, Any

import pytest
from support.http import get
from support.ports import free_ports
from support.server import APPS, Server, wait_until
from support.told import statistics

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

PATIENCE = 30.0
WAITS = "a connection waits at 127.0.0.1:"
GOES_ON = r"upgrade: goes on in place of m2serve \S+ with \d+ children"

pytestmark = pytest.mark.timeout(90)

ACTIVATED = """
import os, socket, sys
for number, address in enumerate(sys.argv[1:3]):
    host, _, port = address.rpartition(":")
    sock = socket.socket(socket.AF_INET if port.isdigit() else socket.AF_UNIX)
    sock.bind((host, int(port)) if port.isdigit() else address)
    sock.listen()
    # Descriptors 3 and 4 may be those of the sockets themselves.
    os.dup2(sock.detach(), 10 + number)
for number in range(2):
    os.dup2(10 + number, 3 + number)
    os.close(10 + number)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS="2", LISTEN_FDNAMES="web:app")
os.execv(sys.executable, [sys.executable, "-m", "m2serve", *sys.argv[3:]])
"""
"""What systemd does."""


@pytest.fixture
def listening(start_server: Callable[..., Server], tmp_path: Path) -> Callable[..., Server]:
    def start(*options: str, module: str = "probe", **more: Any) -> Server:
        args = ["--pythonpath", str(APPS), "--module", module, "--stats", str(tmp_path / "stats")]
        return start_server(*args, "--master-fifo", str(tmp_path / "fifo"), *options, **more)

    return start


def bound(server: Server) -> dict[str, str]:
    """Names of its doors, by protocol; of several the last one."""
    return {match[1]: match[2] for match in re.finditer(r"(\w+) door at ([^\s,]+)", server.log)}


def port_of(server: Server, protocol: str = "http") -> tuple[str, int]:
    server.wait_log(f"{protocol} door at")
    host, _, port = bound(server)[protocol].rpartition(":")
    return host, int(port)


def inodes(pid: int) -> set[str]:
    """Sockets that a process holds, as the kernel calls them."""
    found = set()
    for entry in os.listdir(f"/proc/{pid}/fd"):
        with contextlib.suppress(OSError):
            found.add(os.readlink(f"/proc/{pid}/fd/{entry}"))
    return {name for name in found if name.startswith("socket:")}


def listener_inode(address: tuple[str, int]) -> str:
    """Of the socket that listens at a port."""
    wanted = f"0100007F:{address[1]:04X}"
    with open("/proc/net/tcp") as table:
        (found,) = [line.split()[9] for line in table if line.split()[1] == wanted and line.split()[3] == "0A"]
    return f"socket:[{found}]"


@pytest.fixture
def clients() -> Iterator[Callable[[Any], socket.socket]]:
    with contextlib.ExitStack() as stack:

        def connect(address: Any) -> socket.socket:
            sock = socket.socket(socket.AF_INET if isinstance(address, tuple) else socket.AF_UNIX)
            stack.enter_context(sock)
            sock.settimeout(PATIENCE)
            sock.connect(address)
            return sock

        yield connect


def test_a_life_with_an_upgrade(
    listening: Callable[..., Server], tmp_path: Path, public_path: Callable[[], Path]
) -> None:
    """A file that a killed server has left, permissions, a reload, an upgrade with other options, the end."""
    directory = public_path()
    path, other = directory / "a.sock", directory / "kept"
    with socket.socket(socket.AF_UNIX) as killed:
        killed.bind(str(path))
    ini = directory / "app.ini"
    text = f"[uwsgi]\nsocket = {path}\nhttp = 127.0.0.1:0\nscgi-socket = {other}\nchmod-socket = 604\nlisten = 50\n"
    ini.write_text(text)
    server = listening(str(ini), "-p", "2", "--lazy-apps")
    server.wait_ready(2)
    assert "dispatcher" not in server.log
    assert get(port_of(server)).status == 200
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o604
    address, file = port_of(server), os.stat(path).st_ino
    tcp = listener_inode(address)
    assert tcp in inodes(server.pid)
    assert all(tcp in inodes(pid) for pid in server.pids("worker").values())

    mark = server.mark()
    server.signal(signal.SIGHUP)
    server.wait_ready(2, after=mark)
    assert tcp in inodes(server.pid)

    # The new program wants one socket less, and longer queues.
    ini.write_text(text.replace(f"scgi-socket = {other}\n", "").replace("50", "60"))
    mark = server.mark()
    server.signal(signal.SIGUSR2)
    server.wait_log(GOES_ON, PATIENCE, after=mark)
    server.wait_ready(2, PATIENCE, after=mark)
    assert (listener_inode(address), os.stat(path).st_ino) == (tcp, file)
    assert f"nobody is to listen at {other} any more" in server.log
    assert get(address).status == 200
    assert not other.exists()
    limits = {one["proto"]: one["max_queue"] for one in statistics(tmp_path / "stats")["sockets"]}
    assert limits == {"uwsgi": 60, "http": 60}
    assert server.stop() == 0
    assert not path.exists()


def test_the_length_of_queues(
    listening: Callable[..., Server], clients: Callable[[Any], socket.socket], tmp_path: Path
) -> None:
    """While the only worker loads nobody accepts."""
    gate = tmp_path / "open"
    waits = f"import os, time\nwhile not os.path.exists({str(gate)!r}):\n    time.sleep(0.02)\n"
    (tmp_path / "loads.py").write_text(f"{waits}from probe import application\n")
    server = listening(
        *("--http", "127.0.0.1:0", "--fastcgi-socket", f"@m2serve-{os.getpid()}", "-l", "7", "--no-defer-accept"),
        *("--pythonpath", str(tmp_path)),
        module="loads",
    )
    server.wait_log("spawned worker 1")
    address = port_of(server)
    for _ in range(3):
        clients(address)
    for _ in range(2):
        clients(f"\0m2serve-{os.getpid()}")
    document = statistics(tmp_path / "stats")
    queues = {one["proto"]: (one["queue"], one["max_queue"]) for one in document["sockets"]}
    assert queues == {"http": (3, 7), "fastcgi": (2, 7)}
    assert (document["listen_queue"], document["load"], document["listen_queue_errors"]) == (3, 3, 0)
    assert document["m2serve"]["topology"] == "doors"
    gate.touch()
    server.wait_ready()
    assert server.stop() == 0


def test_another_server_at_the_same_place(
    listening: Callable[..., Server], start_server: Callable[..., Server], public_path: Callable[[], Path]
) -> None:
    """It is refused, and the first one loses nothing; a file that was bound anew is not removed at the end."""
    directory = public_path()
    path = directory / "a.sock"
    first = listening("--socket", str(path), "--http", "127.0.0.1:0")
    first.wait_ready()
    host, port = port_of(first)
    for option, address in (("socket", str(path)), ("http", f"{host}:{port}")):
        second = start_server("--pythonpath", str(APPS), "--module", "probe", f"--{option}", address)
        second.allow(r"nothing was started")
        assert second.wait() == 1
        assert f"command line: {option}: {address}: cannot listen: " in second.log
    assert get((host, port)).status == 200
    os.rename(path, directory / "older")
    with socket.socket(socket.AF_UNIX) as newer:
        newer.bind(str(path))
        assert first.stop() == 0
        assert path.exists()


def test_sockets_of_a_service_manager(
    start_server: Callable[..., Server], clients: Callable[[Any], socket.socket], public_path: Callable[[], Path]
) -> None:
    """One that an option names, one that none names. They go through an upgrade."""
    directory = public_path()
    path = directory / "a.sock"
    (port,) = free_ports(1)
    address = f"127.0.0.1:{port}"
    server = start_server(
        *(address, str(path), "--pythonpath", str(APPS), "--module", "probe", "--http", address),
        program=("-c", ACTIVATED),
    )
    server.wait_ready()
    server.wait_log(f"http door at {address}, left by the service manager")
    server.wait_log(f"uwsgi door at {path}, left by the service manager")
    tcp = listener_inode(("127.0.0.1", port))
    assert tcp in inodes(server.pid)
    assert all(tcp in inodes(pid) for pid in server.pids("worker").values())
    mark = server.mark()
    server.signal(signal.SIGUSR2)
    server.wait_log(GOES_ON, PATIENCE, after=mark)
    server.wait_ready(1, PATIENCE, after=mark)
    assert listener_inode(("127.0.0.1", port)) == tcp
    assert get(("127.0.0.1", port)).status == 200
    server.wait_log(f"uwsgi door at {path}, inherited", after=mark)
    clients(str(path)).close()
    assert server.stop() == 0
    assert path.exists(), "it is the service manager's"


def test_who_connects_wakes_the_workers(
    listening: Callable[..., Server], clients: Callable[[Any], socket.socket], tmp_path: Path
) -> None:
    """Of a server that starts none, and of one that lets them go; numbers change by hand, too."""
    server = listening("--http", "127.0.0.1:0", "--cheap", "-p", "2")
    server.wait_log("no worker is wanted before a request comes")
    address = port_of(server)
    assert not server.pids("worker")
    mark = server.mark()
    clients(address).close()
    server.wait_log(WAITS, after=mark)
    server.wait_log("worker 2 STARTING -> READY", after=mark)

    # The first connection may still wait to be accepted; then nobody sleeps for long.
    mark = server.mark()
    with open(tmp_path / "fifo", "w") as fifo:
        fifo.write("C")
    server.wait_log("all workers leave until a request comes", after=mark)
    wait_until(lambda: not server.pids("worker") or WAITS in server.log[mark:], PATIENCE, "the end of all workers")
    clients(address).close()
    server.wait_log(WAITS, after=mark)
    server.wait_log("worker 2 STARTING -> READY", after=mark)
    server.signal(signal.SIGTTOU)
    server.wait_log("1 workers wanted", after=mark)
    wait_until(lambda: len(server.pids("worker")) == 1, PATIENCE, "the end of one worker")
    assert server.stop() == 0
