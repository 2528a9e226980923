"""Reloads and sudden deaths under load: is any request lost? ``python benchmarks/endurance.py``. See README.md.

16 closed-loop clients, a quarter of whose requests take 0.1 s, while the server is reloaded and its workers are killed.
Reloads may cost nothing at all. A killed worker may cost what its threads had in hand, and everybody has an answer
within two seconds.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import random
import re
import signal
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clients import Clients
from environment import describe
from peers import M2serve
from processes import StartError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from clients import Answer

CLIENTS, SLOW = 16, 4
PROCESSES, THREADS = 8, 4
LONGEST_ANSWER = 2.0
STEP_SECONDS = 60.0
"""More than any single step may take, the pauses before a respawn included."""


class Server(M2serve):
    """m2serve with a FIFO, and a log that is read."""

    greeting = b" /"

    def __init__(self, place: Path, options: Sequence[str]) -> None:
        super().__init__("", place, workers=PROCESSES, threads=THREADS, direct=False)
        self.app = "benchmarks.reloaded"
        self.options = options

    def handler(self) -> list[str]:
        return [*super().handler(), "--need-app", "--master-fifo", str(self.place / "fifo"), *self.options]

    def tell(self, letter: str) -> None:
        with (self.place / "fifo").open("w") as fifo:
            fifo.write(letter)

    def log(self) -> str:
        return self.server.log.read_text(errors="replace")

    def wait_log(self, pattern: str, after: int) -> None:
        """Raises: StartError: no such line, or the server has left."""
        deadline = time.monotonic() + STEP_SECONDS
        while not re.search(pattern, self.log()[after:]):
            self.server.check()
            if time.monotonic() > deadline:
                raise StartError(f"no {pattern!r} within {STEP_SECONDS:.0f} s:\n{self.server.tail()}")
            time.sleep(0.01)


def reload(server: Server, letter: str) -> None:
    """Order one, wait until the new generation serves and all of the old one has left."""
    mark = len(server.log())
    old = workers(server)
    server.tell(letter)
    server.wait_log(rf"all {PROCESSES} workers ready", mark)
    for name, pid in old:
        server.wait_log(rf"{name} \w+ -> DEAD \(.*\) pid={pid}\b", mark)


def kill(server: Server) -> None:
    """SIGKILL to a random worker that serves, while at least half of them do: whoever keeps dying has to wait."""
    deadline = time.monotonic() + STEP_SECONDS
    while len(serving := workers(server)) * 2 <= PROCESSES:
        if time.monotonic() > deadline:
            raise StartError(f"too few workers within {STEP_SECONDS:.0f} s:\n{server.server.tail()}")
        time.sleep(0.02)
    name, pid = random.choice(serving)
    mark = len(server.log())
    os.kill(pid, signal.SIGKILL)
    server.wait_log(rf"{name} READY -> DEAD .* pid={pid}\b", mark)
    time.sleep(random.random() * 0.2)


def workers(server: Server) -> list[tuple[str, int]]:
    """Name and pid of those that are READY, by what the log says."""
    states: dict[int, tuple[str, str]] = {}
    for name, state, pid in re.findall(r"(worker \d+) \w+ -> (\w+) \(.*\) pid=(\d+)", server.log()):
        states[int(pid)] = (name, state)
    return [(name, pid) for pid, (name, state) in states.items() if state == "READY"]


@dataclass(frozen=True)
class Action:
    """Something that is done to a server many times; *deadly* ones may cost the requests of one worker each."""

    name: str
    times: int
    do: Callable[[Server], None]
    deadly: bool = False


ACTIONS = (
    Action("reload", 100, lambda server: reload(server, "r")),
    Action("chain-reload", 50, lambda server: reload(server, "c")),
    Action("upgrade", 10, lambda server: reload(server, "f")),
    Action("kill", 200, kill, deadly=True),
)


@dataclass
class Result:
    """What the clients saw while one action was repeated."""

    action: str
    wanted: int
    done: int = 0
    seconds: float = 0.0
    requests: int = 0
    lost: int = 0
    """No answer: timed out, or another's."""
    outcomes: dict[str, int] = field(default_factory=dict)
    worst: float = 0.0
    good: bool = False
    why: str = ""


