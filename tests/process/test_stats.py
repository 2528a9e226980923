"""``--stats``: uWSGI's document, over every road, whoever else is at the socket."""

from __future__ import annotations

import json
import os
import signal
import socket
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest
from support.http import Connection, get, request_bytes
from support.ports import free_ports
from support.server import wait_until
from support.told import told_by
from support.top import uwsgitop

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from support.mongrel2 import Mongrel2
    from support.server import Server

TOPOLOGIES = pytest.mark.parametrize("options", [(), ("--zeromq-direct",)], ids=["dispatched", "direct"])

# What each object of uWSGI's own document has, and of what type.
TOP = {
    "version": str, "listen_queue": int, "listen_queue_errors": int, "signal_queue": int, "load": int, "pid": int,
    "uid": int, "gid": int, "cwd": str, "locks": list, "sockets": list, "workers": list,
}  # fmt: skip
SOCKET = {"name": str, "proto": str, "queue": int, "max_queue": int, "shared": int, "can_offload": int}
WORKER = {
    "id": int, "pid": int, "accepting": int, "requests": int, "delta_requests": int, "exceptions": int,
    "harakiri_count": int, "signals": int, "signal_queue": int, "status": str, "rss": int, "vsz": int,
    "running_time": int, "last_spawn": int, "respawn_count": int, "tx": int, "avg_rt": int, "apps": list,
    "cores": list,
}  # fmt: skip
APP = {
    "id": int, "modifier1": int, "mountpoint": str, "startup_time": int, "requests": int, "exceptions": int,
    "chdir": str,
}  # fmt: skip
CORE = {
    "id": int, "requests": int, "static_requests": int, "routed_requests": int, "offloaded_requests": int,
    "write_errors": int, "read_errors": int, "in_request": int, "vars": list, "req_info": dict,
}  # fmt: skip


def typed(found: dict[str, Any], fields: dict[str, type]) -> None:
    assert {key: type(found.get(key)) for key in fields} == fields


def valid(document: dict[str, Any]) -> None:
    """As uWSGI's consumers decode it."""
    typed(document, TOP)
    for one in document["sockets"]:
        typed(one, SOCKET)
    for worker in document["workers"]:
        typed(worker, WORKER)
        for app in worker["apps"]:
            typed(app, APP)
        for core in worker["cores"]:
            typed(core, CORE)
    ids = [worker["id"] for worker in document["workers"]]
    assert len(ids) == len(set(ids))
    assert "null" not in json.dumps(document)


def stats(address: str | tuple[str, int]) -> dict[str, Any]:
    document = json.loads(told_by(address))
    valid(document)
    return document


def total(document: dict[str, Any], key: str) -> int:
    return sum(worker[key] for worker in document["workers"])


@pytest.fixture
def address(tmp_path: Path) -> str:
    return str(tmp_path / "stats")


@TOPOLOGIES
def test_counts(mongrel2: Mongrel2, serve: Callable[..., Server], address: str, options: tuple[str, ...]) -> None:
    server = serve(mongrel2, processes=2, threads=2, options=("--stats", address, *options))
    server.allow("raised on purpose")
    for _ in range(20):
        assert get(mongrel2.address, "/").status == 200
    for _ in range(3):
        assert get(mongrel2.address, "/raise").status == 500

    def within(document: dict[str, Any], part: str, key: str) -> int:
        return sum(one[key] for worker in document["workers"] for one in worker[part])

    def counted() -> tuple[int, ...]:
        """One after the other, behind the answer."""
        found = stats(address)
        apps = within(found, "apps", "requests"), within(found, "apps", "exceptions")
        return total(found, "requests"), total(found, "exceptions"), *apps, within(found, "cores", "requests")

    wait_until(lambda: counted() == (23, 3, 23, 3, 23), 20, "23 requests, 3 exceptions")
    document = stats(address)
    assert total(document, "tx") > 20 * len("hello\n")
    assert {worker["id"]: worker["pid"] for worker in document["workers"]} == {
        number: server.pids()[f"worker {number}"] for number in (1, 2)
    }
    assert document["pid"] == server.pid
    assert all(worker["rss"] > 1_000_000 and worker["vsz"] > worker["rss"] for worker in document["workers"])
    assert all(abs(worker["last_spawn"] - time.time()) < 60 for worker in document["workers"])
    assert [worker["respawn_count"] for worker in document["workers"]] == [1, 1]
    ours = document["m2serve"]
    assert ours["topology"] == ("direct" if options else "dispatched")
    assert ours["generation"] == 1
    identities = {thread["uuid"] for worker in ours["workers"] for thread in worker["threads"]}
    assert len(identities) == 4 and all(one in server.log for one in identities)
    if not options:
        wait_until(lambda: stats(address)["m2serve"]["dispatcher"]["requests"] == 23, 20, "23 handed out")


