"""Answers to requests whose bodies have not all come."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import pytest
from serving import HeldBack, gateway
from support.channel import FakeChannel, FakeClock, make_request
from support.validator import Parsed, read_answer

from m2serve.errors import BodyError, BodyGone

if TYPE_CHECKING:
    from collections.abc import Callable

    from m2serve.gateways.base import Outcome


class Body:
    """One that the test completes."""

    status = 413

    def __init__(self, *, complete: bool = False, length: int | None = 10, fault: str | None = None) -> None:
        self.input: Any = io.BytesIO(b"0123456789")
        self.complete = complete
        self.length = length
        self.fault = fault

    def close(self) -> None:
        raise AssertionError("not the gateway's")


def handle(app: Callable[..., Any], body: Body, **request: Any) -> tuple[Outcome, FakeChannel, Parsed]:
    channel, clock = FakeChannel(), FakeClock()
    made = make_request("POST", "/up", {"content-length": "10", **request})
    outcome = gateway(app, clock, HeldBack()).handle(made, channel, "id-1", body)
    answer = read_answer(channel.sent, method="POST", version="HTTP/1.1", closed=channel.closed)
    return outcome, channel, answer


def answering(**found: Any) -> Callable[..., Any]:
    def app(environ: dict[str, Any], start: Any) -> list[bytes]:
        found.update(environ)
        start("200 OK", [("Content-Length", "2")])
        return [b"ok"]

    return app


def test_the_connection_is_closed_behind_an_early_answer() -> None:
    outcome, channel, answer = handle(answering(), Body())
    assert answer.status == 200
    assert ("Connection", "close") in answer.headers
    assert channel.closed
    assert outcome.closed


def test_it_is_kept_when_all_has_come() -> None:
    for complete_before in (True, False):
        body = Body(complete=complete_before)

        def app(environ: dict[str, Any], start: Any, body: Body = body) -> list[bytes]:
            body.complete = True
            return answering()(environ, start)

        outcome, channel, answer = handle(app, body)
        assert "Connection" not in dict(answer.headers)
        assert not channel.closed
        assert not outcome.closed


def test_what_counts_is_when_the_head_leaves() -> None:
    body = Body()

    def app(environ: dict[str, Any], start: Any) -> Any:
        start("200 OK", [])
        yield b"begun"
        body.complete = True
        yield b"done"

    _outcome, channel, answer = handle(app, body)
    assert answer.body == b"begundone"
    assert ("Connection", "close") in answer.headers
    assert channel.closed


def test_one_head_is_never_mistaken_for_another() -> None:
    """Equal answers to plain requests reuse their head."""
    channels = []
    served = gateway(answering(), FakeClock(), HeldBack())
    for body in (None, Body(), None, Body(complete=True)):
        channel = FakeChannel()
        served.handle(make_request("POST", "/up", {"content-length": "0"}), channel, "id-1", body)
        channels.append(channel)
    assert [channel.closed for channel in channels] == [False, True, False, False]
    assert [b"Connection: close" in channel.sent for channel in channels] == [False, True, False, False]


def raising(error: Exception) -> Callable[..., Any]:
    def app(environ: dict[str, Any], start: Any) -> list[bytes]:
        raise error

    return app


@pytest.mark.parametrize("status", [408, 413, 500])
def test_a_body_that_cannot_be_read(status: int, errors: pytest.LogCaptureFixture) -> None:
    """And an application that leaves it to us to say so."""
    outcome, channel, answer = handle(raising(BodyError("too slow", status=status)), Body())
    assert answer.status == outcome.status == status
    assert channel.closed
    assert outcome.error == "too slow"
    assert "body not read id=id-1 uri='/up': too slow" in errors.text
    assert "Traceback" not in errors.text


def test_a_body_that_breaks_off_while_it_is_answered() -> None:
    def app(environ: dict[str, Any], start: Any) -> Any:
        start("200 OK", [("Content-Length", "10")])
        yield b"begun"
        raise BodyError("too slow", status=408)

    channel = FakeChannel()
    body = Body()
    outcome = gateway(app, FakeClock(), HeldBack()).handle(make_request("POST", "/up"), channel, "id-1", body)
    assert channel.closed
    assert channel.sent.endswith(b"\r\n\r\nbegun")
    assert outcome.status == 200


def test_a_client_that_leaves_gets_nothing() -> None:
    channel = FakeChannel()
    served = gateway(raising(BodyGone("the client has left")), FakeClock(), HeldBack())
    outcome = served.handle(make_request("POST", "/up"), channel, "id-1", Body())
    assert (outcome.status, channel.messages) == (499, [])


def test_a_fault_has_its_own_status() -> None:
    outcome, channel, answer = handle(raising(AssertionError("not called")), Body(fault="larger than limit-post"))
    assert answer.status == 413
    assert channel.closed
    assert outcome.error == "larger than limit-post"


def test_a_body_without_length() -> None:
    found: dict[str, Any] = {}

    def app(environ: dict[str, Any], start: Any) -> list[bytes]:
        found.update(environ)
        return answering()(environ, start)

    body = Body(length=None)
    channel = FakeChannel()
    request = make_request("POST", "/up", {"transfer-encoding": "chunked"})
    gateway(app, FakeClock(), HeldBack()).handle(request, channel, "id-1", body)
    assert "CONTENT_LENGTH" not in found
    assert "HTTP_TRANSFER_ENCODING" not in found
    assert found["wsgi.input_terminated"] is True
    assert found["wsgi.input"] is body.input