def run(action: Action, times: int, limit: float, options: Sequence[str]) -> Result:
    """One server, one action, *times* over or *limit* seconds."""
    result = Result(action.name, times)
    with tempfile.TemporaryDirectory(prefix="m2bench-") as directory:
        server = Server(Path(directory), options)
        server.start()
        try:
            server.wait_log(rf"all {PROCESSES} workers ready", 0)
            with Clients(server.port, CLIENTS, slow=SLOW) as clients:
                begin = time.monotonic()
                while result.done < times and time.monotonic() < begin + limit:
                    action.do(server)
                    result.done += 1
                result.seconds = time.monotonic() - begin
            judge(action, result, clients.answers)
        except StartError as error:
            result.why = str(error)
        finally:
            server.stop()
    return result


def judge(action: Action, result: Result, answers: Sequence[Answer]) -> None:
    """What is promised: see the head of this file."""
    result.requests = len(answers)
    for one in answers:
        result.outcomes[one.outcome] = result.outcomes.get(one.outcome, 0) + 1
    result.lost = sum(result.outcomes.get(name, 0) for name in ("timeout", "foreign", "refused"))
    result.worst = max((one.seconds for one in answers), default=0.0)
    bad = result.requests - result.outcomes.get("200", 0) - result.lost
    allowed = result.done * THREADS if action.deadly else 0
    checks = {
        f"only {result.done} of {result.wanted} in time": result.done == result.wanted,
        f"{result.lost} lost": result.lost == 0,
        f"{bad} other than 200, {allowed} allowed": bad <= allowed,
        f"worst {result.worst:.2f} s": result.worst <= LONGEST_ANSWER,
    }
    result.why = "; ".join(text for text, kept in checks.items() if not kept)
    result.good = not result.why


def table(results: Sequence[Result]) -> str:
    lines = [
        "| action | done | seconds | requests | lost | other than 200 | slowest answer s | |",
        "|---|" + "--:|" * 6 + "---|",
    ]
    for one in results:
        other = {name: count for name, count in one.outcomes.items() if name != "200"}
        lines.append(
            f"| {one.action} | {one.done} of {one.wanted} | {one.seconds:.0f} | {one.requests} | {one.lost} "
            f"| {', '.join(f'{count} x {name}' for name, count in other.items()) or 0} | {one.worst:.2f} "
            f"| {'kept' if one.good else '**' + one.why.splitlines()[0] + '**'} |"
        )
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(description="Reloads and sudden deaths under load; 0 if all promises were kept.")
    for action in ACTIONS:
        parser.add_argument(f"--{action.name}", type=int, default=action.times, metavar="N", help=f"({action.times})")
    parser.add_argument("--limit", type=float, default=600, help="seconds for each action (600)")
    parser.add_argument("--option", action="append", default=[], help="for m2serve, as --option=--lazy-apps")
    parser.add_argument("--json", type=Path, help="write the results there")
    args = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # unwinds, so that the server is stopped
    results = []
    for action in ACTIONS:
        times = getattr(args, action.name.replace("-", "_"))
        if times:
            results.append(run(action, times, args.limit, args.option))
            print(f"{action.name}: {results[-1].why or 'kept'}", file=sys.stderr)
    print(table(results))
    if args.json:
        out: dict[str, Any] = {**describe(), "options": args.option}
        out["results"] = [dataclasses.asdict(one) for one in results]
        args.json.write_text(json.dumps(out, indent=1) + "\n")
    return 0 if all(one.good for one in results) else 1


if __name__ == "__main__":
    sys.exit(main())
