"""One very large body after the other, up and down: does it arrive whole, how fast, and what memory does it take?

python benchmarks/bodies.py                    # 1 GB each, both header protocols: about four minutes
python benchmarks/bodies.py --size 100000000 --flow-control 0

Every byte counts towards a SHA-256 at both ends. Memory is the PSS of all processes of m2serve together, four times a
second; what is said is the growth. The exit code says whether all hashes were equal and no growth exceeded 64 MB.
"""

from __future__ import annotations

import argparse
import hashlib
import http.client
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

from peers import with_mongrel2
from processes import pss_bytes

if TYPE_CHECKING:
    from collections.abc import Iterator

    import psutil

PIECE = bytes(range(256)) * 64
MOST_GROWTH = 64_000_000
DOWN = ("length", "chunked", "file")
UP = ("length", "chunked")


class Watcher:
    """The largest memory while its ``with`` block runs."""

    def __init__(self, processes: list[psutil.Process]) -> None:
        self._processes = processes
        self._before = self._now()
        self.grown = 0
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch)

    def __enter__(self) -> Watcher:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()

    def _now(self) -> int:
        return sum(map(pss_bytes, self._processes))

    def _watch(self) -> None:
        while not self._done.wait(0.25):
            self.grown = max(self.grown, self._now() - self._before)


def content(size: int) -> Iterator[bytes]:
    """The body, piece by piece."""
    return (PIECE[: size - at] for at in range(0, size, len(PIECE)))


def download(port: int, path: str) -> str:
    """SHA-256 of the answer's body."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    connection.request("GET", path)
    response = connection.getresponse()
    digest, buffer = hashlib.sha256(), bytearray(1 << 18)
    while count := response.readinto(buffer):
        digest.update(memoryview(buffer)[:count])
    connection.close()
    return digest.hexdigest() if response.status == 200 else f"status {response.status}"


def upload(port: int, size: int, how: str) -> str:
    """What the application says of the body it got."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
    headers = {"Content-Length": str(size)} if how == "length" else {}
    connection.request("POST", "/", body=content(size), headers=headers, encode_chunked=how == "chunked")
    response = connection.getresponse()
    said = response.read().decode()
    connection.close()
    return said if response.status == 200 else f"status {response.status}"


def run(size: int, expected: str, protocol: str, options: list[str], cases: tuple[tuple[str, str], ...]) -> bool:
    """One server, all its cases, a line of the table each."""
    good = True
    with tempfile.TemporaryDirectory() as place:
        file = Path(place) / "body"
        with file.open("wb") as out:
            out.writelines(content(size))
        more = ("--mongrel2-protocol", protocol, "--mongrel2-dir", f"{place}/mongrel2", *options)
        module = ("--threads", "4", "--module", "benchmarks.apps:bodies")
        with with_mongrel2(2, *more, *module, BENCH_FILE=str(file), LOGNAME="bench") as (port, tree):
            download(port, "/length/1000000")
            ours = [process for process in tree.members() if "mongrel2" not in process.name()]
            for way, how in cases:
                started = time.monotonic()
                with Watcher(ours) as memory:
                    got = download(port, f"/{how}/{size}") if way == "down" else upload(port, size, how)
                rate = size / 1e6 / (time.monotonic() - started)
                whole = got == expected
                good = good and whole and memory.grown < MOST_GROWTH
                name = " ".join(options[1::2])
                print(
                    f"| {way:6} | {how:7} | {protocol:10} | {name:40} | {rate:6.0f} | {memory.grown / 1e6:6.1f} "
                    f"| {'yes' if whole else got} |",
                    flush=True,
                )
    return good


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=1_000_000_000)
    parser.add_argument("--flow-control", choices=("0", "1", "both"), default="1")
    parser.add_argument("--protocol", choices=("tnetstring", "json", "both"), default="both")
    arguments = parser.parse_args()
    digest = hashlib.sha256()
    for piece in content(arguments.size):
        digest.update(piece)
    expected = digest.hexdigest()
    down = tuple(("down", how) for how in DOWN)
    up = tuple(("up", how) for how in UP)
    print(
        "| way | framing | protocol | settings | MB/s | grown MB | whole |\n|---|---|---|---|---|---|---|", flush=True
    )
    good = True
    for protocol in ("tnetstring", "json") if arguments.protocol == "both" else (arguments.protocol,):
        for flow in ("1", "0") if arguments.flow_control == "both" else (arguments.flow_control,):
            setting = ["--mongrel2-setting", f"download.flow_control={flow}"]
            good &= run(arguments.size, expected, protocol, setting, (*down, *up))
        good &= run(arguments.size, expected, protocol, ["--mongrel2-setting", "upload.stream=1"], up)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
