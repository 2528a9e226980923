"""What an operator sees from outside: process titles, and the table that USR1 asks for."""

from __future__ import annotations

import contextlib
import re
import signal
import subprocess
import sys
import uuid
from typing import TYPE_CHECKING

import psutil
import pytest
from support.http import get
from support.server import ROOT, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from support.mongrel2 import Mongrel2
    from support.server import Server

TOPOLOGIES = pytest.mark.parametrize("options", [(), ("--zeromq-direct",)], ids=["dispatched", "direct"])
PROCESSES, THREADS = 3, 4
_ROW = re.compile(
    r"  (worker \d+|nursery \d+|dispatcher) \(pid: (\d+)\)(?: generation (\d+))? (\w+) age [\d.]+ s(?: threads: (.*))?$"
)


def title(pid: int) -> str:
    return " ".join(psutil.Process(pid).cmdline()).strip()


def titles(server: Server) -> list[str]:
    found = []
    for child in psutil.Process(server.pid).children(recursive=True):
        with contextlib.suppress(psutil.Error):
            found.append(title(child.pid))
    return sorted(found)


@TOPOLOGIES
def test_titles(mongrel2: Mongrel2, serve: Callable[..., Server], options: tuple[str, ...]) -> None:
    server = serve(mongrel2, processes=PROCESSES, options=("--procname-prefix", "shop ", *options))
    roles = [f"worker {number}" for number in range(1, PROCESSES + 1)] + ([] if options else ["dispatcher"])
    wanted = sorted(f"shop m2serve {role}" for role in (*roles, "nursery 1"))
    assert title(server.pid) == "shop m2serve master"
    # the process between the nursery and its last worker may just be ending
    wait_until(lambda: titles(server) == wanted, 5, f"{wanted}, not {titles(server)}")


@TOPOLOGIES
def test_usr1_tells_of_every_child_and_thread(
    mongrel2: Mongrel2, serve: Callable[..., Server], options: tuple[str, ...]
) -> None:
    server = serve(mongrel2, processes=PROCESSES, threads=THREADS, options=options)
    before, mark = server.pids(), server.mark()
    server.signal(signal.SIGUSR1)
    server.wait_log(rf"{len(before)} children, 1 generations:", after=mark)
    for name in before:
        server.wait_log(rf"  {name} \(pid: ", after=mark)
    rows = [match for line in server.log[mark:].splitlines() if (match := _ROW.search(line))]
    assert {row[1]: int(row[2]) for row in rows} == before
    assert {row[4] for row in rows} == {"READY"}
    workers = [row for row in rows if row[1].startswith("worker")]
    identities = [word for row in workers for word in row[5].split()]
    assert all(len(row[5].split()) == THREADS for row in workers)
    assert len({uuid.UUID(word) for word in identities}) == PROCESSES * THREADS, "each thread has its own"
    said = re.findall(r"worker \d+ ready in .* threads: (.*)$", server.log, re.MULTILINE)
    assert sorted(said) == sorted(row[5] for row in workers)
    assert server.pids() == before, "USR1 changes nothing"


def test_titles_headers_and_stacks_as_the_user_wants_them(
    mongrel2: Mongrel2, serve: Callable[..., Server], tmp_path: Path
) -> None:
    pidfile = tmp_path / "pid"
    options = ("--procname-master", "shop boss", "--procname-prefix-spaced", "shop", "--procname-append", " (blue)")
    options += ("--add-header", "X-Frame-Options: DENY", "--add-header", "Connection: close")
    server = serve(mongrel2, options=(*options, "--thread-stacksize", "512", "--pidfile", str(pidfile)))
    response = get(mongrel2.address, "/")
    assert response.status == 200
    assert (response.get("x-frame-options"), response.get("connection")) == ("DENY", "close")
    assert title(server.pid) == "shop shop boss (blue)"
    titles = {title(child.pid) for child in psutil.Process(server.pid).children()}
    assert {"shop m2serve worker 1 (blue)", "shop m2serve dispatcher (blue)"} <= titles
    stop = [sys.executable, "-m", "m2serve", "--stop", str(pidfile)]
    subprocess.run(stop, cwd=ROOT, check=True, timeout=30, capture_output=True)
    assert server.wait(20) == 0