def running_for(document: Any) -> int:
    """Microseconds the first request that runs has taken; 0: none runs."""
    threads = [thread for worker in document["m2serve"]["workers"] for thread in worker["threads"]]
    return next((one["request"]["elapsed_us"] for one in threads if "request" in one), 0)


@TOPOLOGIES
def test_what_runs_is_shown(
    mongrel2: Mongrel2, serve: Callable[..., Server], address: str, options: tuple[str, ...], tmp_path: Path
) -> None:
    serve(mongrel2, processes=1, threads=2, options=("--stats", address, *options))
    with Connection(mongrel2.address) as client:
        before = time.time()
        target = f"/until{tmp_path}/gate?secret=%20"
        client.send(request_bytes(target))
        wait_until(lambda: stats(address)["workers"][0]["status"] == "busy", 20, "busy")
        document = stats(address)
        (core,) = [core for core in document["workers"][0]["cores"] if core["in_request"]]
        assert core["vars"][0] == "REQUEST_METHOD=GET" and core["vars"][-1] == ""
        assert f"REQUEST_URI={target}" in core["vars"]
        assert before - 2 < core["req_info"]["request_start"] <= time.time()
        (running,) = [one["request"] for one in document["m2serve"]["workers"][0]["threads"] if "request" in one]
        # The first look may be of the very moment it began.
        assert running["method"] == "GET" and 0 <= running["elapsed_us"] < 60e6
        wait_until(lambda: running_for(stats(address)) > 100_000, 20, "time passes")
        (tmp_path / "gate").touch()
        assert client.read().status == 200
    wait_until(lambda: stats(address)["workers"][0]["status"] == "idle", 20, "idle")
    worker = stats(address)["workers"][0]
    assert 100_000 < worker["running_time"] < 60_000_000
    assert all(core["vars"] == [] and core["req_info"] == {} for core in worker["cores"])


def test_the_queue_is_shown(mongrel2: Mongrel2, serve: Callable[..., Server], address: str, tmp_path: Path) -> None:
    serve(mongrel2, processes=1, threads=1, options=("--stats", address, "--queue-limit", "2"))

    def dispatcher() -> dict[str, int]:
        return stats(address)["m2serve"]["dispatcher"]

    clients = [Connection(mongrel2.address) for _ in range(4)]
    clients[0].send(request_bytes(f"/until{tmp_path}/gate"))
    wait_until(lambda: dispatcher()["running"] == 1, 20, "one that runs")
    for client in clients[1:]:
        client.send(request_bytes("/sleep/0.1"))
    wait_until(lambda: dispatcher()["queue"] == 2, 20, "two in the queue")
    document = stats(address)
    assert document["listen_queue"] == document["sockets"][0]["queue"] == 2
    assert document["m2serve"]["dispatcher"]["answered"]["503"] == 1
    wait_until(lambda: stats(address)["m2serve"]["endpoints"][0]["oldest_us"] > 0, 20, "time passes")
    (tmp_path / "gate").touch()
    statuses = sorted(client.read().status for client in clients)
    for client in clients:
        client.close()
    assert statuses == [200] * 3 + [503]
    wait_until(lambda: dispatcher()["queue"] == 0 and dispatcher()["requests"] == 3, 20, "an empty queue")
    assert dispatcher()["queue_time_us"] > 1000
    assert stats(address)["m2serve"]["endpoints"][0]["oldest_us"] == 0


