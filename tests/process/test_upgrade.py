"""The master upgraded while it serves: nobody notices, and nothing is lost."""

from __future__ import annotations

import hashlib
import json
import random
import shutil
import signal
import socket
import sys
import threading
import time
from typing import TYPE_CHECKING

import psutil
import pytest
from support.http import BadResponse, Closed, Connection, get, request_bytes
from support.load import Load
from support.manager import Manager
from support.mongrel2 import require
from support.ports import free_ports
from support.server import APPS, ROOT, wait_until
from support.told import statistics

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from support.mongrel2 import Mongrel2
    from support.server import Server

PATIENCE = 25.0
"""Seconds for one step on a machine that is busy."""
GOES_ON = r"upgrade: goes on in place of m2serve \S+ with \d+ children"

pytestmark = pytest.mark.timeout(90)


def begin(server: Server, workers: int) -> None:
    """USR2, and wait until the new program and its workers serve."""
    mark = server.mark()
    server.signal(signal.SIGUSR2)
    server.wait_log(GOES_ON, PATIENCE, after=mark)
    server.wait_ready(workers, PATIENCE, after=mark)


def upgrade(server: Server, workers: int = 2) -> None:
    """The same, and all that is left of the old program has gone."""
    old = server.pids()
    begin(server, workers)
    server.wait_gone(old.values(), PATIENCE)


def refused(server: Server, reason: str) -> None:
    """An upgrade that changes nothing, for a reason."""
    before, mark = server.pids(), server.mark()
    server.signal(signal.SIGUSR2)
    server.wait_log(rf"upgrade given up: {reason}.*the old program goes on", PATIENCE, after=mark)
    assert server.pids() == before


def test_no_request_is_lost_and_changed_options_count(
    mongrel2: Mongrel2, start_server: Callable[..., Server], tmp_path: Path
) -> None:
    """A quarter of the requests runs for 0.1 s, so that some are under way at every moment."""
    ini, stats, pidfile = tmp_path / "app.ini", tmp_path / "stats", tmp_path / "pid"
    text = f"""[m2serve]
zeromq = {mongrel2.pair}
processes = 2
threads = 4
pythonpath = {APPS}
module = probe
stats = {stats}
pidfile = {pidfile}
master-fifo = {tmp_path}/fifo
disable-logging = true
"""
    ini.write_text(text)
    manager = Manager(str(tmp_path / "notify"))
    server = start_server(
        str(ini), environment={"NOTIFY_SOCKET": manager.address, "WATCHDOG_USEC": "30000000"}
    ).wait_ready(2)
    manager.wait_for("READY")
    with (
        Load(mongrel2.address, "/sleep/0.002", clients=12, tagged=True, timeout=PATIENCE) as quick,
        Load(mongrel2.address, "/sleep/0.1", clients=4, tagged=True, timeout=PATIENCE) as slow,
    ):
        quick.more(50)
        upgrade(server)
        quick.more(20, since=time.monotonic())
        ini.write_text(text.replace("processes = 2", "processes = 3").replace("threads = 4", "threads = 5"))
        mark = server.mark()
        (tmp_path / "fifo").write_text("f")
        server.wait_log(GOES_ON, PATIENCE, after=mark)
        server.wait_ready(3, PATIENCE, after=mark)
        quick.more(20, since=time.monotonic())
        assert "3 processes x 5 threads" in server.log[mark:]
    assert set(quick.summary()) == {"200"}, quick.summary()
    assert set(slow.summary()) == {"200"}, slow.summary()
    assert pidfile.read_text() == f"{server.pid}\n"
    heard = [manager.wait_for("RELOADING", timeout=PATIENCE), manager.wait_for("READY", timeout=PATIENCE)]
    assert heard[1]["MAINPID"] == str(server.pid)
    assert any("WATCHDOG" in message for message in manager.said)
    manager.close()

    def counted() -> bool:
        workers = statistics(stats, timeout=PATIENCE)["workers"]
        served = sum(worker["requests"] for worker in workers)
        return len(workers) == 3 and served == len(quick.results) + len(slow.results)

    wait_until(counted, PATIENCE, "every request is counted once, over all lives")
    assert server.stop() == 0
    assert not any(path.exists() for path in (stats, pidfile, tmp_path / "fifo"))


