"""Every recorded request, whole and in pieces, and behind others on a connection."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from support.codecs import PEER, Connection, factory

from m2serve.trusted import Trusted

if TYPE_CHECKING:
    from m2serve.wire.door import CodecFactory, Peer

CASES = Path(__file__).parents[2] / "cases" / "http"
OWN = ("METHOD", "URI", "VERSION", "PATH", "QUERY", "REMOTE_ADDR", "URL_SCHEME", "SERVER_NAME", "SERVER_PORT")


def load() -> list[Any]:
    cases = []
    for path in sorted(CASES.glob("*.json")):
        cases += [pytest.param(case, id=f"{path.stem}-{case['name']}") for case in json.loads(path.read_text())]
    assert len(cases) > 200
    return cases


def sent(case: dict[str, Any]) -> bytes:
    text = case["send"]
    return ("\r\n".join(text) if isinstance(text, list) else text).encode("latin-1")


def door(case: dict[str, Any]) -> tuple[CodecFactory, Peer]:
    trusted = Trusted.parse(case.get("trusted", "127.0.0.1,::1"))
    peer = PEER._replace(address=case.get("peer", "127.0.0.1").encode(), tls=case.get("tls", False))
    return factory("http", trusted=trusted, **case.get("limits", {})), peer


def text(value: bytes | list[bytes]) -> str | list[str]:
    return value.decode("latin-1") if isinstance(value, bytes) else [item.decode("latin-1") for item in value]


def shown(got: Any, wanted: dict[str, Any]) -> dict[str, Any]:
    """What the case is about of a request that was read."""
    headers = {key.decode("latin-1"): text(value) for key, value in got.request.headers.items()}
    everything = {
        "method": headers["METHOD"],
        "path": headers["PATH"],
        "uri": headers["URI"],
        "query": headers.get("QUERY"),
        "version": headers["VERSION"],
        "addr": headers["REMOTE_ADDR"],
        "scheme": headers["URL_SCHEME"],
        "headers": {key: value for key, value in headers.items() if key not in OWN},
        "body": got.body.decode("latin-1"),
        "keep": got.keep,
        "expects": got.expects,
        "length": got.length,
        "port": got.request.port,
    }
    assert got.request.path == got.request.headers[b"PATH"]
    return {key: everything[key] for key in wanted}


@pytest.mark.parametrize("case", load())
@pytest.mark.parametrize("cut", [0, 1, 2, 7])
def test_case(case: dict[str, Any], cut: int) -> None:
    make, peer = door(case)
    data = sent(case)
    for _ in range(3 if cut == 0 else 1):  # what is remembered is read the same
        connection = Connection(make(peer))
        for at in range(0, len(data), cut or len(data) or 1):
            connection.feed(data[at : at + (cut or len(data))])
        wanted = case.get("requests", [])
        assert connection.refused == case.get("status"), connection.why
        assert [shown(got, one) for got, one in zip(connection.requests, wanted, strict=True)] == wanted
        if "status" not in case:
            assert connection.codec.idle is not case.get("waits", False)


@pytest.mark.parametrize("case", load())
def test_case_behind_a_good_request(case: dict[str, Any]) -> None:
    make, peer = door(case)
    connection = Connection(make(peer))
    good = b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"
    connection.feed(good + sent(case))
    assert connection.refused == case.get("status"), connection.why
    assert len(connection.requests) == 1 + len(case.get("requests", []))
