"""The codecs of the doors alone, in one process: microseconds for one request, best of several runs.

python benchmarks/door_codecs.py          # with h11 beside httptools, if it is installed

Requests of the other protocols are nginx' own, as recorded in tests/cases/nginx. "again" is a request that was seen
before, to the byte; "never seen" differs in one header.
"""

from __future__ import annotations

import importlib
import itertools
import json
import sys
import time
import timeit
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httptools

sys.path.insert(0, str(Path(__file__).parents[1]))

from m2serve.gateways.environ import EnvironBuilder
from m2serve.trusted import LOCAL
from m2serve.wire.door import Limits, Peer
from m2serve.wire.kinds import codec_factory

if TYPE_CHECKING:
    from collections.abc import Callable

    from m2serve.door import DoorProtocol

CASES = Path(__file__).parents[1] / "tests" / "cases" / "nginx" / "recorded.json"
PEER = Peer(b"127.0.0.1", 4711, False, ("127.0.0.1", 8080), b"http", b"7")
SHORT = b"GET / HTTP/1.1\r\nHost: 127.0.0.1:8080\r\nX-Number: 000000000\r\n\r\n"
BROWSER = b"\r\n".join(
    (
        b"GET /a?x=1 HTTP/1.1",
        b"Host: localhost:8080",
        b"User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:115.0) Gecko/20100101 Firefox/115.0",
        b"Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
        b"Accept-Language: en-US,en;q=0.5",
        b"Accept-Encoding: gzip, deflate, br",
        b"Cookie: session=0123456789abcdef0123456789abcdef; theme=000000000",
        b"Upgrade-Insecure-Requests: 1",
        b"Sec-Fetch-Dest: document",
        b"Sec-Fetch-Mode: navigate",
        b"",
        b"",
    )
)
CHUNKED = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n" + b"400\r\n%b\r\n" % (b"x" * 1024) * 16
CHUNKED += b"0\r\n\r\n"
ZEROS = b"000000000"


def recorded(name: str) -> bytes:
    """What nginx has sent, with nine zeros that can be exchanged."""
    cases = json.loads(CASES.read_text())
    (text,) = (case["send"] for case in cases if case["name"] == name)
    data: bytes = text.encode("latin-1")
    assert data.count(b"/usr/share/nginx/html") == 1
    return data.replace(b"/usr/share/nginx/html", b"/usr/share/x" + ZEROS)


def best(call: Callable[[], object], number: int = 5_000) -> float:
    # the time of the processor: neighbours take less of that
    return min(timeit.repeat(call, number=number, repeat=15, timer=time.process_time)) / number * 1e6


def show(name: str, micros: float) -> None:
    print(f"{name:34} {micros:7.2f} µs")


def on_one(protocol: DoorProtocol, data: bytes, unique: bool) -> Callable[[], None]:
    """One request after the other on one connection."""
    codec = codec_factory(protocol, Limits(), LOCAL)(PEER)
    numbers = itertools.count()

    def once() -> None:
        codec.feed(data.replace(ZEROS, b"%09d" % next(numbers)) if unique else data)
        codec.head()
        codec.body()
        codec.next()

    return once


def on_many(protocol: DoorProtocol, data: bytes, unique: bool) -> Callable[[], None]:
    """Each request on a connection of its own."""
    make = codec_factory(protocol, Limits(), LOCAL)
    numbers = itertools.count()

    def once() -> None:
        codec = make(PEER)
        codec.feed(data.replace(ZEROS, b"%09d" % next(numbers)) if unique else data)
        codec.head()

    return once


class Fields:
    """The least that httptools can be asked for."""

    def __init__(self) -> None:
        self.headers: list[tuple[bytes, bytes]] = []

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers.append((name, value))


def by_httptools() -> None:
    httptools.HttpRequestParser(Fields()).feed_data(BROWSER)


def main() -> None:
    for name, data in (("HTTP, 2 headers", SHORT), ("HTTP, 9 headers", BROWSER)):
        show(f"{name}, again", best(on_one("http", data, False)))
        show(f"{name}, never seen", best(on_one("http", data, True)))
    show("HTTP, 16 chunks of 1 KiB", best(on_one("http", CHUNKED, False)))
    for protocol, name in (("uwsgi", "uwsgi get"), ("fastcgi", "fastcgi get"), ("scgi", "scgi get")):
        data = recorded(name)
        show(f"{protocol}, nginx, again", best(on_many(protocol, data, False)))  # type: ignore[arg-type]
        show(f"{protocol}, nginx, never seen", best(on_many(protocol, data, True)))  # type: ignore[arg-type]
    builder = EnvironBuilder(errors=sys.stderr, multithread=True, multiprocess=True, server_name="localhost")
    for protocol, data in (("http", BROWSER), ("uwsgi", recorded("uwsgi get"))):
        codec = codec_factory(protocol, Limits(), LOCAL)(PEER)  # type: ignore[arg-type]
        codec.feed(data)
        head = codec.head()
        assert head is not None
        show(f"environ, {protocol}", best(lambda request=head.request: builder.build(request, "id-1")))
    show("httptools alone, 9 headers", best(by_httptools))
    try:
        h11: Any = importlib.import_module("h11")
    except ImportError:
        return

    def by_h11() -> None:
        connection = h11.Connection(h11.SERVER)
        connection.receive_data(BROWSER)
        connection.next_event()

    show("h11 alone, 9 headers", best(by_h11, 1_000))


if __name__ == "__main__":
    main()
