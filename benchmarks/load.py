"""One run: load on a peer that is up, and what that cost."""

from __future__ import annotations

import json
import os
import resource
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
from processes import cpu_seconds, machine_busy, pss_bytes

if TYPE_CHECKING:
    from peers import Peer

HERE = Path(__file__).resolve().parent
CONNECTIONS = 24
WARM_UP = 1
"""Seconds of load before the measured run: keep-alive connections accepted, caches warm, workers forked."""


@dataclass
class Sample:
    """What one run gave. Latencies are in milliseconds, memory in bytes."""

    peer: str
    load: str
    round: int
    requests: int
    seconds: float
    requests_per_second: float
    p50: float
    p90: float
    p98: float
    p99: float
    maximum: float
    bad_status: int
    socket_errors: int
    cpu_us_per_request: float
    front_cpu_us_per_request: float
    foreign_cpu_percent: float
    """Share of the machine taken by neither the peer nor the client: the noise."""
    pss_front: int
    pss_server: int
    pss_master: int
    pss_dispatcher: int
    pss_workers: list[int] = field(default_factory=list)
    pss_bare: int | None = None
    """A bare interpreter that has imported the same application, measured beside the running peer."""


def measure(name: str, peer: Peer, load: str, number: int, seconds: int) -> Sample:
    """Warm up, load, read the meters."""
    wrk(peer.url, load, WARM_UP)
    roles = peer.roles()
    everyone = roles.everyone()
    before, front_before = cpu_seconds(everyone), cpu_seconds(roles.front)
    client_before, machine_before = client_seconds(), machine_busy()
    result = wrk(peer.url, load, seconds)
    machine = machine_busy() - machine_before
    client = client_seconds() - client_before
    cpu, front_cpu = cpu_seconds(everyone) - before, cpu_seconds(roles.front) - front_before

    requests, elapsed = result["requests"], result["microseconds"] / 1e6
    per_request = 1e6 / max(requests, 1)
    capacity = elapsed * (os.cpu_count() or 1)
    workers = [pss_bytes(process) for process in roles.workers]
    front, master, dispatcher = (sum(map(pss_bytes, group)) for group in (roles.front, roles.master, roles.dispatcher))
    return Sample(
        peer=name,
        load=load,
        round=number,
        requests=requests,
        seconds=elapsed,
        requests_per_second=requests / elapsed,
        **{key: result[key] / 1e3 for key in ("p50", "p90", "p98", "p99")},
        maximum=result["max"] / 1e3,
        bad_status=result["status"],
        socket_errors=sum(result[key] for key in ("connect", "read", "write", "timeout")),
        cpu_us_per_request=cpu * per_request,
        front_cpu_us_per_request=front_cpu * per_request,
        foreign_cpu_percent=max(0.0, 100 * (machine - client - cpu) / capacity),
        pss_front=front,
        pss_server=master + dispatcher + sum(workers),
        pss_master=master,
        pss_dispatcher=dispatcher,
        pss_workers=workers,
        pss_bare=bare_interpreter(),
    )


def wrk(url: str, load: str, seconds: int) -> dict[str, Any]:
    """Run wrk with our script; its numbers as the script prints them."""
    done = subprocess.run(
        ["wrk", "-t", "1", "-c", str(CONNECTIONS), "-d", f"{seconds}s", "-s", str(HERE / "wrk.lua"), url],
        env={**os.environ, "BENCH_LOAD": load, "BENCH_CONNECTIONS": str(CONNECTIONS)},
        capture_output=True,
        text=True,
        check=True,
    )
    for line in done.stdout.splitlines():
        if line.startswith("RESULT "):
            numbers: dict[str, Any] = json.loads(line.removeprefix("RESULT "))
            return numbers
    raise ValueError(f"wrk gave no result: {done.stdout}{done.stderr}")


def client_seconds() -> float:
    """CPU time of the runs of wrk so far (children that were waited for)."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def bare_interpreter() -> int:
    """PSS of an interpreter that has imported the application and does nothing else."""
    program = "import sys, benchmarks.apps; print(flush=True); sys.stdin.read()"
    with subprocess.Popen(
        [sys.executable, "-c", program], cwd=HERE.parent, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        return pss_bytes(psutil.Process(process.pid))


def missing_tools() -> list[str]:
    """Programs the harness needs and does not find."""
    return [tool for tool in ("wrk", "mongrel2", "m2sh", "nginx", "uwsgi", "gcc") if not shutil.which(tool)]
