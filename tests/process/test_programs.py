"""Programs beside the server: attached daemons, smart ones, commands of cron."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from typing import TYPE_CHECKING

import psutil
import pytest
from support.http import get
from support.server import APPS, wait_until
from support.told import statistics

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from support.mongrel2 import Mongrel2
    from support.server import Server

LONG = 20.0
"""Seconds for what takes a moment on a quiet machine."""


def pid_in(path: Path) -> int:
    """The last pid written there; 0: none yet."""
    with contextlib.suppress(OSError, ValueError, IndexError):
        return int(path.read_text().split()[-1])
    return 0


def lives(pid: int) -> bool:
    with contextlib.suppress(psutil.Error):
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    return False


@pytest.fixture
def ours(tmp_path: Path) -> Iterator[Path]:
    """A directory for pid files; what outlives its server is ended at last."""
    path = tmp_path / "programs"
    path.mkdir()
    yield path
    for file in path.glob("*.pid"):
        with contextlib.suppress(ProcessLookupError):
            if pid := pid_in(file):
                os.kill(pid, signal.SIGKILL)


@pytest.fixture
def run(mongrel2: Mongrel2, start_server: Callable[..., Server], ours: Path) -> Callable[..., Server]:
    """Serve with these lines in the ini file; waits until it serves."""

    def start(*lines: str) -> Server:
        ini = ours / "app.ini"
        common = (f"zeromq = {mongrel2.pair}", f"pythonpath = {APPS}", "module = probe", f"chdir = {ours}")
        ini.write_text("\n".join(["[uwsgi]", *common, "env = WORD=speaks", f"stats = {ours}/stats", *lines, ""]))
        return start_server(str(ini)).wait_ready(timeout=LONG)

    return start


def daemons(ours: Path) -> list[str]:
    """Two that live with the server, three that outlive it."""
    return [
        "attach-daemon = echo one $WORD; echo $$ >>one; exec sleep 1000",
        "attach-daemon2 = cmd=trap 'echo hung up; exit' HUP; echo $$ >>two; while :; do sleep 0.1; done,"
        f"reloadsignal=HUP,touch={ours}/again",
        f"attach-daemon2 = cmd=exec sleep 1000,pidfile={ours}/three.pid,daemonize=1,freq=1",
        f"smart-attach-daemon = {ours}/four.pid sleep 1000 & echo $! >four.pid",
        f"smart-attach-daemon2 = {ours}/five.pid exec sleep 1000",
    ]


def test_daemons(mongrel2: Mongrel2, run: Callable[..., Server], ours: Path) -> None:
    (ours / "again").touch()
    lines = daemons(ours)
    server = run(*lines)
    files = [ours / name for name in ("one", "two", "three.pid", "four.pid", "five.pid")]
    one, two, three, four, five = files
    server.wait_log(r"INFO daemon 1: one speaks$", LONG)
    wait_until(lambda: all(map(pid_in, files)), LONG, "all have begun")
    first = {file: pid_in(file) for file in files}
    assert all(map(lives, first.values()))
    for name in ("smart daemon 1", "smart daemon 2", "smart daemon 3"):
        server.wait_log(rf"{name} runs \(pid: ", LONG)
    assert {daemon["pid"] for daemon in statistics(ours / "stats")["daemons"]} == set(first.values())

    os.kill(first[one], signal.SIGKILL)
    os.kill(first[three], signal.SIGKILL)
    wait_until(lambda: pid_in(one) != first[one] and lives(pid_in(one)), LONG, "it is replaced")
    wait_until(lambda: pid_in(three) != first[three] and lives(pid_in(three)), LONG, "it is started again")
    server.wait_log(rf"smart daemon 1 runs \(pid: {pid_in(three)}\)", LONG)

    # With a reload they begin with the new code; smart ones are let alone.
    before, mark = {file: pid_in(file) for file in files}, server.mark()
    server.signal(signal.SIGHUP)
    wait_until(lambda: pid_in(one) != before[one] and pid_in(two) != before[two], LONG, "both are new")
    server.wait_log(r"INFO daemon 2: hung up$", LONG, after=mark)
    assert [pid_in(file) for file in (three, four, five)] == [before[file] for file in (three, four, five)]
    wait_until(lambda: not lives(before[one]) and not lives(before[two]), LONG, "the old ones have gone")

    now, mark = pid_in(two), server.mark()
    (ours / "again").write_text("touched")
    server.wait_log(rf"daemon 2 READY -> STOPPING \(touch {ours}/again\)", LONG, after=mark)
    wait_until(lambda: pid_in(two) != now, LONG, "it is started anew")
    assert get(mongrel2.address).status == 200
    wait_until(lambda: lives(pid_in(one)) and lives(pid_in(two)), LONG, "both run")
    last = {file: pid_in(file) for file in files}
    assert server.stop(LONG) == 0
    assert not lives(last[one]) and not lives(last[two])
    assert all(lives(last[file]) for file in (three, four, five))

    # What still runs is taken as it is, and outlives the master's sudden death, too.
    server = run(*lines)
    for name, file in (("1", three), ("2", four), ("3", five)):
        server.wait_log(rf"smart daemon {name} runs \(pid: {last[file]}\)", LONG)
    wait_until(lambda: pid_in(one) != last[one], LONG, "another one")
    server.kill_master()
    wait_until(lambda: not lives(pid_in(one)), LONG, "it died with the master")
    assert all(lives(last[file]) for file in (three, four, five))
    wait_until(lambda: not lives(pid_in(two)), LONG, "and so did the other")


def test_the_server_ends_with_a_control_daemon(run: Callable[..., Server], ours: Path) -> None:
    server = run("attach-control-daemon = while [ ! -e end ]; do sleep 0.1; done")
    server.allow("a control daemon")
    (ours / "end").touch()
    assert server.wait(LONG) == 0
    assert "stopping: daemon 1 has ended, a control daemon" in server.log


def test_commands_of_cron(mongrel2: Mongrel2, run: Callable[..., Server], ours: Path) -> None:
    """Every minute begins with the first one: that of the start."""
    server = run(
        "cron = -1 -1 -1 -1 -1 echo one $WORD; pwd; exit 3",
        "unique-cron = -1 -1 -1 -1 -1 echo $$ >two; exec sleep 1000",
        "cron2 = minute=-1,harakiri=1 exec sleep 1000",
        f"cron = -1 {'12' if time.localtime().tm_hour < 6 else '1'} -1 -1 -1 echo never",
    )
    server.wait_log(r"cron 1 \(pid: \d+\) started: echo one", LONG)
    server.wait_log(r"INFO cron 1: one speaks$", LONG)
    server.wait_log(rf"INFO cron 1: {ours}$", LONG)
    server.wait_log(r"WARNING master: cron 1 \(pid: \d+\) ended: exit code 3 after \d+\.\d\d s", LONG)
    server.wait_log(r"cron 4 \(pid: \d+\) is killed: harakiri of cron", LONG)
    server.wait_log(r"cron 4 \(pid: \d+\) ended: killed by signal 9, SIGKILL after", LONG)
    wait_until(lambda: pid_in(ours / "two"), LONG, "the second one runs")
    # Another minute may begin just now.
    wait_until(lambda: statistics(ours / "stats")["crons"][0]["pid"] == -1, LONG, "the first one does not run")
    document = statistics(ours / "stats")
    assert [cron["unique"] for cron in document["crons"]] == [0, 0, 1, 0]
    assert [cron["minute"] for cron in document["crons"]] == [-1] * 4
    unique = document["crons"][2]
    assert unique["pid"] == pid_in(ours / "two") and unique["started_at"] > 0
    assert document["m2serve"]["crons"][0]["last_exit"] == 3
    assert get(mongrel2.address).status == 200
    assert server.stop(LONG) == 0
    assert not lives(pid_in(ours / "two"))
    assert "echo never" not in server.log


MULE = """
import os, time, uwsgi

