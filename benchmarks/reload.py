"""What a reload costs: ``python benchmarks/reload.py``. See README.md beside this file.

16 clients, a quarter of whose requests take 0.1 s and the others 5 ms, ask an application that takes two seconds of
processor time to import. Each answer says which import it comes from, so that the clients alone see when a reload is
over, whatever the server says of itself.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import signal
import sys
import tempfile
import time
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any, NamedTuple

from clients import Clients
from environment import describe
from peers import M2serve, NginxUwsgi
from processes import StartError, pss_bytes

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from clients import Answer

CLIENTS, SLOW = 16, 4
WARM_UP, NORMAL, QUIET = 1.0, 4.0, 1.5
"""Seconds: not counted, of normal service, and of new code alone by which a reload counts as over."""
LONGEST = 60.0


@dataclass
class Sample:
    """What one reload was like, as its clients saw it. Seconds, requests per second, bytes."""

    way: str
    round: int
    normal_rate: float
    first_new: float
    all_new: float
    rate: float
    """From the order to the last answer of the old code."""
    longest_gap: float
    """Between two answers in that time, whoever got them."""
    worst: float
    normal_worst: float
    failed: int
    memory: int
    """PSS of all processes of the server but the front, before the reload."""


class OurServer(M2serve):
    """m2serve, 4 x 8, with a FIFO."""

    greeting = b" /"

    def __init__(self, place: Path, *options: str) -> None:
        super().__init__("", place, workers=4, threads=8, direct=False)
        self.app = "benchmarks.reloaded"
        self.options = options

    def handler(self) -> list[str]:
        return [*super().handler(), "--need-app", "--master-fifo", str(self.place / "fifo"), *self.options]


class TheirServer(NginxUwsgi):
    """uWSGI, 4 x 8, with a FIFO, behind nginx."""

    greeting = b" /"

    def __init__(self, place: Path, *options: str) -> None:
        super().__init__("", place)
        self.app = "benchmarks.reloaded"
        self.options = options

    def command(self, sock: Path) -> list[str]:
        return [*super().command(sock), "--master-fifo", str(self.place / "fifo"), *self.options]


class Way(NamedTuple):
    """A server, its options, and the letter that makes it reload."""

    server: Callable[..., OurServer | TheirServer]
    options: tuple[str, ...]
    letter: str


WAYS = {
    "m2serve reload": Way(OurServer, (), "r"),
    "m2serve reload, lazy-apps": Way(OurServer, ("--lazy-apps",), "r"),
    "m2serve chain reload": Way(OurServer, (), "c"),
    "uWSGI reload": Way(TheirServer, (), "r"),
    "uWSGI chain reload, lazy-apps": Way(TheirServer, ("--lazy-apps",), "c"),
}


def measure(name: str, number: int) -> Sample:
    """Start the server, look at normal service, order a reload, look until only new code has answered for a while."""
    way = WAYS[name]
    with tempfile.TemporaryDirectory(prefix="m2bench-") as directory:
        place = Path(directory)
        peer = way.server(place, *way.options)
        peer.start()
        try:
            with Clients(peer.port, CLIENTS, slow=SLOW) as clients:
                time.sleep(WARM_UP)
                begin = time.monotonic()
                time.sleep(NORMAL)
                roles = peer.roles()
                memory = sum(map(pss_bytes, (*roles.master, *roles.dispatcher, *roles.workers)))
                ordered = time.monotonic()
                with (place / "fifo").open("w") as fifo:
                    fifo.write(way.letter)
                _wait_until_new(clients.answers, ordered)
            return _sample(name, number, clients.answers, begin, ordered, memory)
        finally:
            peer.stop()


def _wait_until_new(answers: Sequence[Answer], ordered: float) -> None:
    while True:
        time.sleep(0.1)
        now = time.monotonic()
        latest = [one for one in reversed(answers[-20_000:]) if one.ended > now - QUIET]
        good = [one for one in latest if one.loaded]
        if good and all(one.loaded > ordered for one in good):
            return
        if now > ordered + LONGEST:
            raise StartError(f"still old code {LONGEST:.0f} s after the order")


def _sample(name: str, number: int, answers: Sequence[Answer], begin: float, ordered: float, memory: int) -> Sample:
    normal = [one for one in answers if begin <= one.ended < ordered]
    after = [one for one in answers if one.ended >= ordered]
    first_new = min(one.ended for one in after if one.loaded > ordered)
    all_new = max((one.ended for one in after if 0 < one.loaded < ordered), default=first_new)
    over = max(first_new, all_new)
    during = [one for one in after if one.ended <= over]
    moments = [ordered, *(one.ended for one in during), over]
    good = sum(one.outcome == "200" for one in during)
    return Sample(
        way=name,
        round=number,
        normal_rate=len(normal) / (ordered - begin),
        first_new=first_new - ordered,
        all_new=over - ordered,
        rate=good / (over - ordered),
        longest_gap=max(later - earlier for earlier, later in pairwise(moments)),
        worst=max(one.seconds for one in after),
        normal_worst=max(one.seconds for one in normal),
        failed=sum(one.outcome != "200" for one in answers),
        memory=memory,
    )


def medians(samples: Sequence[Sample]) -> dict[str, dict[str, float]]:
    """By way. ``share`` is the rate during the reload over the normal one, of each round for itself."""
    out: dict[str, dict[str, float]] = {}
    for way in dict.fromkeys(one.way for one in samples):
        group = [one for one in samples if one.way == way]
        fields = [one.name for one in dataclasses.fields(Sample) if one.name not in ("way", "round", "failed")]
        out[way] = {name: median(getattr(one, name) for one in group) for name in fields}
        out[way]["share"] = median(one.rate / one.normal_rate for one in group)
        out[way]["failed"] = sum(one.failed for one in group)
    return out


def table(rows: dict[str, dict[str, float]]) -> str:
    lines = [
        "| | first new answer s | last old answer s | throughput meanwhile % | longest gap s | slowest answer s "
        "| slowest normally s | failed | PSS MB |",
        "|---|" + "--:|" * 8,
    ]
    for way, n in rows.items():
        lines.append(
            f"| {way} | {n['first_new']:.2f} | {n['all_new']:.2f} | {100 * n['share']:.0f} | {n['longest_gap']:.2f} "
            f"| {n['worst']:.2f} | {n['normal_worst']:.2f} | {n['failed']:.0f} | {n['memory'] / 1e6:.0f} |"
        )
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(description="What a reload costs, as clients see it.")
    parser.add_argument("--rounds", type=int, default=3, help="times all ways run in turn (3)")
    parser.add_argument("--import", dest="cost", type=float, default=2.0, help="processor seconds of the import (2)")
    parser.add_argument("--json", type=Path, help="write every sample there")
    args = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # unwinds, so that the servers are stopped
    os.environ["BENCH_IMPORT"] = str(args.cost)
    samples: list[Sample] = []
    failures: dict[str, str] = {}
    for number in range(1, args.rounds + 1):
        for name in WAYS:
            if name in failures:
                continue
            try:
                samples.append(measure(name, number))
            except StartError as error:
                failures[name] = str(error)
                print(f"{name}: {error}", file=sys.stderr)
                continue
            one = samples[-1]
            print(
                f"round {number} {name:30} {one.all_new:6.2f} s, {one.rate:5.0f} of {one.normal_rate:5.0f}/s, "
                f"{one.failed} failed",
                file=sys.stderr,
            )
    rows = medians(samples)
    print(table(rows))
    if args.json:
        settings = {"rounds": args.rounds, "import": args.cost, "clients": CLIENTS, "slow": SLOW}
        out: dict[str, Any] = {**describe(), "settings": settings, "medians": rows, "failures": failures}
        out["samples"] = [dataclasses.asdict(one) for one in samples]
        args.json.write_text(json.dumps(out, indent=1) + "\n")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
