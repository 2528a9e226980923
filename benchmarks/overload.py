"""Five times more requests than there are threads for: who is served, who is told no, and how soon.

python benchmarks/overload.py                  # 30 seconds
python benchmarks/overload.py --seconds 10 --factor 3

An open loop: requests come at their time, each over a connection of its own, however the others fare. Beside them a
health check four times a second. The exit code says whether every request was answered 200 or 503, the 99th percentile
of those served stayed below the bound (the queue's length over the capacity, and the request itself), that of those
refused below 100 ms, memory within 16 MB, and whether the first request afterwards was as quick as one before.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import time

from peers import with_mongrel2
from processes import Tree, pss_bytes

PROCESSES, THREADS, NAP, LIMIT = 2, 4, 0.1, 40
CAPACITY = PROCESSES * THREADS / NAP
BOUND = NAP + LIMIT / CAPACITY
MOST_GROWTH = 16_000_000


async def ask(port: int, path: str) -> tuple[int, float]:
    """Status and seconds; status 0: no answer."""
    started = time.perf_counter()
    status = 0
    try:
        async with asyncio.timeout(20):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(b"GET %b HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n" % path.encode())
            line = (await reader.read()).split(b" ", 2)
            status = int(line[1]) if len(line) > 2 else 0
            writer.close()
    except (OSError, TimeoutError):
        pass
    return status, time.perf_counter() - started


async def at_rate(port: int, path: str, rate: float, seconds: float) -> list[tuple[int, float]]:
    """So many requests a second, none of which waits for another."""
    loop, tasks = asyncio.get_running_loop(), []
    begin = loop.time()
    for number in range(int(rate * seconds)):
        await asyncio.sleep(max(0.0, begin + number / rate - loop.time()))
        tasks.append(asyncio.create_task(ask(port, path)))
    return await asyncio.gather(*tasks)


async def load(port: int, rate: float, seconds: float) -> tuple[list[tuple[int, float]], list[tuple[int, float]]]:
    work, checks = await asyncio.gather(at_rate(port, "/work", rate, seconds), at_rate(port, "/health", 4.0, seconds))
    return work, checks


def percentile(values: list[float], part: float) -> float:
    return sorted(values)[min(int(len(values) * part), len(values) - 1)] if values else 0.0


def line(name: str, values: list[float]) -> None:
    print(
        f"{name:10} {len(values):6}   p50 {percentile(values, 0.5) * 1e3:7.1f} ms   "
        f"p99 {percentile(values, 0.99) * 1e3:7.1f} ms   worst {max(values, default=0) * 1e3:7.1f} ms"
    )


def overload(port: int, tree: Tree, factor: float, seconds: float) -> bool:
    """Before, during, after."""
    ours = [process for process in tree.members() if "mongrel2" not in process.name()]
    before = [asyncio.run(ask(port, "/work"))[1] for _ in range(10)]
    asyncio.run(load(port, CAPACITY, 2))
    memory = sum(map(pss_bytes, ours))
    work, checks = asyncio.run(load(port, factor * CAPACITY, seconds))
    grown = sum(map(pss_bytes, ours)) - memory
    status, after = asyncio.run(ask(port, "/work"))
    served = [took for status, took in work if status == 200]
    refused = [took for status, took in work if status == 503]
    line("before", before)
    line("served", served)
    line("refused", refused)
    line("health", [took for status, took in checks if status == 200])
    others = len(work) - len(served) - len(refused) + sum(status != 200 for status, _ in checks)
    print(f"bound {BOUND * 1e3:.0f} ms, others {others}, grown {grown / 1e6:.1f} MB, afterwards {after * 1e3:.1f} ms")
    return (
        not others
        and percentile(served, 0.99) < BOUND * 1.25
        and percentile(refused, 0.99) < 0.1
        and grown < MOST_GROWTH
        and status == 200
        and after < 1.5 * max(before)
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--factor", type=float, default=5.0, help="times what can be served")
    arguments = parser.parse_args()
    options = ("--threads", str(THREADS), "--queue-limit", str(LIMIT), "--health-check", "/health")
    with with_mongrel2(PROCESSES, *options, "--module", "benchmarks.apps:work") as (port, tree):
        good = overload(port, tree, arguments.factor, arguments.seconds)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
