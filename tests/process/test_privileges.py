"""Root starts it, somebody else runs it."""

from __future__ import annotations

import contextlib
import grp
import json
import os
import pwd
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import pytest
from support.http import get
from support.manager import Manager
from support.mongrel2 import require
from support.ports import free_ports
from support.server import APPS, ROOT, wait_until
from support.told import statistics

if TYPE_CHECKING:
    from collections.abc import Callable

    from support.mongrel2 import Mongrel2
    from support.server import Server

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")

NOBODY = 65534
EXTRA = 65501
APPLICATION = ("--threads", "2", "--pythonpath", str(APPS), "--module", "probe")


@pytest.fixture(scope="module")
def nobody() -> str:
    """The name of a user who may read our code."""
    path = {**os.environ, "PYTHONPATH": str(ROOT)}
    try:
        command = [sys.executable, "-c", "import m2serve.cli"]
        subprocess.run(command, user=NOBODY, cwd="/", env=path, capture_output=True, check=True)
        return pwd.getpwuid(NOBODY).pw_name
    except (OSError, subprocess.CalledProcessError, KeyError):
        pytest.skip("another user cannot read our code, or run our Python")


@pytest.fixture
def home(public_path: Callable[[], Path]) -> Path:
    """A directory of that user's."""
    path = public_path()
    os.chown(path, NOBODY, NOBODY)
    return path


def facts(pid: int) -> dict[str, str]:
    """What the kernel says of a process."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return {key: " ".join(value.split()) for key, _, value in (line.partition(":") for line in lines)}


def is_somebody(pid: int, group: int = NOBODY) -> bool:
    found = facts(pid)
    return found["Uid"] == " ".join([str(NOBODY)] * 4) and found["Gid"] == " ".join([str(group)] * 4)


def limit(pid: int, name: str) -> str:
    match = re.search(rf"^{name} +(\S+) +(\S+)", Path(f"/proc/{pid}/limits").read_text(), re.MULTILINE)
    assert match is not None and match[1] == match[2]
    return match[1]


def test_everything_runs_as_the_user(
    mongrel2: Mongrel2, start_server: Callable[..., Server], nobody: str, home: Path
) -> None:
    log, touched = home / "log", home / "touched"
    touched.touch()
    server = start_server(
        *("--zeromq", mongrel2.pair, "-p", "2", *APPLICATION),
        *("--uid", nobody, "--gid", grp.getgrgid(NOBODY).gr_name, "--add-gid", str(EXTRA)),
        *("--umask", "027", "--max-fd", "777", "--limit-as", "65536", "--chdir2", str(home)),
        *("--pidfile", str(home / "pid"), "--pidfile2", str(home / "pid2"), "--safe-pidfile", str(home / "pid3")),
        *("--stats", str(home / "stats"), "--master-fifo", str(home / "fifo")),
        *("--logto", str(log), "--logfile-chown", "--logfile-chmod", "604", "--touch-logreopen", str(touched)),
    )
    wait_until(lambda: log.exists() and "all 2 workers ready" in log.read_text(), 20, "ready")
    wait_until((home / "pid3").exists, 20, "the last pid file")
    assert json.loads(get(mongrel2.address, "/env").body)["cwd"] == str(home)
    children = [child.pid for child in psutil.Process(server.pid).children()]
    assert len(children) == 4, "dispatcher, nursery, workers"
    for pid in (server.pid, *children):
        assert is_somebody(pid), facts(pid)
        assert str(EXTRA) in facts(pid)["Groups"].split()
        assert facts(pid)["Umask"] == "0027"
        assert limit(pid, "Max open files") == "777"
        assert limit(pid, "Max address space") == str(65536 * 1024 * 1024)
    assert statistics(home / "stats")["uid"] == NOBODY
    assert (log.stat().st_uid, log.stat().st_mode & 0o777) == (NOBODY, 0o604)
    for name in ("pid", "pid2", "pid3"):
        assert (home / name).read_text() == f"{server.pid}\n"

    worker = server.pids("worker")["worker 1"]
    os.kill(worker, signal.SIGKILL)
    wait_until(lambda: len(server.pids("worker")) == 2 and worker not in server.pids("worker").values(), 20, "respawn")
    assert all(is_somebody(pid) for pid in server.pids().values())

    log.rename(home / "old")
    touched.write_text("now")
    wait_until(log.exists, 20, "a new log")
    assert log.stat().st_uid == NOBODY
    wait_until(lambda: get(mongrel2.address).status == 200 and "GET /" in log.read_text(), 20, "a line in it")
    assert server.stop() == 0
    assert sorted(path.name for path in home.iterdir()) == ["log", "old", "touched"]


def test_an_attached_mongrel2_too(start_server: Callable[..., Server], nobody: str, home: Path) -> None:
    require()
    (port,) = free_ports(1)
    server = start_server(
        *("--with-mongrel2", f"127.0.0.1:{port}", *APPLICATION, "--uid", nobody), environment={"TMPDIR": str(home)}
    )
    server.wait_log("serving on")
    server.wait_ready()
    body = bytes(range(256)) * 1000
    assert get(("127.0.0.1", port), "/echo", method="POST", body=body).body == body
    children = psutil.Process(server.pid).children()
    assert "mongrel2" in [child.name() for child in children]
    assert all(is_somebody(child.pid) for child in children)
    assert server.stop() == 0
    assert list(home.iterdir()) == []


def test_a_pid_file_in_a_directory_of_roots_is_emptied(
    mongrel2: Mongrel2, start_server: Callable[..., Server], nobody: str, public_path: Callable[[], Path]
) -> None:
    pidfile = public_path() / "pid"
    server = start_server("--zeromq", mongrel2.pair, *APPLICATION, "--uid", nobody, "--pidfile", str(pidfile))
    server.wait_ready()
    assert f"{pidfile}: its directory is not ours to change" in server.log
    assert server.stop() == 0
    assert pidfile.read_text() == ""


def test_the_master_may_stay_root(
    mongrel2: Mongrel2, start_server: Callable[..., Server], nobody: str, public_path: Callable[[], Path]
) -> None:
    pidfile = public_path() / "pid"
    args = ("--zeromq", mongrel2.pair, *APPLICATION, "--uid", nobody, "--master-as-root", "--pidfile", str(pidfile))
    server = start_server(*args).wait_ready()
    assert facts(server.pid)["Uid"] == "0 0 0 0"
    assert all(is_somebody(pid) for pid in server.pids().values())
    assert get(mongrel2.address).text == "hello\n"
    assert server.stop() == 0
    assert not pidfile.exists()
    server = start_server(*args).wait_ready()
    server.kill_master()
    wait_until(lambda: not server.strays(), 20, "they die with it, though they are somebody else's")


PRIVILEGED = """
import os
from pathlib import Path

