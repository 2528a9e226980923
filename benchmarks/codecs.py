"""The codecs and the gateway alone, in one process: microseconds for one call, best of several runs.

python benchmarks/codecs.py
python benchmarks/codecs.py --profile     # where the time of the gateway goes
python benchmarks/codecs.py --loop        # a request thread from the card to the answer in it; also with --profile
"""

from __future__ import annotations

import argparse
import cProfile
import json
import pstats
import sys
import timeit
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from m2serve.endpoint import Endpoint
from m2serve.gateways.wsgi import WsgiGateway
from m2serve.observe.access import AccessLog
from m2serve.observe.facts import Facts
from m2serve.transports import ledger as ledgers
from m2serve.transports.card import Card, create_card
from m2serve.transports.dispatched import MailRoom, MailSubscription
from m2serve.transports.ledger import Ledger, create_ledger
from m2serve.transports.responder import Origin, Responder
from m2serve.transports.sheet import Sheet, create_sheet
from m2serve.wire import mongrel2, tnet
from m2serve.worker.cycle import Cycle

if TYPE_CHECKING:
    from collections.abc import Callable

HEADERS = {
    b"PATH": b"/a",
    b"URI": b"/a?x=1",
    b"QUERY": b"x=1",
    b"METHOD": b"GET",
    b"VERSION": b"HTTP/1.1",
    b"PATTERN": b"/",
    b"URL_SCHEME": b"http",
    b"REMOTE_ADDR": b"127.0.0.1",
    b"host": b"localhost:8080",
    b"user-agent": b"Mozilla/5.0 (X11; Linux x86_64; rv:115.0) Gecko/20100101 Firefox/115.0",
    b"accept": b"text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
    b"accept-language": b"en-US,en;q=0.5",
    b"accept-encoding": b"gzip, deflate, br",
    b"cookie": b"session=0123456789abcdef0123456789abcdef; theme=dark",
    b"upgrade-insecure-requests": b"1",
    b"sec-fetch-dest": b"document",
    b"sec-fetch-mode": b"navigate",
    b"x-forwarded-for": b"127.0.0.1",
}
TAGGED = b"app-1 7 /a " + tnet.dump(HEADERS) + b"0:,"
_TEXT = json.dumps({key.decode(): value.decode() for key, value in HEADERS.items()}).encode()
JSON = b"app-1 7 /a %d:%b,0:," % (len(_TEXT), _TEXT)
SHORT = {
    b"REMOTE_ADDR": b"127.0.0.1",
    b"METHOD": b"GET",
    b"URL_SCHEME": b"http",
    b"PATTERN": b"/",
    b"URI": b"/",
    b"VERSION": b"HTTP/1.1",
    b"PATH": b"/",
    b"host": b"127.0.0.1:6767",
    b"x-forwarded-for": b"000000000",
}
"""What a load generator's request looks like; the last value is where a new one is made different."""
NOTICE = b'app-1 7 @* 16:6:METHOD,4:JSON,}21:{"type":"disconnect"},'


def hello(environ: dict[str, Any], start_response: Any) -> list[bytes]:
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"hello world"]


def stream(environ: dict[str, Any], start_response: Any) -> Any:
    start_response("200 OK", [("Content-Type", "text/plain")])
    return iter([b"hello ", b"world"])


class Mounted:
    def __init__(self, app: Any) -> None:
        self.app = app

    def resolve(self, path_info: str) -> tuple[int, Any, str, str]:
        return 0, self.app, "", path_info


class Nowhere:
    gone = False
    detachable = False

    def connected(self) -> bool:
        return True

    def allowed(self) -> int:
        return 1 << 63

    def watch(self, look: Callable[[], None]) -> None:
        pass

    def settle(self) -> None:
        pass

    def send(self, *parts: bytes) -> None:
        pass

    def send_last(self, *parts: bytes) -> bool:
        return True

    def close(self) -> None:
        pass


def gateway(app: Any) -> WsgiGateway:
    return WsgiGateway(
        Mounted(app), multithread=False, multiprocess=True, server_name_default="localhost", errors=sys.stderr
    )


