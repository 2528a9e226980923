"""Reloads under load at every door at once, and through Mongrel2: ``python benchmarks/door_reloads.py``. See README.md.

It runs in the environment of the tests, whose clients it uses: for each way two that ask without a pause, one of them
for what takes 0.1 s. They ask once more only where a kept connection has ended in place of an answer, as HTTP wants of
any client, and an end in the form of a reset counts as a loss. The exit code says whether nothing was lost.
"""

from __future__ import annotations

import argparse
import contextlib
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))

from support.doors import WAYS, running
from support.load import Load

STEP = 60.0
"""More seconds than any step may take."""


def table(loads: dict[str, list[Load]]) -> bool:
    """Print what became of the requests. Returns whether all are well."""
    print("| way | requests | other than 200 | resets | asked again | slowest ms |\n|---|--:|--:|--:|--:|--:|")
    good = True
    for name, both in loads.items():
        results = [result for load in both for result in load.results]
        wrong = sum(result.status != 200 or result.outcome != "status" for result in results)
        resets = sum(len(load.resets) for load in both)
        again = sum(len(load.asked_again) for load in both)
        slowest = max(result.seconds for result in results)
        print(f"| {name} | {len(results)} | {wrong} | {resets} | {again} | {slowest * 1e3:.0f} |")
        good = good and not wrong and not resets
    return good


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--reloads", type=int, default=20)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="m2bench-") as place, contextlib.ExitStack() as stack:

        def make(name: str) -> Path:
            directory = Path(place) / name
            directory.mkdir()
            return directory

        fifo = make("control") / "fifo"
        options = ("--master-fifo", str(fifo), "--disable-logging")
        server, doors = stack.enter_context(running(make, *options, processes=4, threads=8))
        loads: dict[str, list[Load]] = {}
        with contextlib.ExitStack() as clients:
            for way in map(doors.ways.__getitem__, WAYS):
                loads[way.name] = [
                    clients.enter_context(
                        Load(way.address, path, clients=1, tagged=True, timeout=STEP, connect=way.connect, again=True)
                    )
                    for path in ("/sleep/0.002", "/sleep/0.1")
                ]
            for number in range(args.reloads):
                old, mark, since = server.pids("worker"), server.mark(), time.monotonic()
                fifo.write_text("r")
                server.wait_ready(4, STEP, after=mark)
                server.wait_gone(old.values(), STEP)
                for load in (load for both in loads.values() for load in both):
                    load.more(2, STEP, since=since)
                print(f"reload {number + 1}: {time.monotonic() - since:.1f} s", file=sys.stderr)
        return 0 if table(loads) else 1


if __name__ == "__main__":
    sys.exit(main())