SECRET = Path(__file__).with_name("secret").read_text()
BEFORE = os.getuid()


def application(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [f"{SECRET} {BEFORE} {os.getuid()} {os.getgid()}".encode()]
"""


def test_applications_may_be_loaded_as_root(
    mongrel2: Mongrel2, start_server: Callable[..., Server], nobody: str, public_path: Callable[[], Path]
) -> None:
    home = public_path()
    (home / "privileged.py").write_text(PRIVILEGED)
    (home / "secret").write_text("hush")
    (home / "secret").chmod(0o600)
    args = ("--zeromq", mongrel2.pair, "--pythonpath", str(home), "--module", "privileged", "--need-app")
    args += ("--uid", nobody, "--drop-after-apps")
    said = f"hush 0 {NOBODY} {NOBODY}"
    server = start_server(*args, "-p", "2", "--mules", "1").wait_ready(2)
    wait_until(lambda: "mule 1" in server.pids() and is_somebody(server.pids()["mule 1"]), 20, "the mule, too")
    assert get(mongrel2.address).text == said
    assert facts(server.pid)["Uid"] == "0 0 0 0"
    pids = server.pids()
    assert {"dispatcher", "worker 1", "worker 2", "mule 1"} < set(pids), "and the nursery"
    assert all(is_somebody(pid) for pid in pids.values())
    # a dead worker is forked by the user, a reload loads as root again
    mark = server.mark()
    server.kill_child("worker 1")
    wait_until(lambda: {"worker 1", "worker 2"} <= set(server.pids()), 20, "its successor")
    server.wait_log("worker 1 STARTING -> READY", timeout=20, after=mark)
    assert all(is_somebody(pid) for pid in server.pids().values())
    mark = server.mark()
    server.signal(signal.SIGHUP)
    server.wait_ready(2, after=mark)
    assert get(mongrel2.address).text == said
    assert server.stop() == 0

    alone = start_server(*args).wait_ready()
    assert get(mongrel2.address).text == said
    assert all(is_somebody(pid) for pid in alone.pids().values())
    alone.kill_master()
    wait_until(lambda: not alone.strays(), 20, "they die with it, though they are somebody else's")


@pytest.mark.parametrize(
    ("user", "options", "words"),
    [
        (None, ("--uid", "no-such-user"), "command line: uid = no-such-user: there is no user of that name here"),
        (NOBODY, ("--chroot", "/"), "chroot = /: user nobody cannot change its root directory, only root can"),
    ],
    ids=["unknown", "not root"],
)
def test_what_cannot_be_is_said_before_anything_starts(
    start_server: Callable[..., Server], nobody: str, home: Path, user: int | None, options: tuple[str, ...], words: str
) -> None:
    args = ("--zeromq", f"ipc://{home}/a,ipc://{home}/b", "--pidfile", str(home / "pid"), *APPLICATION)
    server = start_server(*args, *options, user=user, cwd=home)
    assert server.wait() == 1
    assert words.replace("user nobody", f"user {nobody}") in server.log
    assert "nothing was started" in server.log
    assert list(home.iterdir()) == []


def test_who_is_that_user_already_need_not_be_root(
    mongrel2: Mongrel2, start_server: Callable[..., Server], nobody: str, home: Path
) -> None:
    server = start_server("--zeromq", mongrel2.pair, *APPLICATION, "--uid", nobody, user=NOBODY, cwd=home)
    server.wait_ready()
    assert get(mongrel2.address).text == "hello\n"
    assert server.stop() == 0


JAILED = """
import os


def application(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [" ".join(sorted(os.listdir("/"))).encode()]
"""
IMPORTED = "import encodings.ascii, encodings.latin_1, sys; from m2serve.cli import main; sys.exit(main(sys.argv[1:]))"
"""There is no Python in the jail."""


def test_another_root_directory(
    mongrel2: Mongrel2,
    start_server: Callable[..., Server],
    nobody: str,
    public_path: Callable[[], Path],
    tmp_path: Path,
) -> None:
    jail = public_path()
    (jail / "app").mkdir()
    (jail / "app" / "jailed.py").write_text(JAILED)
    manager = Manager(str(tmp_path / "notify"))
    try:
        server = start_server(
            *("--zeromq", mongrel2.pair, "--chroot", str(jail), "--chdir", "/app", "--module", "jailed"),
            *("--uid", nobody),
            program=("-c", IMPORTED),
            environment={"NOTIFY_SOCKET": manager.address},
        ).wait_ready()
        assert get(mongrel2.address).text == "app"
        manager.wait_for("READY")
        assert server.stop() == 0
    finally:
        manager.close()


# --- into the background --------------------------------------------------------------


def pid_in(path: Path) -> int:
    with contextlib.suppress(OSError, ValueError):
        return int(path.read_text())
    return 0


def test_the_background(mongrel2: Mongrel2, start_server: Callable[..., Server], nobody: str, home: Path) -> None:
    log, pidfile = home / "log", home / "pid"
    args = ("--zeromq", mongrel2.pair, *APPLICATION, "--pidfile", str(pidfile), "--logfile-chown", "--uid", nobody)
    launcher = start_server(*args, "--daemonize2", str(log))
    assert launcher.wait(20) == 0
    pid = pid_in(pidfile)
    try:
        assert "all 1 workers ready" in log.read_text(), "it waited for that"
        assert launcher.log == ""
        assert is_somebody(pid)
        assert os.getsid(pid) not in (pid, launcher.pid)
        assert psutil.Process(pid).ppid() != launcher.pid
        assert facts(pid)["Umask"] == "0000"
        assert get(mongrel2.address).text == "hello\n"
        assert start_server("--stop", str(pidfile)).wait() == 0
        wait_until(lambda: not psutil.pid_exists(pid), 20, "it stops")
        assert not pidfile.exists()
        assert "goodbye: exit code 0" in log.read_text()
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def test_a_start_that_fails_is_told_to_whoever_waits(
    mongrel2: Mongrel2, start_server: Callable[..., Server], home: Path
) -> None:
    args = ("--zeromq", mongrel2.pair, *APPLICATION)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        launcher = start_server(*args, "--daemonize", str(home / "log"), "--stats", f"127.0.0.1:{port}")
        assert launcher.wait(20) == 1
        assert re.search(rf"nothing was started: .*127\.0\.0\.1:{port}: cannot listen", launcher.log)
        assert "nothing was started" in (home / "log").read_text()
    launcher = start_server(*args, "--daemonize", str(home / "no" / "log"))
    assert launcher.wait(20) == 1
    assert "cannot be opened for writing" in launcher.log
    launcher = start_server(*args, "--module", "broken", "--need-app", "--daemonize2", str(home / "log"))
    assert launcher.wait(20) == 22
    assert "its log says why" in launcher.log


def test_a_socket_that_root_binds(
    start_server: Callable[..., Server], public_path: Callable[[], Path], nobody: str
) -> None:
    """In a directory of root's: it belongs to whom the options name, goes through an upgrade, and cannot be removed by
    who is left, which is said."""
    directory = public_path()
    mine, given = directory / "mine.sock", directory / "given.sock"
    own = ("--uid", nobody, "--chmod-socket=660", "--socket", str(mine))
    server = start_server(*APPLICATION, *own, cwd=directory).wait_ready()
    found = mine.stat()
    assert (found.st_uid, found.st_gid, found.st_mode & 0o777) == (NOBODY, NOBODY, 0o660)
    assert all(is_somebody(pid) for pid in server.pids().values())
    mark = server.mark()
    server.signal(signal.SIGUSR2)
    server.wait_log(f"uwsgi door at {mine}, inherited", after=mark)
    server.wait_ready(after=mark)
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(mine))
    assert server.stop() == 0
    assert f"vacuum: this user cannot remove {mine}" in server.log

    again = start_server(*APPLICATION, *own, "--scgi-socket", str(given), "--chown-socket", f"{EXTRA}:{EXTRA}")
    again.wait_ready()
    assert {(path.stat().st_uid, path.stat().st_gid) for path in (mine, given)} == {(EXTRA, EXTRA)}
    assert again.stop() == 0
