"""Plugins in a real server: their moments, their mistakes, and those that come with m2serve."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import psutil
import pytest
from support.http import get
from support.ports import free_ports
from support.server import APPS, ROOT, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from support.mongrel2 import Mongrel2
    from support.server import Server

WITNESS = str(APPS / "plugins")


def test_every_moment_has_its_process(mongrel2: Mongrel2, serve: Callable[..., Server], tmp_path: Path) -> None:
    file, socket_path = tmp_path / "witness", tmp_path / "page"
    ini = tmp_path / "plugins.ini"
    ini.write_text(
        f"[m2serve]\nplugins = python3, witness\nplugin-dir = {WITNESS}\n"
        f"witness-file = {file}\nwitness-page = {socket_path}\n"
    )
    server = serve(mongrel2, processes=2, threads=2, options=(str(ini),))
    server.allow("raised by the plugin on purpose")

    def seen(moment: str) -> list[dict[str, Any]]:
        return [one for line in file.read_text().splitlines() if (one := json.loads(line))["moment"] == moment]

    def wait(moment: str, count: int) -> list[dict[str, Any]]:
        wait_until(lambda: len(seen(moment)) >= count, 20, f"{count} times {moment}")
        return seen(moment)

    # The file is there: workers that are ready have written into it.
    assert [one["process"] for one in seen("start")] == [server.pid]
    assert [(one["worker"], one["process"]) for one in seen("spawn")] == [(1, server.pid), (2, server.pid)]
    workers = server.pids("worker")
    assert {f"worker {one['worker']}": one["process"] for one in seen("fork")} == workers
    assert {f"worker {one['worker']}": one["process"] for one in seen("ready")} == workers
    assert {one["key"] for one in seen("fork")} == {one["key"] for one in seen("spawn")}
    (serving,) = wait("serving", 1)
    assert (serving["process"], serving["generation"]) == (server.pid, 1)
    assert all(one["pid"] == one["process"] == server.pid for one in wait("tick", 2))
    assert server.log.count("plugin witness: ready failed") == 2

    for path in ("/", "/", "/big/200000"):
        assert get(mongrel2.address, path).status == 200
    ended = wait("request_end", 3)
    assert {one["process"] for one in ended} <= set(workers.values())
    assert sorted(one["request"] for one in ended) == ["/", "/", "/big/200000"]
    assert all(one["status"] == 200 and one["nanoseconds"] > 0 and one["core"] in (0, 1) for one in ended)
    assert {one["sent"] > 100_000 for one in ended if one["request"] == "/big/200000"} == {True}
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(10)
        client.connect(str(socket_path))
        client.sendall(b"GET /workers HTTP/1.1\r\n\r\n")
        assert client.makefile("rb").read().endswith(b"\r\n\r\n2 workers")

    server.kill_child("worker 1")
    (gone,) = wait("gone", 1)
    assert (gone["worker"], gone["pid"]) == (1, workers["worker 1"])
    assert gone["key"] == next(one["key"] for one in seen("spawn") if one["worker"] == 1)
    wait("ready", 3)
    server.signal(signal.SIGHUP)
    (reload,) = wait("reload", 1)
    assert (reload["kind"], reload["generation"]) == ("reload", 2)
    assert [one["generation"] for one in wait("serving", 2)] == [1, 2]
    wait("worker_exit", 2)
    assert server.stop() == 0
    assert [(one["process"], one["code"]) for one in seen("exit")] == [(server.pid, 0)]
    assert len(seen("worker_exit")) == 4
    assert len(seen("gone")) == 5 == len(seen("spawn"))
    assert not seen("reload_failed")
    assert not socket_path.exists()


def test_statsd_and_cpu_affinity_as_files_of_uwsgis_have_them(mongrel2: Mongrel2, serve: Callable[..., Server]) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as statsd:
        statsd.bind(("127.0.0.1", 0))
        statsd.settimeout(0.2)
        port = statsd.getsockname()[1]
        options = ("--stats-push", f"statsd:127.0.0.1:{port},shop", "--stats-pusher-default-freq", "1")
        server = serve(mongrel2, processes=2, threads=2, options=(*options, "--cpu-affinity", "1"))
        usable = sorted(os.sched_getaffinity(server.pid))
        for worker in (1, 2):
            expected = usable[(worker - 1) % len(usable)]
            server.wait_log(rf"worker {worker} runs on processors {expected}$")
            assert psutil.Process(server.pids()[f"worker {worker}"]).cpu_affinity() == [expected]
        assert psutil.Process(server.pid).cpu_affinity() == usable

        sums: dict[str, float] = {}
        kinds: dict[str, str] = {}

        def requests() -> float:
            try:
                lines = statsd.recv(65536).decode().split("\n")
            except TimeoutError:
                lines = []
            for line in lines:
                name, value, kind = re.fullmatch(r"([\w.]+):(-?[\d.]+)\|(c|g|ms)", line).groups()  # type: ignore[union-attr]
                kinds[name] = kind
                sums[name] = sums.get(name, 0) + float(value)
            return sum(value for name, value in sums.items() if re.fullmatch(r"shop\.worker\.\d\.requests", name))

        served = 0
        for more in (5, 7):
            for _ in range(more):
                assert get(mongrel2.address, "/").status == 200
            served += more
            wait_until(lambda served=served: requests() >= served, 20, f"{served} requests")
            assert requests() == served
        assert kinds["shop.dispatcher.requests"] == "c"
        assert kinds["shop.busy_threads"] == kinds["shop.worker.1.rss"] == "g"
        assert kinds["shop.dispatcher.queue_time"] == "ms"
        assert server.stop() == 0


def test_prometheus(mongrel2: Mongrel2, serve: Callable[..., Server], tmp_path: Path) -> None:
    parser = pytest.importorskip("prometheus_client.parser")
    port, door = free_ports(2)
    options = ("--plugin", "prometheus", "--prometheus-address", f"127.0.0.1:{port}")
    server = serve(mongrel2, processes=2, threads=2, options=(*options, "--http-socket", f"127.0.0.1:{door}"))
    server.allow("raised on purpose")

    def metrics() -> dict[str, float]:
        """Samples by name, summed over their labels; a label that matters is in the name."""
        answer = get(("127.0.0.1", port), "/metrics")
        assert answer.status == 200
        assert (answer.get("Content-Type") or "").startswith("text/plain; version=0.0.4")
        found: dict[str, float] = {}
        for family in parser.text_string_to_metric_families(answer.body.decode()):
            for sample in family.samples:
                extra = "".join(sample.labels.get(label, "") for label in ("code", "le"))
                name = f"{sample.name} {extra}".strip()
                found[name] = found.get(name, 0) + sample.value
        return found

    for _ in range(10):
        assert get(mongrel2.address, "/").status == 200
    assert get(mongrel2.address, "/sleep/0.3").status == 200
    assert get(mongrel2.address, "/raise").status == 500
    # Pages are a second old at most, and the dispatcher counts four times a second.
    wait_until(lambda: metrics()["m2serve_queue_seconds_count"] >= 12, 15, "12 requests handed out")
    wait_until(lambda: metrics()["m2serve_request_seconds_count"] >= 12, 15, "12 requests over")
    found = metrics()
    assert found["uwsgi_worker_requests_total"] == found["m2serve_request_seconds_count"] == 12
    assert found["m2serve_queue_seconds_bucket +Inf"] == found["m2serve_requests_total"] == 12
    assert (found["m2serve_responses_total 2xx"], found["m2serve_responses_total 5xx"]) == (11, 1)
    assert found["m2serve_request_seconds_bucket 0.25"] <= 11
    assert 0.3 <= found["m2serve_request_seconds_sum"] < 30
    assert get(("127.0.0.1", port), "/").status == 404
    assert get(("127.0.0.1", door), headers=(("Transfer-Encoding", "unknown"),)).status in (400, 501)
    wait_until(lambda: metrics()["m2serve_door_refusals_total"] == 1, 15, "the refusal of the door")
    server.kill_child("worker 2")
    server.wait_log(r"worker 2 \(pid: \d+\) died")
    server.signal(signal.SIGHUP)
    server.wait_log(r"generation 2 STARTING -> SERVING")
    wait_until(lambda: len(server.pids("worker")) == 2, 15, "the old workers' end")
    assert get(mongrel2.address, "/").status == 200
    wait_until(lambda: metrics()["m2serve_request_seconds_count"] >= 13, 15, "13 requests, over two generations")
    assert metrics()["m2serve_request_seconds_count"] == 13
    assert metrics()["m2serve_door_refusals_total"] == 1, "of those who have left, too"


def test_the_example_of_the_manual(mongrel2: Mongrel2, serve: Callable[..., Server], tmp_path: Path) -> None:
    text = (ROOT / "docs" / "plugins.md").read_text()
    example = text.partition("<!-- A test runs this. -->\n```python\n")[2].partition("```")[0]
    (tmp_path / "slowlog.py").write_text(example)
    options = ("--plugin-dir", str(tmp_path), "--plugin", "slowlog", "--slowlog-seconds", "0.2")
    server = serve(mongrel2, processes=1, threads=2, options=options)
    server.wait_log(rf"plugin slowlog: {re.escape(str(tmp_path))}/slowlog.py$")
    assert get(mongrel2.address, "/").status == 200
    assert get(mongrel2.address, "/sleep/0.4").status == 200
    slow = server.wait_log(r"slow: (\S+) took (\S+) s, status 200")
    assert slow[1] == "/sleep/0.4" and float(slow[2]) >= 0.4
    assert server.stop() == 0
    # On a busy machine the first one may have been slow, too.
    server_log = re.search(r"worker 1 served (\d) slow requests", server.log)
    assert server_log is not None and int(server_log[1]) in (1, 2)


def run(*args: str) -> subprocess.CompletedProcess[str]:
    enough = ("--module", "shop", "--zmq", "ipc:///nowhere/a,ipc:///nowhere/b")
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run(
        [sys.executable, "-m", "m2serve", *enough, *args], env=environment, capture_output=True, text=True, timeout=30
    )


def test_one_that_cannot_be_loaded_keeps_the_server_from_starting(tmp_path: Path) -> None:
    (tmp_path / "bad.py").write_text("\nimport no_such_module\n")
    (tmp_path / "a.ini").write_text(f"[uwsgi]\nplugin-dir = {tmp_path}\nplugin = bad\n")
    done = run(str(tmp_path / "a.ini"))
    assert done.returncode == 1
    assert f"{tmp_path}/a.ini:3: plugin = bad: cannot be loaded: ModuleNotFoundError" in done.stderr
    assert f"({tmp_path}/bad.py:2)" in done.stderr
    assert "nothing was started" in done.stderr
    done = run("--check", "--plugin", "statsd")
    assert done.returncode == 1
    assert "command line: plugin statsd: expected statsd-address" in done.stdout
    assert "--witness-file FILE" in run("--help", "--plugin-dir", WITNESS, "--plugin", "witness").stdout