def test_into_changed_code_and_not_into_broken_code(
    mongrel2: Mongrel2, start_server: Callable[..., Server], tmp_path: Path
) -> None:
    copy, stats = tmp_path / "site", tmp_path / "stats"
    shutil.copytree(ROOT / "m2serve", copy / "m2serve", ignore=shutil.ignore_patterns("__pycache__"))
    version = copy / "m2serve" / "__init__.py"
    ini = tmp_path / "app.ini"
    good = f"[m2serve]\nzeromq = {mongrel2.pair}\nprocesses = 2\nmodule = probe\nstats = {stats}\n"
    ini.write_text(good)
    server = start_server(
        str(ini),
        "--pythonpath",
        str(APPS),
        # Compiled once, not at each of its four starts.
        environment={"PYTHONPATH": str(copy), "PYTHONDONTWRITEBYTECODE": ""},
        cwd=tmp_path,
    ).wait_ready(2)
    before = statistics(stats, timeout=PATIENCE)["version"]
    with Load(mongrel2.address, "/sleep/0.01", clients=4, tagged=True, timeout=PATIENCE) as load:
        ini.write_text(good.replace("processes = 2", "processes = none"))
        refused(server, r"\S*app.ini:3: processes")
        ini.write_text(good)
        whole = version.read_text()
        version.write_text("def broken(:\n")
        server.allow("SyntaxError|invalid syntax")
        refused(server, "its trial ended: exit code 1")
        version.write_text(whole)
        assert statistics(stats, timeout=PATIENCE)["version"] == before
        load.more(20, since=time.monotonic())
        version.write_text(whole.replace(f'"{before}"', '"9.8.7"'))
        upgrade(server)
        assert statistics(stats, timeout=PATIENCE)["version"] == "9.8.7"
        load.more(20, since=time.monotonic())
    assert set(load.summary()) == {"200"}, load.summary()


class Pipeliner:
    """One client that sends eight requests at a time and checks that the answers come in order."""

    def __init__(self, mongrel2: Mongrel2) -> None:
        self._connection = Connection(mongrel2.address, PATIENCE)
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="pipeliner")
        self.rounds = 0
        self.problem = ""

    def __enter__(self) -> Pipeliner:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join(2 * PATIENCE)
        self._connection.close()

    def more(self) -> None:
        rounds = self.rounds
        wait_until(lambda: self.problem or self.rounds > rounds + 2, PATIENCE, "pipelined answers")
        assert not self.problem, self.problem

    def _run(self) -> None:
        try:
            while not self._over.is_set():
                targets = [f"/sleep/0.00{number}/{self.rounds}" for number in range(8)]
                self._connection.send(b"".join(map(request_bytes, targets)))
                for target in targets:
                    response = self._connection.read()
                    assert (response.status, response.text) == (200, target)
                self.rounds += 1
        except (AssertionError, BadResponse, Closed, OSError) as error:
            self.problem = f"round {self.rounds}: {error!r}"


def test_what_is_under_way_goes_on(start_mongrel2: Callable[..., Mongrel2], serve: Callable[..., Server]) -> None:
    """A download that is not read, an upload that is amid its body, and a client that pipelines."""
    mongrel2 = start_mongrel2(settings={"upload.stream": 1, "download.flow_control": 1})
    server = serve(mongrel2, options=("--mount", "/s=streaming"))
    size, body = 8_000_000, random.Random(7).randbytes(3_000_000)
    old = server.pids()
    with (
        Pipeliner(mongrel2) as pipeliner,
        Connection(mongrel2.address, PATIENCE) as download,
        Connection(mongrel2.address, PATIENCE) as upload,
    ):
        download.send(request_bytes(f"/big/{size}"))
        wait_until(lambda: b"200 OK" in download.socket.recv(200, socket.MSG_PEEK), PATIENCE, "the head")
        head = f"POST /s/digest/5000/0?midway HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n\r\n"
        upload.send(head.encode() + body[:1_000_000])
        server.wait_log("reading midway", PATIENCE)
        pipeliner.more()
        begin(server, 2)
        pipeliner.more()
        upload.send(body[1_000_000:])
        answer = upload.read("POST")
        assert answer.status == 200
        assert json.loads(answer.body)["sha256"] == hashlib.sha256(body).hexdigest()
        assert download.read().body == b"x" * size
        pipeliner.more()
        server.wait_gone(old.values(), PATIENCE)
        pipeliner.more()


def mongrels(server: Server) -> list[int]:
    found = psutil.Process(server.pid).children()
    return [child.pid for child in found if child.name() == "mongrel2"]


@pytest.mark.parametrize("options", [(), ("--zeromq-direct",)], ids=["dispatched", "direct"])
def test_an_attached_mongrel2_goes_on(
    start_server: Callable[..., Server], tmp_path: Path, options: tuple[str, ...]
) -> None:
    require()
    pidfile = tmp_path / "pid"
    (port,) = free_ports(1)
    application = ["--pythonpath", str(APPS), "--module", "probe", "-p", "2", "--pidfile", str(pidfile), *options]
    server = start_server("--with-mongrel2", f"127.0.0.1:{port}", *application).wait_ready(2)
    server.wait_log("serving on", PATIENCE)
    wait_until(lambda: get(("127.0.0.1", port), timeout=PATIENCE).status == 200, PATIENCE, "the first answer")
    before = mongrels(server)
    old = server.pids()
    mark = server.mark()
    order = psutil.Popen([sys.executable, "-m", "m2serve", "--upgrade", str(pidfile)], cwd=ROOT)
    assert order.wait(PATIENCE) == 0
    server.wait_log("upgrade: the new program goes on from here", PATIENCE, after=mark)
    # Whoever dies while the new program starts is found by it.
    psutil.Process(old["worker 1"]).kill()
    server.wait_ready(2, PATIENCE, after=mark)
    server.wait_gone(old.values(), PATIENCE)
    assert mongrels(server) == before
    assert get(("127.0.0.1", port), timeout=PATIENCE).text == "hello\n"
    assert server.stop(PATIENCE) == 0
    server.wait_gone(before)
