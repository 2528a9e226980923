"""Exceptions for which a worker is replaced, and what of them the client may see."""

from __future__ import annotations

import io

import pytest
from support.channel import FakeChannel, make_request

from m2serve.apps.mounts import Mounts
from m2serve.gateways.base import EXCEPTION
from m2serve.gateways.exceptions import Exceptions
from m2serve.gateways.wsgi import WsgiGateway


class OwnError(Exception):
    """Of the application's own."""


class Unspeakable(Exception):
    """Has no text."""

    def __str__(self) -> str:
        raise RuntimeError("no text")


@pytest.mark.parametrize(
    ("how", "error", "replaced"),
    [
        ({}, ValueError("x"), False),
        ({"every": True}, ValueError("x"), True),
        ({"types": ("ValueError",)}, ValueError("x"), True),
        ({"types": ("builtins.ValueError",)}, ValueError("x"), True),
        ({"types": ("Exception",)}, ValueError("x"), False),
        ({"types": (f"{__name__}.OwnError",)}, OwnError(), True),
        ({"values": ("server has gone away",)}, OwnError("server has gone away"), True),
        ({"values": ("gone",)}, OwnError("server has gone away"), False),
        ({"reprs": ("OwnError: gone",)}, OwnError("gone"), True),
        ({"reprs": ("ValueError: gone",)}, OwnError("gone"), False),
        ({"values": ("x",), "types": ("KeyError",)}, Unspeakable(), False),
    ],
)
def test_who_is_replaced(how, error, replaced):
    told = []
    Exceptions(told.append, **how).raised(error)
    assert told == ([f"reload-on-exception, {type(error).__qualname__}"] if replaced else [])


def answer(exceptions, application):
    gateway = WsgiGateway(
        Mounts([("", application)]),
        multithread=True,
        multiprocess=True,
        server_name_default="box",
        errors=io.StringIO(),
        exceptions=exceptions,
    )
    channel = FakeChannel()
    return gateway.handle(make_request(uri="/a?<b>"), channel, "id-7"), channel.sent.decode()


def broken(environ, start_response):
    raise OwnError("raised on purpose: \u20ac")


@pytest.mark.parametrize("shown", [True, False])
def test_the_client_sees_it_only_if_it_may(shown):
    told = []
    outcome, sent = answer(Exceptions(told.append, every=True, shown=shown), broken)
    assert (outcome.status, outcome.trouble, len(told)) == (500, EXCEPTION, 1)
    head, _, body = sent.partition("\r\n\r\n")
    assert f"Content-Length: {len(body)}" in head
    assert "id-7" in body
    assert ("exception in GET /a?<b>" in body) is shown
    assert ("OwnError: raised on purpose: \\u20ac" in body) is shown
    assert ("in broken" in body) is shown
    assert "text/plain" in head


def test_without_options_there_is_nobody_to_ask():
    outcome, sent = answer(None, broken)
    assert outcome.status == 500
    assert "OwnError" not in sent
