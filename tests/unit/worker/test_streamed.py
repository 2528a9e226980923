"""A streamed upload in its worker, from the first message to the credit that ends it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from support.channel import make_request

from m2serve.config.postlimits import PostLimits
from m2serve.config.values import PostLimit
from m2serve.endpoint import Endpoint, ZmqPair
from m2serve.errors import BodyGone, ClientGone
from m2serve.front import Front
from m2serve.transports import card as cards
from m2serve.transports.base import Delivery
from m2serve.wire.control import upload_credits
from m2serve.wire.pieces import ENOUGH
from m2serve.worker.streamed import StreamedUpload, StreamedUploads, wake

if TYPE_CHECKING:
    from m2serve.message import Request

PAIR = ZmqPair(Endpoint.parse("tcp://127.0.0.1:1"), Endpoint.parse("tcp://127.0.0.1:2"))


class Channel:
    """What a streamed upload needs of one."""

    def __init__(self) -> None:
        self.sink: Any = None
        self.orders: list[bytes] = []
        self.gone = False

    def expect(self, sink: Any) -> None:
        self.sink = sink

    def control(self, order: bytes) -> None:
        if self.gone:
            raise ClientGone("gone")
        self.orders.append(order)


def first_message(body: bytes = b"01234", *, done: bool = False, **headers: Any) -> Request:
    sent = {"content-length": "10", **{name.replace("_", "-"): value for name, value in headers.items()}}
    sent = {name: value for name, value in sent.items() if value is not None}
    own = {"UPLOAD_STREAM": "0", **({"UPLOAD_STREAM_DONE": "1"} if done else {})}
    request = make_request("POST", "/photos/new", sent, own=own)
    return request._replace(body=body)


def opened(request: Request, *limits: str) -> tuple[StreamedUpload, Channel]:
    fronts = [Front(PAIR), Front(PAIR, content_length=1000)]
    uploads = StreamedUploads(fronts, (5.0, 0.001), PostLimits(PostLimit.parse(text) for text in limits))
    channel = Channel()
    return uploads.open(Delivery(b"", channel, 1, cards.STREAM), request), channel


def credit(count: int) -> bytes:
    return upload_credits(b"app-1", b"7", count)


def test_from_the_beginning_to_the_end() -> None:
    body, channel = opened(first_message())
    assert (body.length, body.fault, body.complete, body.input._timeout) == (10, None, False, 5.0)
    assert body.input.read(5) == b"01234"
    assert channel.orders == []
    channel.sink.feed(5, b"56789", True)
    assert body.complete
    assert body.input.read() == b"56789"
    body.close()
    assert channel.sink is None
    assert channel.orders == []


def test_credit_is_asked_for_through_the_channel() -> None:
    body, channel = opened(first_message(content_length="100000"))
    channel.sink.feed(5, b"56789", False)
    assert body.input.read(10) == b"0123456789"
    assert channel.orders == [credit(4 * 1000 + 5)]


def test_the_end_of_a_request_whose_body_has_not_all_come() -> None:
    body, channel = opened(first_message())
    body.close()
    assert channel.sink is None
    assert channel.orders == [credit(ENOUGH)]
    with pytest.raises(BodyGone):
        body.input.read()


def test_nobody_to_be_woken() -> None:
    body, channel = opened(first_message())
    channel.gone = True
    body.close()
    assert channel.orders == []


def test_a_chunked_body_has_no_length() -> None:
    body, channel = opened(first_message(b"", content_length=None, transfer_encoding="chunked"))
    assert (body.length, body.fault, body.input._timeout) == (None, None, 0.001)
    channel.sink.feed(0, b"abc", False)
    channel.sink.feed(3, b"", True)
    assert body.input.read() == b"abc"
    assert not body.complete  # so that the connection is closed
    body.close()
    assert channel.orders == []


def test_a_body_that_came_whole() -> None:
    body, channel = opened(first_message(b"0123456789", done=True))
    assert body.complete
    body.close()
    assert channel.orders == []


@pytest.mark.parametrize(
    ("request_", "limits", "status", "reason"),
    [
        (first_message(content_length="10"), ["9"], 413, "10 bytes, 9 allowed"),
        (first_message(content_length="10"), ["1M", "/photos=9"], 413, "10 bytes, 9 allowed"),
        (first_message(transfer_encoding="chunked"), [], 400, "both"),
        (first_message(content_length=["10", "5"]), [], 400, "not one number"),
        (first_message(content_length="10abc"), [], 400, "not one number"),
        (first_message(content_length="+10"), [], 400, "not one number"),
    ],
)
def test_what_is_refused_before_the_application_sees_it(
    request_: Request, limits: list[str], status: int, reason: str
) -> None:
    body, channel = opened(request_, *limits)
    assert body.status == status
    assert body.fault is not None
    assert reason in body.fault
    body.close()
    assert channel.orders == [credit(ENOUGH)]


@pytest.mark.parametrize("limits", [["10"], ["1", "/photos=10"], ["/videos=1"]])
def test_what_is_just_small_enough(limits: list[str]) -> None:
    assert opened(first_message(content_length="10"), *limits)[0].fault is None


def test_only_a_streamed_upload_is_woken() -> None:
    channel = Channel()
    wake(make_request("POST", "/"), channel)
    assert channel.orders == []
    wake(first_message(), channel)
    assert channel.orders == [credit(ENOUGH)]