def work():
    print("mule", uwsgi.mule_id(), os.environ["WORD"], __name__, os.getcwd(), flush=True)
    with open(__name__, "a") as file:
        file.write(f"{os.getpid()}\\n")
    time.sleep(1000)

if __name__ == "__main__":
    work()
"""


def test_mules(mongrel2: Mongrel2, run: Callable[..., Server], ours: Path) -> None:
    (ours / "worker.py").write_text(MULE)
    server = run("mule = worker.py", "mule = worker:work")
    script, function = ours / "__main__", ours / "worker"
    server.wait_log(rf"^mule 1 speaks __main__ {ours}$", LONG)
    server.wait_log(rf"^mule 2 speaks worker {ours}$", LONG)
    wait_until(lambda: pid_in(script) and pid_in(function), LONG, "both have begun")
    first = pid_in(script), pid_in(function)
    assert server.pids("mule") == {"mule 1": first[0], "mule 2": first[1]}
    os.kill(first[1], signal.SIGKILL)
    wait_until(lambda: pid_in(function) != first[1] and lives(pid_in(function)), LONG, "it is replaced")
    last = pid_in(script), pid_in(function)
    assert last[0] == first[0]
    assert get(mongrel2.address).status == 200
    assert server.stop(LONG) == 0
    assert not any(map(lives, last))


NULL = os.devnull


@pytest.mark.parametrize(
    ("options", "ours", "theirs"),
    [
        ((), NULL, NULL),
        (("--honour-stdin",), "pipe", NULL),
        (("--honour-stdin", "--daemons-honour-stdin"), "pipe", "pipe"),
    ],
    ids=["none", "ours", "theirs"],
)
def test_standard_input(
    mongrel2: Mongrel2,
    start_server: Callable[..., Server],
    tmp_path: Path,
    options: tuple[str, ...],
    ours: str,
    theirs: str,
) -> None:
    file = tmp_path / "pid"
    reader, writer = os.pipe()
    args = ("--zeromq", mongrel2.pair, "--pythonpath", str(APPS), "--module", "probe", "--mule", f"{APPS}/waiting.py")
    server = start_server(*args, "--attach-daemon", f"echo $$ >{file}; exec sleep 1000", *options, stdin=reader)
    os.close(reader)
    try:
        server.wait_ready(timeout=LONG)
        wait_until(lambda: {"worker 1", "dispatcher", "mule 1"} <= set(server.pids()), LONG, "all have begun")
        wait_until(lambda: pid_in(file), LONG, "the daemon runs")
        for name, pid in {"master": server.pid, "daemon": pid_in(file), **server.pids()}.items():
            expected = theirs if name == "daemon" else ours
            wait_until(lambda pid=pid, expected=expected: reads(pid).startswith(expected), LONG, f"{name}: {expected}")
        assert get(mongrel2.address).text == "hello\n"
        assert server.stop() == 0
    finally:
        os.close(writer)


def reads(pid: int) -> str:
    """What its standard input is."""
    return os.readlink(f"/proc/{pid}/fd/0")
