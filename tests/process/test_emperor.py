"""``--emperor``: what lies in the directory runs."""

from __future__ import annotations

import os
import re
import signal
import socket
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
import pytest
from support.http import get
from support.ports import free_ports
from support.server import ROOT, wait_until
from support.told import statistics
from support.top import uwsgitop

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from support.mongrel2 import Mongrel2
    from support.server import Server

# What each object of uWSGI's own document has, and of what type.
EMPEROR = {
    "version": str, "pid": int, "uid": int, "gid": int, "cwd": str, "emperor": list, "emperor_tyrant": int,
    "throttle_level": int, "vassals": list, "blacklist": list,
}  # fmt: skip
VASSAL = {
    "id": str, "pid": int, "born": int, "last_mod": int, "last_heartbeat": int, "loyal": int, "ready": int,
    "accepting": int, "last_loyal": int, "last_ready": int, "last_accepting": int, "first_run": int, "last_run": int,
    "cursed": int, "zerg": int, "on_demand": str, "uid": int, "gid": int, "monitor": str, "respawns": int,
}  # fmt: skip
THROTTLED = {"id": str, "throttle_level": int, "attempt": int, "first_attempt": int, "last_attempt": int}

APP = """
import os


def application(environ, start_response):
    text = f"{os.environ['SITE']} {os.getuid()}".encode()
    start_response("200 OK", [("Content-Length", str(len(text)))])
    return [text]
"""


@pytest.fixture
def court() -> Iterator[Path]:
    """The vassals' directory, beside an application; everybody may read both."""
    with tempfile.TemporaryDirectory(dir="/tmp") as place:
        home = Path(place)
        home.chmod(0o755)
        (home / "site_of_vassal.py").write_text(APP)
        directory = home / "vassals"
        directory.mkdir()
        yield directory


def write(court: Path, name: str, mongrel2: Mongrel2, site: str, *more: str) -> Path:
    """Put a vassal's file there in one step."""
    lines = ["[uwsgi]", f"zeromq = {mongrel2.pair}", "module = site_of_vassal", f"env = SITE={site}",
             f"pythonpath = {court.parent}", "threads = 2", *more]  # fmt: skip
    (court / "draft").write_text("\n".join(lines) + "\n")
    path = court / name
    (court / "draft").rename(path)
    return path


def says(mongrel2: Mongrel2, site: str) -> Callable[[], bool]:
    def asked() -> bool:
        try:
            response = get(mongrel2.address, timeout=5)
        except OSError:
            return False
        return response.status == 200 and response.text.split()[0] == site

    return asked


def test_files_come_change_fail_and_go(
    start_mongrel2: Callable[..., Mongrel2], start_server: Callable[..., Server], court: Path
) -> None:
    first, second = start_mongrel2(), start_mongrel2()
    write(court, "first.ini", first, "one")
    (court / "broken.ini").write_text("[uwsgi]\nprocesses = many\n")
    server = start_server("--emperor", str(court), "--emperor-freq", "1", "--emperor-throttle", "200")
    wait_until(says(first, "one"), 30, "the first vassal serves")
    server.wait_log(r"first\.ini is ready and loyal", timeout=30)
    server.wait_log(r"broken\.ini ended before it was ready: exit code 1; next attempt in 0\.4", timeout=30)
    # another comes, and one that fails is mended
    write(court, "second.ini", second, "two")
    wait_until(says(second, "two"), 30, "the second vassal serves")
    # changed: it reads its file anew
    write(court, "first.ini", first, "three")
    wait_until(says(first, "three"), 40, "the first vassal has read its file again")
    # killed: it comes again
    mark = server.mark()
    os.kill(vassal_pid(server, "second"), signal.SIGKILL)
    server.wait_log(r"ended: killed by SIGKILL; it is started again", timeout=15, after=mark)
    wait_until(says(first, "three"), 30, "the first serves")
    wait_until(says(second, "two"), 30, "the second serves")
    # gone: it stops
    (court / "first.ini").unlink()
    server.wait_log(r"first\.ini has left: exit code 0", timeout=30)
    assert says(second, "two")()
    (court / "broken.ini").unlink()
    server.signal(signal.SIGTERM)
    assert server.wait(30) == 0
    assert "second.ini has left: exit code 0" in server.log


def test_an_emperor_that_is_killed_leaves_nobody_behind(
    mongrel2: Mongrel2, start_server: Callable[..., Server], court: Path
) -> None:
    write(court, "one.ini", mongrel2, "one", f"daemonize = {court.parent}/one.log")
    server = start_server("--emperor", str(court), "--emperor-freq", "1")
    wait_until(says(mongrel2, "one"), 30, "it serves")
    everybody = psutil.Process(server.pid).children(recursive=True)
    assert len(everybody) >= 3, "master, dispatcher and worker, although its file says daemonize"
    server.kill_master()
    deadline = time.monotonic() + 20
    for process in everybody:
        process.wait(max(0.1, deadline - time.monotonic()))