class Loop:
    """A request thread without its neighbours: the dispatcher's part is played here."""

    THREADS = 8
    SLOT = 3

    def __init__(self) -> None:
        self._card = Card(create_card(self.THREADS), self.THREADS)
        ledger = Ledger(create_ledger(1, 1 << 20), 1, 1 << 20)
        ring = ledger.rings[0]
        self._data = ring.data
        ring.words[ledgers.AWAKE] = 1  # answers go back through the card
        room = MailRoom(
            ledger, self._card, [Responder(Endpoint.parse("tcp://127.0.0.1:1"))], (0, 0), 0, lambda *said: None
        )
        room.origins = [Origin(1)]
        self._subscription = MailSubscription(room, 0, uuid.uuid4())
        self._cycle = Cycle(gateway(hello), None, ledger.served, 1, 4, {}, Sheet(create_sheet(8), 8))
        self._serial = 0

    def letter(self, headers: dict[bytes, bytes]) -> tuple[int, int]:
        """Put a message into the ring; gives its size and where its last header's last nine bytes lie."""
        raw = b"app-1 7 / " + tnet.dump(headers) + b"0:,"
        self._data[: len(raw)] = raw
        return len(raw), len(raw) - len(b"123456789,}0:,")

    def deliver(self, size: int) -> None:
        self._serial += 1
        self._card.write(self.SLOT, 0, 1, 0, size, 7, 0, 0)
        self._card.mails[self.SLOT] = self._serial

    def serve(self) -> None:
        delivery = self._subscription.receive()
        assert delivery is not None
        self._cycle.run(delivery, 0)
        self._subscription.done()

    def repeated(self, headers: dict[bytes, bytes]) -> Callable[[], None]:
        """The same request again and again."""
        size, _ = self.letter(headers)

        def once() -> None:
            self.deliver(size)
            self.serve()

        return once

    def unique(self, headers: dict[bytes, bytes], serve: bool = True) -> Callable[[], None]:
        """Every request with a header that was never there."""
        size, at = self.letter(headers)

        def once() -> None:
            self.deliver(size)
            self._data[at : at + 9] = b"%09d" % self._serial
            if serve:
                self.serve()

        return once


def measure_loop(profiled: bool) -> None:
    loop = Loop()
    if profiled:
        once = loop.unique(SHORT)
        with cProfile.Profile() as profile:
            for _ in range(20_000):
                once()
        pstats.Stats(profile).sort_stats("tottime").print_stats(25)
        return
    # each number but the last includes the last
    for name, make in {
        "9 headers, repeated": lambda: loop.repeated(SHORT),
        "9 headers, never seen": lambda: loop.unique(SHORT),
        "18 headers, repeated": lambda: loop.repeated(HEADERS),
        "18 headers, never seen": lambda: loop.unique({**HEADERS, b"x-forwarded-for": b"000000000"}),
        "delivery alone": lambda: loop.unique(SHORT, serve=False),
    }.items():
        best = min(timeit.repeat(make(), number=5_000, repeat=15)) / 5_000
        print(f"{name:30} {best * 1e6:7.2f} µs")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--profile", action="store_true")
    parser.add_argument("--loop", action="store_true")
    arguments = parser.parse_args()
    if arguments.loop:
        measure_loop(arguments.profile)
        return
    request, nowhere = mongrel2.parse(TAGGED), Nowhere()
    whole, streamed = gateway(hello), gateway(stream)
    access = AccessLog(lambda line: None, 1)
    outcome = whole.handle(request, nowhere, "id-1")
    facts = Facts(request, outcome, 0, 0.0, 0.0, served_by_worker=1, served_total=1)
    if arguments.profile:
        with cProfile.Profile() as profile:
            for _ in range(20_000):
                whole.handle(request, nowhere, "id-1")
        pstats.Stats(profile).sort_stats("tottime").print_stats(15)
        return
    calls = {
        "address": lambda: mongrel2.address(TAGGED),
        "notice": lambda: mongrel2.notice(NOTICE),
        "parse, tnetstring": lambda: mongrel2.parse(TAGGED),
        "parse, JSON": lambda: mongrel2.parse(JSON),
        "environ": lambda: whole._environs.build(request, "id-1"),
        "handle, hello world": lambda: whole.handle(request, nowhere, "id-1"),
        "handle, two pieces streamed": lambda: streamed.handle(request, nowhere, "id-1"),
        "access log line": lambda: access.record(facts),
    }
    for name, call in calls.items():
        best = min(timeit.repeat(call, number=10_000, repeat=7)) / 10_000
        print(f"{name:30} {best * 1e6:7.2f} µs")


if __name__ == "__main__":
    main()
