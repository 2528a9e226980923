"""Requests that repeat themselves are answered as the first one was."""

from __future__ import annotations

import io
import itertools
from typing import Any

import pytest
from serving import HeldBack, OneApp, gateway
from support.channel import FakeChannel, FakeClock

from m2serve.gateways.wsgi import WsgiGateway
from m2serve.wire import mongrel2, tnet

BLOCKS: dict[str, dict[bytes, Any]] = {
    "plain": {},
    "cookie": {b"cookie": [b"a=1", b"b=2"], b"accept": b"*/* "},
    "head": {b"METHOD": b"HEAD"},
    "old": {b"VERSION": b"HTTP/1.0"},
    "old, kept": {b"VERSION": b"HTTP/1.0", b"connection": b"keep-alive"},
    "close": {b"connection": b"close"},
    "mounted": {b"PATH": b"/mount/a%20b", b"URI": b"/mount/a%20b?q=1", b"QUERY": b"q=1"},
    "empty body": {b"METHOD": b"POST", b"content-length": b"0"},
    "length lies": {b"METHOD": b"POST", b"content-length": b"5"},
    "upload": {b"METHOD": b"POST", b"content-length": b"5", b"x-mongrel2-upload-start": b"/etc/passwd"},
    "coding": {b"transfer-encoding": b"gzip"},
    "no version": {b"VERSION": None},
    "no path": {b"PATH": None},
}


def message(extra: dict[bytes, Any], sender: bytes = b"app-1", conn: int = 7) -> bytes:
    headers = {
        b"PATH": b"/a",
        b"URI": b"/a",
        b"METHOD": b"GET",
        b"VERSION": b"HTTP/1.1",
        b"PATTERN": b"/",
        b"host": b"h.example:81",
        **extra,
    }
    return b"%b %d /a " % (sender, conn) + tnet.dump({k: v for k, v in headers.items() if v is not None}) + b"0:,"


class App:
    """Remembers what it was given, and spoils it."""

    def __init__(self) -> None:
        self.seen: list[dict[str, Any]] = []
        self.bodies: list[bytes] = []

    def __call__(self, environ: dict[str, Any], start_response: Any) -> list[bytes]:
        self.seen.append(dict(environ))
        self.bodies.append(environ["wsgi.input"].read())
        text = environ["SCRIPT_NAME"] + "|" + environ["PATH_INFO"] + "|" + environ["mongrel2.conn_id"]
        start_response("200 OK", [("Content-Type", "text/plain")])
        environ["wsgi.input"] = io.BytesIO(b"spoilt")
        environ["SCRIPT_NAME"] = environ["PATH_INFO"] = "spoilt"
        environ["spoilt"] = True
        del environ["HTTP_HOST"]
        return [text.encode()]


OBJECTS = ("wsgi.input", "wsgi.errors", "m2serve.connected")


def comparable(environ: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in environ.items() if key not in OBJECTS}


@pytest.mark.parametrize("name", BLOCKS)
def test_a_repeated_request_is_served_the_same(name: str) -> None:
    app = App()
    reader, remembering = mongrel2.Reader(), gateway(app, FakeClock(), HeldBack())
    for round_, sender in itertools.product(range(5), (b"app-1", b"app-2")):
        raw = message(BLOCKS[name], sender, 7 + round_)
        results = []
        for served_by, parse in ((remembering, reader.parse), (gateway(app, FakeClock(), HeldBack()), mongrel2.parse)):
            channel = FakeChannel()
            outcome = served_by.handle(parse(raw), channel, f"id-{round_}")
            results.append((outcome, channel.messages, channel.closed))
        assert results[0] == results[1]
    remembered, fresh = app.seen[::2], app.seen[1::2]
    assert list(map(comparable, remembered)) == list(map(comparable, fresh))
    assert len({id(environ["wsgi.input"]) for environ in app.seen}) == len(app.seen)
    assert not any(app.bodies)
    admitted = name not in ("length lies", "upload", "coding", "no version", "no path")
    assert len(remembering._plans) == admitted
    assert bool(app.seen) == admitted


def test_a_client_that_has_left_is_not_served() -> None:
    app = App()
    reader, served_by = mongrel2.Reader(), gateway(app, FakeClock(), HeldBack())
    for _ in range(4):
        served_by.handle(reader.parse(message({})), FakeChannel(), "id")
    assert served_by.handle(reader.parse(message({})), FakeChannel(gone_after=0), "id").status == 499
    assert len(app.seen) == 4


def test_plans_are_bounded() -> None:
    reader, served_by = mongrel2.Reader(), gateway(App(), FakeClock(), HeldBack())
    for number in range(1500):
        for _ in range(3):
            served_by.handle(reader.parse(message({b"cookie": b"%d" % number})), FakeChannel(), "id")
    assert 0 < len(served_by._plans) <= 512


def test_the_date_moves_on_with_the_clock() -> None:
    now = [784111777.5]
    served_by = WsgiGateway(
        OneApp(App()),
        multithread=True,
        multiprocess=False,
        server_name_default="node.example",
        errors=io.StringIO(),
        wall_clock=lambda: now[0],
    )
    reader = mongrel2.Reader()
    for second in range(3):
        for _ in range(4):
            channel = FakeChannel()
            served_by.handle(reader.parse(message({})), channel, "id")
            assert b"Date: Sun, 06 Nov 1994 08:49:%d GMT\r\n" % (37 + second) in channel.sent
        now[0] += 1