def open_to_all(path: Path) -> bool:
    return all(one.stat().st_mode & 0o001 for one in (*path.resolve().parents, path.parent))


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give files to others")
@pytest.mark.skipif(
    not (open_to_all(ROOT / "m2serve") and open_to_all(Path(sys.executable))), reason="others cannot read this program"
)
def test_a_tyrant_runs_each_as_the_owner_of_its_file(
    mongrel2: Mongrel2, start_server: Callable[..., Server], court: Path
) -> None:
    path = write(court, "one.ini", mongrel2, "one")
    server = start_server("--emperor", str(court), "--emperor-freq", "1", "--emperor-tyrant")
    server.wait_log(r"one\.ini belongs to root: emperor-tyrant does not run it", timeout=15)
    os.chown(path, 65534, 65534)
    server.signal(signal.SIGWINCH)
    wait_until(says(mongrel2, "one"), 30, "it serves")
    assert get(mongrel2.address).text == "one 65534"


def test_an_emperor_serves_nothing_itself(start_server: Callable[..., Server], court: Path) -> None:
    server = start_server("--emperor", str(court), "--module", "app")
    assert server.wait(20) == 1
    assert "an emperor serves nothing itself" in server.log


def test_a_directory_may_come_later(mongrel2: Mongrel2, start_server: Callable[..., Server], court: Path) -> None:
    server = start_server("--emperor", f"{court}/later", "--emperor-freq", "1")
    server.wait_log(r"later': no such directory yet", timeout=15)
    (court / "later").mkdir()
    write(court, "one.ini", mongrel2, "one").rename(court / "later" / "one.ini")
    wait_until(says(mongrel2, "one"), 30, "it serves")


def test_it_tells_how_its_vassals_are(mongrel2: Mongrel2, start_server: Callable[..., Server], court: Path) -> None:
    write(court, "one.ini", mongrel2, "one")
    (court / "broken.ini").write_text("[uwsgi]\nprocesses = many\n")
    (port,) = free_ports(1)
    address = ("127.0.0.1", port)
    options = ("--emperor-stats-server", f"127.0.0.1:{port}", "--emperor-freq", "1", "--emperor-throttle", "200")
    said = court.parent / "said"
    options += ("--hook-emperor-start", f"appendn:{said} emperor", "--exec-as-vassal", f"pwd >>{said}")
    beside, pidfile = court.parent / "beside", court.parent / "pid"
    options += ("--exec-as-emperor", f"echo $UWSGI_VASSAL_CONFIG $UWSGI_VASSAL_PID >>{beside}")
    options += ("--emperor-pidfile", str(pidfile), "--emperor-procname", "augustus")
    server = start_server("--emperor", str(court), *options)
    server.wait_log("statistics at", timeout=30)
    silent = [socket.create_connection(address) for _ in range(40)]
    wait_until(lambda: vassal(address).get("loyal"), 30, "one serves")
    assert said.read_text().split()[:2] == ["emperor", str(court)]
    wait_until(lambda: statistics(address, timeout=30)["blacklist"], 30, "one does not")
    for sock in silent:
        sock.close()
    document = statistics(address, timeout=30)
    assert {name: type(value) for name, value in document.items()} == EMPEROR
    assert (document["pid"], document["emperor"]) == (server.pid, [str(court)])
    first = vassal(address)
    assert {name: type(value) for name, value in first.items()} == VASSAL
    assert first["pid"] == vassal_pid(server, "one") and first["monitor"] == str(court)
    assert first["loyal"] == first["ready"] == first["accepting"] == 1 and first["respawns"] == 0
    wait_until(
        lambda: beside.exists() and f"one.ini {first['pid']}\n" in beside.read_text(),
        20,
        "what is done beside the emperor",
    )
    assert pidfile.read_text() == f"{server.pid}\n"
    assert " ".join(psutil.Process(server.pid).cmdline()).strip() == "augustus"
    (throttled,) = document["blacklist"]
    assert {name: type(value) for name, value in throttled.items()} == THROTTLED
    assert throttled["id"] == "broken.ini" and throttled["attempt"] >= 1
    with uwsgitop(f"127.0.0.1:{port}") as top:
        wait_until(lambda: b"one.ini" in top.seen() and str(first["pid"]).encode() in top.seen(), 30, "a screen")
        top.leave()
    # killed, and mended: both begin again
    (court / "broken.ini").unlink()
    os.kill(first["pid"], signal.SIGKILL)
    wait_until(lambda: vassal(address).get("respawns") == 1 and vassal(address).get("loyal"), 40, "it has come back")
    assert vassal(address)["pid"] != first["pid"]
    wait_until(lambda: statistics(address, timeout=30)["blacklist"] == [], 30, "nobody is left alone any more")
    server.signal(signal.SIGTERM)
    assert server.wait(30) == 0
    assert not pidfile.exists()


def vassal(address: tuple[str, int]) -> dict[str, Any]:
    """What is told of the one that serves; nothing while it does not run."""
    return next((one for one in statistics(address, timeout=30)["vassals"] if one["id"] == "one.ini"), {})


def vassal_pid(server: Server, name: str) -> int:
    return int(re.findall(rf"vassal \S+{name}\.ini started \(pid: (\d+)\)", server.log)[-1])
