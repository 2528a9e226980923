"""Compare m2serve with its peers: ``python benchmarks/run.py``. See README.md beside this file."""

from __future__ import annotations

import argparse
import dataclasses
import json
import signal
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from environment import describe
from load import CONNECTIONS, WARM_UP, Sample, measure, missing_tools
from peers import PEERS, BehindMongrel2, Peer
from processes import StartError
from report import medians, table, target_table, targets
from soak import soak

if TYPE_CHECKING:
    from collections.abc import Iterator

LOADS = ("hello", "mixed")


@contextmanager
def running(name: str, app: str) -> Iterator[Peer]:
    """The peer *name*, serving *app*, in a directory of its own that goes with it."""
    with tempfile.TemporaryDirectory(prefix="m2bench-") as place:
        peer = PEERS[name](app, Path(place))
        peer.start()
        try:
            yield peer
        finally:
            peer.stop()


def compare(names: list[str], rounds: int, seconds: int, loads: list[str]) -> tuple[list[Sample], dict[str, str]]:
    """All peers in turn, *rounds* times over. Returns the samples and, by peer, why it failed."""
    samples: list[Sample] = []
    failures: dict[str, str] = {}
    for number in range(1, rounds + 1):
        for load in loads:
            for name in names:
                if name in failures or load not in getattr(PEERS[name], "loads", LOADS):
                    continue
                try:
                    with running(name, load) as peer:
                        sample = measure(name, peer, load, number, seconds)
                except StartError as error:
                    failures[name] = str(error)
                    print(f"{name}: {error}", file=sys.stderr)
                    continue
                samples.append(sample)
                print(f"round {number} {load:6} {name:20} {sample.requests_per_second:8.0f}/s", file=sys.stderr)
    return samples, failures


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Compare m2serve with its peers, or soak it.")
    parser.add_argument("--seconds", type=int, default=5, help="of a measured run (5)")
    parser.add_argument("--rounds", type=int, default=3, help="times all peers run in turn (3)")
    parser.add_argument("--only", default=",".join(PEERS), help="comma-separated peers: %(default)s")
    parser.add_argument("--loads", default=",".join(LOADS), help="comma-separated loads: %(default)s")
    parser.add_argument(
        "--wire",
        choices=("tcp", "ipc"),
        default="ipc",
        help="between Mongrel2 and handler (ipc; nginx reaches uWSGI over a Unix socket, too)",
    )
    parser.add_argument("--json", type=Path, help="write every sample there")
    parser.add_argument("--soak", action="store_true", help="instead: a million requests, is memory flat?")
    parser.add_argument("--soak-requests", type=int, default=1_000_000)
    parser.add_argument("--soak-limit", type=float, default=900, help="seconds after which to give up (900)")
    args = parser.parse_args()
    args.only = args.only.split(",")
    args.loads = args.loads.split(",")
    for given, known in ((args.only, PEERS), (args.loads, LOADS)):
        for name in given:
            if name not in known:
                parser.error(f"{name}: not one of {', '.join(known)}")
    return args


def main() -> int:
    args = arguments()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # unwinds, so that the peers are stopped
    if missing := missing_tools():
        print(f"not found: {', '.join(missing)} (see benchmarks/README.md)", file=sys.stderr)
    BehindMongrel2.wire = args.wire
    settings = {"seconds": args.seconds, "rounds": args.rounds, "wire": args.wire}
    out: dict[str, Any] = {
        **describe(),
        "settings": {**settings, "connections": CONNECTIONS, "warm_up": WARM_UP},
    }
    if args.soak:
        name = args.only[0] if len(args.only) == 1 else "m2serve-4x8"
        with running(name, "hello") as peer:
            result = soak(peer, args.soak_requests, args.soak_limit)
        out["soak"] = {"peer": name, **result}
        growth = ", ".join(f"{role} {size / 1e3:+.0f} kB" for role, size in result["growth"].items())
        print(f"{name}: {result['requests']} requests, {result['errors']} errors, growth {growth}")
        print("flat" if result["flat"] else "NOT flat")
        good = result["flat"] and result["complete"] and not result["errors"]
    else:
        samples, failures = compare(args.only, args.rounds, args.seconds, args.loads)
        by_load = medians(samples)
        promises = targets(by_load)
        for load, rows in by_load.items():
            print(table(load, rows), end="\n\n")
        print(target_table(promises))
        for name in failures:
            print(f"\n{name}: did not start (reason above)")
        out |= {
            "samples": [dataclasses.asdict(sample) for sample in samples],
            "medians": by_load,
            "targets": [promise._asdict() for promise in promises],
            "failures": failures,
        }
        good = not failures
    if args.json:
        args.json.write_text(json.dumps(out, indent=1) + "\n")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
