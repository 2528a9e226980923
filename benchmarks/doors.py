"""The doors beside other servers, hello world: ``python benchmarks/doors.py``. See README.md beside this file."""

from __future__ import annotations

import argparse
import dataclasses
import json
import signal
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from environment import describe, package
from load import CONNECTIONS, WARM_UP, Sample, measure
from peers import NGINX_CONF, Gunicorn, NginxUwsgi, Peer, Roles
from processes import StartError
from report import Target, medians, table, target_table

if TYPE_CHECKING:
    from collections.abc import Callable

LOADS = {"hello": "kept connections", "close": "one request a connection"}


class Alone(Peer):
    """A server that speaks HTTP to the client itself."""

    command = ""
    """Its command line, behind ``python -m``; ``{port}`` and ``{app}`` are replaced."""

    def launch(self) -> None:
        words = self.command.format(port=self.port, app=self.app).split()
        self.server = self.spawn(sys.executable, "-m", *words)

    def roles(self) -> Roles:
        master, *workers = self.server.members()
        return Roles([], [master], [], workers) if workers else Roles([], [], [], [master])


class HttpDoor(Alone):
    """m2serve 4 x 8."""

    command = "m2serve --http 127.0.0.1:{port} -p 4 --threads 8 --disable-logging --module {app}"


class Granian(Alone):
    """4 x 8; its HTTP is compiled Rust."""

    command = "granian --interface wsgi --port {port} --workers 4 --blocking-threads 8 --log-level warning {app}"


class Waitress(Alone):
    """One process, which is all it has, of 32 threads."""

    command = "waitress --listen 127.0.0.1:{port} --threads 32 {app}"


class BehindNginx(NginxUwsgi):
    """m2serve 4 x 8 at a Unix socket, nginx in front as for uWSGI."""

    option = "--socket"

    def command(self, sock: Path) -> list[str]:
        """m2serve's own."""
        words = ["-m", "m2serve", self.option, str(sock), "--chmod-socket=666", "-p", "4", "--threads", "8"]
        return [sys.executable, *words, "--disable-logging", "--module", self.app]


class KeptByNginx(BehindNginx):
    """The same with HTTP between the two, and connections that are kept."""

    option = "--http"
    conf = (
        NGINX_CONF.replace("uwsgi_pass unix:{sock};", 'proxy_pass http://app; proxy_set_header Connection "";')
        .replace("include /etc/nginx/uwsgi_params;", "proxy_http_version 1.1; proxy_set_header Host $host;")
        .replace("    server {{\n", "    upstream app {{ server unix:{sock}; keepalive 32; }}\n    server {{\n", 1)
    )


PEERS: dict[str, Callable[[str, Path], Peer]] = {
    "m2serve-http": HttpDoor,
    "gunicorn-gthread": Gunicorn,
    "granian": Granian,
    "waitress": Waitress,
    "nginx-m2serve-uwsgi": BehindNginx,
    "nginx-m2serve-http": KeptByNginx,
    "nginx-uwsgi": NginxUwsgi,
}


def run(name: str, load: str, number: int, seconds: int) -> Sample:
    """One measured run of a peer that is started for it."""
    with tempfile.TemporaryDirectory(prefix="m2bench-") as place:
        peer = PEERS[name]("hello", Path(place))
        peer.start()
        try:
            return measure(name, peer, load, number, seconds)
        finally:
            peer.stop()


def compare(names: list[str], loads: list[str], rounds: int, seconds: int) -> tuple[list[Sample], dict[str, str]]:
    """All peers in turn, each round beginning with another. Returns the samples and, by peer, why it failed."""
    samples: list[Sample] = []
    failures: dict[str, str] = {}
    for number in range(rounds):
        turn = number % len(names)
        for name in names[turn:] + names[:turn]:
            for load in loads if name not in failures else ():
                try:
                    samples.append(run(name, load, number + 1, seconds))
                except StartError as error:
                    failures[name] = str(error)
                    print(f"{name}: {error}", file=sys.stderr)
                    break
                print(
                    f"round {number + 1} {load:6} {name:20} {samples[-1].requests_per_second:8.0f}/s", file=sys.stderr
                )
    return samples, failures


def ratios(by_load: dict[str, dict[str, dict[str, float]]]) -> list[Target]:
    """What is asked for, of kept connections; and that nothing fails."""
    rates = {peer: figures["requests_per_second"] for peer, figures in by_load.get("hello", {}).items()}

    def ratio(ours: str, theirs: str, least: float) -> Target:
        value = rates[ours] / rates[theirs] if ours in rates and theirs in rates else None
        return Target(f"{ours} / {theirs}", f">= {least:.2f}", value, None if value is None else value >= least)

    figures = [figures for rows in by_load.values() for peer, figures in rows.items() if "m2serve" in peer]
    errors = sum(one["errors"] for one in figures)
    return [
        ratio("m2serve-http", "gunicorn-gthread", 1.5),
        ratio("nginx-m2serve-uwsgi", "nginx-uwsgi", 0.75),
        Target("errors of m2serve", "0", errors if figures else None, errors == 0 if figures else None),
    ]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=4, help="of a measured run (4)")
    parser.add_argument("--rounds", type=int, default=3, help="times all peers run in turn (3)")
    parser.add_argument("--only", default=",".join(PEERS), help="comma-separated peers: %(default)s")
    parser.add_argument("--loads", default=",".join(LOADS), help="comma-separated: %(default)s")
    parser.add_argument("--json", type=Path, help="write every sample there")
    args = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # unwinds, so that the peers are stopped
    out: dict[str, Any] = describe()
    out["versions"] |= {name: package(name) for name in ("granian", "waitress", "httptools")}
    samples, failures = compare(args.only.split(","), args.loads.split(","), args.rounds, args.seconds)
    by_load = medians(samples)
    promises = ratios(by_load)
    for load, rows in by_load.items():
        print(table(f"{load}: {LOADS[load]}", rows), end="\n\n")
    print(target_table(promises))
    if args.json:
        out |= {
            "settings": {
                "seconds": args.seconds,
                "rounds": args.rounds,
                "connections": CONNECTIONS,
                "warm_up": WARM_UP,
            },
            "samples": [dataclasses.asdict(sample) for sample in samples],
            "medians": by_load,
            "targets": [promise._asdict() for promise in promises],
            "failures": failures,
        }
        args.json.write_text(json.dumps(out, indent=1) + "\n")
    return 1 if failures or not samples else 0


if __name__ == "__main__":
    sys.exit(main())
