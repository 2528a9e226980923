"""A gateway with everything around it made for the test."""

from __future__ import annotations

import io
import logging
from typing import TYPE_CHECKING, Any, NamedTuple

from support.channel import FakeChannel, FakeClock, make_request
from support.validator import Parsed, read_answer, validated

from m2serve.gateways.courier import Courier
from m2serve.gateways.wsgi import Pending, WsgiGateway

if TYPE_CHECKING:
    from collections.abc import Callable

    from m2serve.gateways.base import Outcome
    from m2serve.gateways.courier import Holder


class HeldBack(Courier):
    """A courier whose rounds the test calls; everybody is always due."""

    def __init__(self) -> None:
        super().__init__()
        self.asked = 0
        self.holders: list[Holder] = []

    def later(self, holder: Holder, delay: float) -> None:
        self.asked += 1
        if holder not in self.holders:
            self.holders.append(holder)

    def round(self) -> None:
        holders, self.holders = self.holders, []
        self.holders += [holder for holder in holders if holder.flow() is not None]


class OneApp:
    def __init__(self, app: Any) -> None:
        self.app = app

    def resolve(self, path_info: str) -> tuple[int, Any, str, str]:
        if path_info.startswith("/mount/"):
            return 3, self.app, "/mount", path_info[len("/mount") :]
        return 0, self.app, "", path_info


class Served(NamedTuple):
    outcome: Outcome
    channel: FakeChannel
    answer: Parsed
    clock: FakeClock
    courier: HeldBack


def gateway(app: Any, clock: FakeClock, courier: HeldBack, **limits: int) -> WsgiGateway:
    return WsgiGateway(
        OneApp(app),
        multithread=True,
        multiprocess=False,
        server_name_default="node.example",
        errors=io.StringIO(),
        logger=logging.getLogger("m2serve.test"),
        courier=courier,
        clock=clock,
        sleep=clock.sleep,
        wall_clock=lambda: 784111777.5,
        **limits,
    )


def serve(
    app: Any,
    method: str = "GET",
    uri: str = "/",
    headers: dict[str, Any] | None = None,
    body: bytes = b"",
    *,
    channel: FakeChannel | None = None,
    clock: FakeClock | None = None,
    courier: HeldBack | None = None,
    wrap: Callable[[Any], Any] = validated,
    **more: Any,
) -> Served:
    """Serve one request and judge what left: the strict reader raises on any fault."""
    channel = channel or FakeChannel()
    clock = clock or FakeClock()
    courier = courier or HeldBack()
    request = make_request(method, uri, headers, body, **more)
    outcome = gateway(wrap(app), clock, courier).handle(request, channel, "id-1")
    assert not isinstance(outcome, Pending), "nobody is to go on with it"
    if channel.gone or not channel.messages:
        answer = Parsed(0, [], b"", True)
    else:
        version = more.get("version", "HTTP/1.1")
        answer = read_answer(channel.sent, method=method, version=version, closed=channel.closed)
        assert outcome.status == answer.status
        assert outcome.header_count == len(answer.headers)
        assert outcome.header_bytes == channel.sent.index(b"\r\n\r\n") + 4
    return Served(outcome, channel, answer, clock, courier)
