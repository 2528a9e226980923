"""What may reach an application."""

from __future__ import annotations

from typing import Any

import pytest
from support.channel import make_request

from m2serve.gateways.admission import admit, refuse_upload, speaks_of_upload, without_upload

START = {"x-mongrel2-upload-start": "/uploads/up.XhY9oR"}
DONE = {**START, "x-mongrel2-upload-done": "/uploads/up.XhY9oR"}


@pytest.mark.parametrize(
    ("headers", "body", "status"),
    [
        ({}, b"", None),
        ({"content-length": "0"}, b"", None),
        ({"content-length": "3"}, b"abc", None),
        ({"content-length": "3 "}, b"abc", None),
        ({"content-length": "0003"}, b"abc", None),
        ({"content-length": "4"}, b"abc", 400),
        ({"content-length": "2"}, b"abc", 400),
        ({"content-length": "5abc"}, b"abc", 400),
        ({"content-length": "+3"}, b"abc", 400),
        ({"content-length": "-3"}, b"abc", 400),
        ({"content-length": "0x3"}, b"abc", 400),
        ({"content-length": "3, 3"}, b"abc", 400),
        ({"content-length": "1_0"}, b"0123456789", 400),
        ({"content-length": ""}, b"", 400),
        ({"content-length": "99999999999"}, b"", 400),
        ({"content-length": "9" * 5000}, b"", 400),
        ({"content-length": "\xb2"}, b"ab", 400),
        ({"content-length": ["3", "3"]}, b"abc", 400),
        ({"content-length": "3", "transfer-encoding": "chunked"}, b"abc", 400),
        ({"transfer-encoding": "Chunked"}, b"", 400),
        ({"transfer-encoding": "gzip, chunked"}, b"", 400),
    ],
)
def test_framing(headers: dict[str, Any], body: bytes, status: int | None) -> None:
    refusal = admit(make_request("POST", "/", headers, body))
    assert (refusal.status if refusal else None) == status
    assert refusal is None or refusal.close


@pytest.mark.parametrize(
    ("headers", "body", "status"),
    [
        # uploads, genuine or as good as
        ({**START, "content-length": "30000"}, b"", 413),
        ({**DONE, "content-length": "30000"}, b"", 413),
        ({**START, "transfer-encoding": "chunked"}, b"", 413),
        ({**DONE, "transfer-encoding": ["chunked", "x"]}, b"", 413),
        ({**START, "content-length": ["30000", "1"]}, b"", 413),
        ({**DONE, "content-length": "99999999999"}, b"", 413),
        # forged beyond doubt: the headers are taken away, the request is judged as any other
        (DONE, b"", None),
        ({**DONE, "content-length": "3"}, b"abc", None),
        ({**DONE, "content-length": "0"}, b"", None),
        ({**DONE, "content-length": ["0", "30000"]}, b"", 400),
        ({**DONE, "content-length": "x"}, b"", 400),
        ({**DONE, "transfer-encoding": "Chunked"}, b"", 400),
    ],
)
def test_uploads_that_nobody_can_prove(headers: dict[str, Any], body: bytes, status: int | None) -> None:
    request = make_request("POST", "/", headers, body)
    refusal = refuse_upload(request) or admit(without_upload(request))
    assert (refusal.status if refusal else None) == status
    assert refusal is None or refusal.close


@pytest.mark.parametrize(
    ("own", "status", "close"),
    [
        ({"METHOD": "WEBSOCKET_HANDSHAKE"}, 501, True),
        ({"METHOD": "WEBSOCKET", "FLAGS": "0x81"}, 0, True),
        ({"METHOD": "WEBSOCKET"}, None, False),
        ({"METHOD": "JSON"}, None, False),
        ({"METHOD": None, "UPLOAD_STREAM": "20480"}, 0, False),
        ({"UPLOAD_STREAM": "0"}, 413, True),
        ({"VERSION": None}, 400, True),
        ({"PATH": None}, 400, True),
        ({"METHOD": None}, 400, True),
    ],
)
def test_kinds(own: dict[str, str | None], status: int | None, close: bool) -> None:
    refusal = admit(make_request(own=own))
    assert (refusal.status if refusal else None, refusal.close if refusal else False) == (status, close)


def test_sockets_and_notices() -> None:
    socket = make_request("JSON", "@chat", own={"VERSION": None, "URI": None})
    assert admit(socket) == (0, "JSON sockets are not served here", True)
    notice = socket._replace(path=b"@*", headers={b"METHOD": b"JSON"}, body=b'{"type":"disconnect"}')
    refusal = admit(notice)
    assert refusal is not None
    assert not refusal.close  # it would cause the next notice


def test_what_speaks_of_uploads() -> None:
    request = make_request("POST", "/", {**DONE, "x-other": "1"})._replace(key=b"known")
    assert speaks_of_upload(request)
    assert not speaks_of_upload(make_request("POST", "/", {"x-mongrel2-upload": "no"}))
    bare = without_upload(request)
    assert not speaks_of_upload(bare)
    assert bare.headers[b"x-other"] == b"1"
    assert bare.key == b"", "else the next one would not be noticed"
    assert speaks_of_upload(request), "headers may be shared: nobody changes them"


def test_a_body_outside_the_message_need_not_fit_its_length() -> None:
    request = make_request("POST", "/", {"content-length": "30000"})
    assert admit(request, outside=True) is None
    assert admit(request).status == 400
    assert admit(make_request("POST", "/", own={"PATH": None}), outside=True).status == 400


@pytest.mark.parametrize(("limit", "status"), [(None, None), (3, None), (2, 413)])
def test_how_large_a_body_may_be(limit: int | None, status: int | None) -> None:
    refusal = admit(make_request("POST", "/", body=b"abc"), limit=limit)
    assert (refusal.status if refusal else None) == status
