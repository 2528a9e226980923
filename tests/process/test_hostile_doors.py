"""Bytes that no client sends in good faith, at every door: they cost no worker, no descriptor, no time afterwards."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import struct
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from support.doors import running
from support.http import connected
from support.server import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from support.doors import Running, Way

CASES = Path(__file__).parents[1] / "cases"
NAMES = ("http", "uwsgi", "fastcgi", "scgi")
PATIENCE = 30.0
ANSWERS = {
    "http": (b"HTTP/1.1 ",),
    "uwsgi": (b"HTTP/1.1 ", b"\x64\x00\x00\x01"),
    "fastcgi": (b"\x01\x06", b"\x01\x03", b"\x01\x0a", b"\x01\x0b"),
    "scgi": (b"Status: ",),
}
"""How an answer may begin; there need be none."""
_RESET = struct.pack("ii", 1, 0)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    options = ("--http-headers-timeout", "1", "--http-timeout", "1", "--socket-timeout", "1", "--buffer-size", "16k")
    with running(tmp_path_factory.mktemp, *options, "--disable-logging", behind_mongrel2=False) as found:
        yield found


@pytest.fixture(scope="module")
def unharmed(served: Running) -> Iterator[None]:
    """What happens meanwhile leaves nothing behind; looked at before the first test and behind the last one."""
    ways = [served.way(name) for name in NAMES]

    def still_answer() -> None:
        with ThreadPoolExecutor(8) as pool:  # several at a time: each worker gets some
            assert {answer.status for answer in pool.map(lambda way: way.get("/sleep/0.01"), ways * 10)} == {200}

    still_answer()
    pids = served.server.pids("worker")
    wait_until(lambda: idle(pids.values()), PATIENCE, "nothing runs")
    before = {pid: descriptors(pid) for pid in pids.values()}
    yield
    still_answer()
    assert served.server.pids("worker") == pids, "nobody died"
    wait_until(
        lambda: all(descriptors(pid) <= count for pid, count in before.items()), PATIENCE, "descriptors are closed"
    )
    wait_until(lambda: idle(pids.values()), PATIENCE, "nobody uses any time")
    assert "died" not in served.server.log
    assert served.server.complaints() == []


def descriptors(pid: int) -> int:
    return len(os.listdir(f"/proc/{pid}/fd"))


def idle(pids: Iterable[int]) -> bool:
    """Whether these processes use a tenth of a processor at most, all together, in half a second."""

    def used() -> float:
        times = [psutil.Process(pid).cpu_times() for pid in pids]
        return sum(one.user + one.system for one in times)

    before = used()
    time.sleep(0.5)
    return used() - before <= 0.05


def say(way: Way, pieces: list[bytes], *, leaves: bool = False) -> bytes:
    """Send that, and give what is answered until the connection ends; *leaves*: do not wait for it."""
    sock = connected(way.address, PATIENCE)
    answer = b""
    with contextlib.closing(sock), contextlib.suppress(ConnectionError):
        for piece in pieces:
            sock.sendall(piece)
        if leaves:
            if isinstance(way.address, tuple):
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            return b""
        sock.shutdown(socket.SHUT_WR)
        while data := sock.recv(65536):
            answer += data
    return answer


def judge(name: str, sent: object, answer: bytes) -> None:
    assert not answer or answer.startswith(ANSWERS[name]), (sent, answer[:200])


def recorded(name: str) -> list[tuple[str, bytes]]:
    """Names and bytes of the cases for a door."""
    found = []
    directory, pattern = ("http", "invalid_*.json") if name == "http" else ("hostile", f"{name}.json")
    for path in sorted((CASES / directory).glob(pattern)):
        for case in json.loads(path.read_text()):
            send = case["send"]
            text = "\r\n".join(send) if isinstance(send, list) else send
            found.append((case["name"], text.encode("latin-1")))
    return found


@pytest.mark.usefixtures("unharmed")
@pytest.mark.parametrize("name", NAMES)
def test_recorded_cases(served: Running, name: str) -> None:
    way, cases = served.way(name), recorded(name)
    assert len(cases) > 15
    with ThreadPoolExecutor(8) as pool:
        for (case, _), answer in zip(cases, pool.map(lambda one: say(way, [one[1]]), cases), strict=True):
            judge(name, case, answer)
        # and in two pieces, and from those who do not wait
        list(pool.map(lambda one: say(way, [one[1][:7], one[1][7:]]), cases))
        list(pool.map(lambda one: say(way, [one[1]], leaves=True), cases))


def good(way: Way) -> list[bytes]:
    """Requests as they should be."""
    with way.open() as client:
        twice = ("X-Twice", "1"), ("X-Twice", "2")
        found = [
            client.encode("/", "GET", (), b"", "HTTP/1.1"),
            client.encode("/env/%2f?a=b", "GET", (("Host", "a"), *twice), b"", "HTTP/1.1"),
            client.encode("/echo", "POST", (), b"body" * 50, "HTTP/1.1"),
        ]
    if way.name == "http":
        found.append(b"POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabcde\r\n0\r\n\r\n")
    return found


def spoilt(requests: list[bytes]) -> st.SearchStrategy[bytes]:
    """Good requests with some places changed, left out or repeated, and any bytes at all."""

    def change(data: bytes, places: list[tuple[float, int, bytes]]) -> bytes:
        for where, length, instead in places:
            at = int(where * len(data))
            data = data[:at] + instead + data[at + length :]
        return data

    place = st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 12), st.binary(max_size=12))
    changed = st.builds(change, st.sampled_from(requests), st.lists(place, min_size=1, max_size=4))
    return st.one_of(changed, st.lists(changed, min_size=2, max_size=3).map(b"".join), st.binary(max_size=300))


@pytest.mark.usefixtures("unharmed")
@pytest.mark.parametrize("name", NAMES)
def test_spoilt_requests(served: Running, name: str) -> None:
    way = served.way(name)
    examples: list[tuple[bytes, int, bool]] = []

    @settings(max_examples=150, derandomize=True, database=None, phases=[Phase.generate], deadline=None,
              suppress_health_check=list(HealthCheck))  # fmt: skip
    @given(spoilt(good(way)), st.integers(1, 200), st.booleans())
    def collect(data: bytes, cut: int, leaves: bool) -> None:
        examples.append((data, cut, leaves))

    collect()
    with ThreadPoolExecutor(8) as pool:
        told = pool.map(lambda one: say(way, [one[0][: one[1]], one[0][one[1] :]], leaves=one[2]), examples)
        for (data, _, leaves), answer in zip(examples, told, strict=True):
            if not leaves:
                judge(name, data, answer)


@pytest.mark.usefixtures("unharmed")
def test_those_who_send_half_of_it_are_left(served: Running) -> None:
    """They stay, and send nothing more: after http-headers-timeout or socket-timeout they are told so, and left."""

    def half(way: Way, request: bytes) -> bytes:
        with contextlib.closing(connected(way.address, PATIENCE)) as sock:
            sock.sendall(request)
            answer = b""
            with contextlib.suppress(ConnectionError):
                while data := sock.recv(65536):
                    answer += data
            return answer

    halves = [(way, request[:-3]) for way in map(served.way, NAMES) for request in good(way)]
    with ThreadPoolExecutor(len(halves)) as pool:
        for (way, request), answer in zip(halves, pool.map(lambda one: half(*one), halves), strict=True):
            judge(way.name, request, answer)
            if way.name == "http":
                assert answer.startswith(b"HTTP/1.1 408 "), (request, answer)