@TOPOLOGIES
def test_requests_survive_deaths_and_reloads(
    mongrel2: Mongrel2, serve: Callable[..., Server], address: str, options: tuple[str, ...]
) -> None:
    server = serve(mongrel2, processes=1, threads=2, options=("--stats", address, *options))
    for _ in range(5):
        get(mongrel2.address, "/")
    # the count follows the answer
    wait_until(lambda: total(stats(address), "requests") == 5, 20, "5 requests")
    mark = server.mark()
    server.kill_child("worker 1")
    server.wait_log("worker 1 ready", after=mark)
    wait_until(lambda: stats(address)["workers"][0]["respawn_count"] == 2, 20, "a second life")
    worker = stats(address)["workers"][0]
    assert (worker["requests"], worker["delta_requests"]) == (5, 0)
    mark = server.mark()
    server.signal(signal.SIGHUP)
    server.wait_log(r"worker 1 \w+ -> DEAD", after=mark)
    wait_until(lambda: stats(address)["m2serve"]["generation"] == 2, 20, "a second generation")
    worker = stats(address)["workers"][0]
    assert (worker["requests"], worker["respawn_count"], worker["pid"]) == (5, 3, server.pids()["worker 1"])


def test_every_road(mongrel2: Mongrel2, serve: Callable[..., Server]) -> None:
    (port,) = free_ports(1)
    name = f"@m2serve-test-{os.getpid()}"
    serve(mongrel2, processes=1, options=("--stats", f"127.0.0.1:{port}", "--stats-http", "--stats-minified"))
    head, _, body = told_by(("127.0.0.1", port), b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.0 200 OK\r\n") and b"Content-Type: application/json" in head
    assert b"\n" not in body
    valid(json.loads(body))
    other = serve(mongrel2, processes=1, options=("--stats", name, "--stats-no-cores"))
    document = json.loads(told_by("\0" + name[1:]))
    assert "cores" not in document["workers"][0]
    assert other.stop() == 0


def test_the_file_is_replaced_and_removed(
    mongrel2: Mongrel2, serve: Callable[..., Server], start_server: Callable[..., Server], address: str
) -> None:
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(address)
    server = serve(mongrel2, processes=1, options=("--stats", address))
    stats(address)
    second = start_server("--zeromq", mongrel2.pair, "--stats", address, "--wsgi-file", os.devnull)
    second.allow("cannot listen")
    assert second.wait() == 1
    stats(address)
    assert server.stop() == 0
    assert not os.path.exists(address)


def test_bad_company_disturbs_nobody(mongrel2: Mongrel2, serve: Callable[..., Server], address: str) -> None:
    server = serve(mongrel2, processes=1, threads=2, options=("--stats", address))
    silent = []
    for _ in range(40):
        sock = socket.socket(socket.AF_UNIX)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1024)
        sock.connect(address)
        silent.append(sock)
    stop = threading.Event()

    def shout() -> None:
        while not stop.is_set():
            try:
                told_by(address, os.urandom(100_000))
            except OSError:
                pass

    shouters = [threading.Thread(target=shout) for _ in range(3)]
    for thread in shouters:
        thread.start()
    for _ in range(50):
        assert get(mongrel2.address, "/").seconds < 15
    mark = server.mark()
    server.signal(signal.SIGUSR1)  # the master, too, has time
    server.wait_log("children", after=mark)
    stop.set()
    for thread in shouters:
        thread.join(20)
    for sock in silent:
        sock.close()
    wait_until(lambda: total(stats(address), "requests") == 50, 20, "50 requests")


def test_uwsgitop(mongrel2: Mongrel2, serve: Callable[..., Server]) -> None:
    (port,) = free_ports(1)
    server = serve(mongrel2, processes=2, threads=2, options=("--stats", f"127.0.0.1:{port}"))
    for _ in range(7):
        get(mongrel2.address, "/")
    with uwsgitop(f"127.0.0.1:{port}") as top:
        pid = str(server.pids()["worker 2"]).encode()
        wait_until(lambda: b"req: 7" in top.seen() and pid in top.seen(), 30, "a screen")
        for key in b"aaaf":
            top.press(bytes((key,)))
        top.leave()
