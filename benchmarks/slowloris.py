"""Ten thousand connections that send their heads a byte at a time, and what they cost everybody else.

python benchmarks/slowloris.py                      # about a minute
python benchmarks/slowloris.py --connections 2000 --seconds 10

Quick requests, one after the other on a kept connection, are timed alone, and then while the others drip: each sends a
header's byte every few seconds, and connects anew when it is cut off. The exit code says whether the p99 of the quick
ones stayed below twice the idle one. Clients come from several addresses 127.0.0.x, for one has 28,000 ports.
"""

from __future__ import annotations

import argparse
import contextlib
import errno
import multiprocessing
import os
import resource
import selectors
import socket
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from peers import REPO, free_port, port_open
from processes import Tree, cpu_seconds, wait_until
from slow_clients import Quick

if TYPE_CHECKING:
    from collections.abc import Iterator
    from multiprocessing.sharedctypes import Synchronized
    from multiprocessing.synchronize import Event

HEAD = b"GET / HTTP/1.1\r\nHost: localhost\r\nX-Long: "
PER_ADDRESS = 5000
TICKS = 200
"""A second has so many; at each one some of the connections send a byte."""


@contextlib.contextmanager
def serving(*options: str) -> Iterator[tuple[int, Tree]]:
    """m2serve 4 x 8 with an HTTP door; gives the port when it serves."""
    port = free_port()
    with tempfile.TemporaryDirectory() as place:
        argv = [sys.executable, "-m", "m2serve", "--http", f"127.0.0.1:{port}", "-p", "4", "--threads", "8"]
        argv += ["--disable-logging", "--listen", "1024", "--module", "benchmarks.apps:hello", *options]
        tree = Tree(argv, Path(place) / "log", REPO)
        try:
            wait_until(lambda: port_open(port) and "all 4 workers ready" in tree.tail(100_000), 20, [tree], "m2serve")
            yield port, tree
        finally:
            tree.stop()
            print(tree.tail(400), file=sys.stderr)


class Drip:
    """A connection that never comes to the end of its head."""

    def __init__(self, port: int, number: int) -> None:
        self.source = f"127.0.0.{2 + number // PER_ADDRESS}"
        self.port = port
        self.sock: socket.socket | None = None
        self.sent = 0

    def connect(self) -> socket.socket:
        sock = socket.socket()
        sock.setblocking(False)
        sock.bind((self.source, 0))
        with contextlib.suppress(BlockingIOError):
            sock.connect(("127.0.0.1", self.port))
        self.sock, self.sent = sock, 0
        return sock

    def drip(self) -> None:
        """One byte more; the first time the beginning of a request."""
        assert self.sock is not None
        try:
            self.sock.send(b"x" if self.sent else HEAD)
            self.sent += 1
        except OSError as error:
            if error.errno not in (errno.EAGAIN, errno.ENOTCONN, errno.EPIPE, errno.ECONNRESET, errno.ECONNREFUSED):
                raise


def attack(
    port: int, connections: int, every: float, stop: Event, held: Synchronized[int], cut: Synchronized[int]
) -> None:
    """Body of a process: keep so many connections dripping, a byte every *every* seconds."""
    os.nice(19)  # its own work on the same processors is not what is asked about
    drips = [Drip(port, number) for number in range(connections)]
    watch = selectors.EpollSelector()
    step = max(1, int(connections / (every * TICKS)))
    at, due = 0, time.monotonic()
    while not stop.is_set():
        for drip in (drips[(at + k) % connections] for k in range(step)):
            if drip.sock is None:
                watch.register(drip.connect(), selectors.EVENT_READ, drip)
                held.value += 1
            else:
                drip.drip()
        at = (at + step) % connections
        for key, _ in watch.select(0):
            with contextlib.suppress(OSError):
                if key.data.sock.recv(4096):
                    continue  # its 408; the end follows
            watch.unregister(key.data.sock)
            key.data.sock.close()
            key.data.sock = None
            held.value -= 1
            cut.value += 1
        due += 1 / TICKS
        time.sleep(max(0.0, due - time.monotonic()))


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--connections", type=int, default=10_000)
    parser.add_argument("--seconds", type=float, default=20.0, help="of each of the two measurements")
    parser.add_argument("--every", type=float, default=5.0, help="seconds between two bytes of a connection")
    parser.add_argument("--option", action="append", default=[], help="for m2serve, as --http-headers-timeout=30")
    return parser.parse_args()


def main() -> int:
    args = arguments()
    wanted = args.connections + 200
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < wanted:
        sys.exit(f"ulimit -n is {hard} at most here, {wanted} are needed")
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    with serving(*args.option) as (port, tree):
        with Quick(port) as idle:
            time.sleep(args.seconds)
        print(f"idle:         {idle}")
        stop, held, cut = multiprocessing.Event(), multiprocessing.Value("i", 0), multiprocessing.Value("i", 0)
        attacker = multiprocessing.Process(target=attack, args=(port, args.connections, args.every, stop, held, cut))
        attacker.start()
        try:
            deadline = time.monotonic() + 60
            while held.value < args.connections * 0.95 and time.monotonic() < deadline:
                time.sleep(0.1)
            before, started = cpu_seconds(tree.members()), time.monotonic()
            with Quick(port) as among:
                time.sleep(args.seconds)
            used = (cpu_seconds(tree.members()) - before) / (time.monotonic() - started)
            print(f"{held.value:6} dripping: {among}")
            print(f"cut off and back again: {cut.value}; m2serve used {used:.2f} processors meanwhile")
        finally:
            stop.set()
            attacker.join()
    print(f"p99 grew by a factor of {among.p99 / idle.p99:.2f}")
    return 0 if among.p99 < 2 * idle.p99 and held.value >= args.connections * 0.9 else 1


if __name__ == "__main__":
    sys.exit(main())
