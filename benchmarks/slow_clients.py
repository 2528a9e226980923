"""Clients that read slowly, and what they cost the others: latency of quick requests without them and among them.

python benchmarks/slow_clients.py                  # 200 clients, 5 MB each at 50 kB/s: about two minutes
python benchmarks/slow_clients.py --clients 20 --rate 500000
python benchmarks/slow_clients.py --one 1000000000 # one client, as fast as it can: throughput and memory

The exit code says whether no download was cut, and whether the p99 among the slow stayed below three times the idle one
(with --one: whether memory grew by less than 64 MB).
"""

from __future__ import annotations

import argparse
import multiprocessing
import selectors
import socket
import sys
import time
from typing import TYPE_CHECKING

from peers import with_mongrel2
from processes import Tree, pss_bytes

if TYPE_CHECKING:
    from multiprocessing.synchronize import Event

TICK = 0.1
"""Seconds between two reads of a slow client."""
IDLE_SECONDS = 15.0
QUICK_EVERY = 0.01
"""Seconds between two quick requests; they are sent one after the other on one connection."""
BUFFER = 16 * 1024
"""Receive buffer of a slow client: what it does not read is to wait at the server."""
MOST_GROWTH = 64_000_000
_BODY = bytes(range(256)) * 8192


def request(port: int, path: str, buffer: int = 0) -> socket.socket:
    """Ask; nothing is read yet."""
    sock = socket.socket()
    if buffer:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
    sock.connect(("127.0.0.1", port))
    sock.sendall(b"GET %b HTTP/1.1\r\nHost: localhost\r\n\r\n" % path.encode())
    return sock


class Reader:
    """One download; every byte is compared."""

    def __init__(self, port: int, size: int, buffer: int = 0) -> None:
        self.sock = request(port, f"/download/{size}", buffer)
        self.left = size
        self.fault = ""
        self._head = b""
        self._at = 0

    def read(self, most: int) -> None:
        """Read once, at most so many bytes."""
        data = self.sock.recv(most)
        if not data:
            self.fault = f"cut with {self.left} bytes to come"
        if self._at == 0 and not self._head.endswith(b"\r\n\r\n"):
            head, mark, rest = (self._head + data).partition(b"\r\n\r\n")
            self._head, data = head + mark, rest if mark else b""
        expected = self._at % 256
        if data != _BODY[expected : expected + len(data)]:
            self.fault = f"wrong bytes near {self._at}"
        self._at += len(data)
        self.left -= len(data)


def quick(port: int, stop: Event, out: multiprocessing.Queue[list[float]]) -> None:
    """Body of a process: requests one after the other, and how long each took."""
    took: list[float] = []
    sock = socket.create_connection(("127.0.0.1", port))
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    while not stop.is_set():
        started = time.perf_counter()
        sock.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        data = b""
        while not data.endswith(b"benchmark.\n"):
            data += sock.recv(4096)
        took.append(time.perf_counter() - started)
        time.sleep(QUICK_EVERY)
    out.put(took)


class Quick:
    """Quick requests as long as its ``with`` block runs."""

    def __init__(self, port: int) -> None:
        self._stop = multiprocessing.Event()
        self._out: multiprocessing.Queue[list[float]] = multiprocessing.Queue()
        self._process = multiprocessing.Process(target=quick, args=(port, self._stop, self._out))
        self.p50 = self.p99 = self.worst = 0.0

    def __enter__(self) -> Quick:
        self._process.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        took = sorted(self._out.get(timeout=30))
        self._process.join()
        self.p50, self.p99, self.worst = took[len(took) // 2], took[int(len(took) * 0.99)], took[-1]

    def __str__(self) -> str:
        return f"p50 {self.p50 * 1e3:.2f} ms, p99 {self.p99 * 1e3:.2f} ms, worst {self.worst * 1e3:.1f} ms"


def read_slowly(port: int, clients: int, size: int, rate: float) -> list[Reader]:
    """All downloads at once, each at *rate* bytes a second; returns when they are over."""
    readers = [Reader(port, size, BUFFER) for _ in range(clients)]
    waiting = selectors.DefaultSelector()
    for reader in readers:
        waiting.register(reader.sock, selectors.EVENT_READ, reader)
    due = time.monotonic()
    while waiting.get_map():
        for key, _ in waiting.select(0):
            reader = key.data
            reader.read(int(rate * TICK))
            if reader.fault or not reader.left:
                waiting.unregister(reader.sock)
                reader.sock.close()
        due += TICK
        time.sleep(max(0.0, due - time.monotonic()))
    return readers


def compare(port: int, clients: int, size: int, rate: float) -> bool:
    """Quick requests alone, then among slow clients."""
    with Quick(port) as idle:
        time.sleep(IDLE_SECONDS)
    print(f"idle:           {idle}")
    started = time.monotonic()
    with Quick(port) as among:
        readers = read_slowly(port, clients, size, rate)
    print(f"{clients:4} slow ones: {among}, {time.monotonic() - started:.0f} s")
    faults = [reader.fault for reader in readers if reader.fault]
    print(f"downloads complete: {clients - len(faults)} of {clients} {faults[:3]}")
    print(f"p99 grew by a factor of {among.p99 / idle.p99:.2f}")
    return not faults and among.p99 < 3 * idle.p99


def one(port: int, size: int, tree: Tree) -> bool:
    """One download as fast as it goes: throughput and the growth of all processes of m2serve."""
    processes = [process for process in tree.members() if "mongrel2" not in process.name()]
    before, most = [pss_bytes(process) for process in processes], [0] * len(processes)
    reader, started, looked = Reader(port, size), time.monotonic(), 0.0
    while reader.left and not reader.fault:
        reader.read(1 << 20)
        if time.monotonic() - looked > 0.25:
            looked = time.monotonic()
            most = max(most, [pss_bytes(process) for process in processes], key=sum)
    seconds = time.monotonic() - started
    print(f"{size / 1e6:.0f} MB in {seconds:.1f} s: {size / 1e6 / seconds:.0f} MB/s {reader.fault}")
    grown = [now - then for now, then in zip(most, before, strict=True)]
    each = ", ".join(f"{process.cmdline()[0]} {by / 1e6:.1f}" for process, by in zip(processes, grown, strict=True))
    print(f"m2serve grew by {sum(grown) / 1e6:.1f} MB at most: {each}")
    return not reader.fault and sum(grown) < MOST_GROWTH


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clients", type=int, default=200)
    parser.add_argument("--size", type=int, default=5_000_000)
    parser.add_argument("--rate", type=float, default=50_000.0, help="bytes a second of each")
    parser.add_argument("--one", type=int, default=0, metavar="SIZE")
    parser.add_argument("--no-flow-control", action="store_true")
    parser.add_argument("--option", action="append", default=[], help="for m2serve, as --response-buffer=100k")
    arguments = parser.parse_args()
    flow = f"download.flow_control={int(not arguments.no_flow_control)}"
    options = ("--threads", "4", "--mongrel2-setting", flow, "--module", "benchmarks.apps:download")
    with with_mongrel2(2, *options, *arguments.option, tail=600) as (port, tree):
        request(port, "/").recv(100)
        if arguments.one:
            good = one(port, arguments.one, tree)
        else:
            good = compare(port, arguments.clients, arguments.size, arguments.rate)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
