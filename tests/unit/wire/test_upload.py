"""Which messages may be Mongrel2's own word of an upload."""

from __future__ import annotations

from typing import Any

import pytest
from support.channel import make_request

from m2serve.wire import upload
from m2serve.wire.upload import Claim

NAME = "/uploads/up.XhY9oR"
START: dict[str, Any] = {"x-mongrel2-upload-start": NAME}
DONE = {**START, "x-mongrel2-upload-done": NAME}
LIMIT = 20480


def claim(headers: dict[str, Any], body: bytes = b"", **own: str | None) -> Claim | None:
    return upload.claim(make_request("POST", "/", headers, body, own=own), LIMIT)


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({"content-length": "30000"}, 30000),
        ({"content-length": "20481"}, 20481),
        ({"content-length": "2147483647"}, 2147483647),
        ({"content-length": " \t+30000abc"}, 30000),
        ({"content-length": ["30000", "0"]}, 30000),
        ({"content-length": "30000", "transfer-encoding": "chunked"}, 30000),
        ({"transfer-encoding": "chunked"}, None),
        ({"transfer-encoding": ["chunked", "x"]}, None),
    ],
)
def test_the_upload_path(headers: dict[str, Any], expected: int | None) -> None:
    assert claim({**START, **headers}) == Claim(False, NAME.encode(), expected)
    assert claim({**DONE, **headers}) == Claim(True, NAME.encode(), expected)
    assert claim(headers) is None, "without a name"


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"content-length": "0"},
        {"content-length": "20480"},
        {"content-length": "2147483648"},
        {"content-length": "99999999999"},
        {"content-length": "9" * 5000},
        {"content-length": "-30000"},
        {"content-length": "0x7530"},
        {"content-length": "0 30000"},
        {"content-length": "x30000"},
        {"content-length": ""},
        {"content-length": ["0", "30000"]},
        {"content-length": "0", "transfer-encoding": "chunked"},
        {"transfer-encoding": "Chunked"},
        {"transfer-encoding": "gzip, chunked"},
        {"transfer-encoding": ["x", "chunked"]},
    ],
)
def test_not_the_upload_path(headers: dict[str, Any]) -> None:
    assert claim({**DONE, **headers}) is None


def test_what_else_gives_a_lie_away() -> None:
    length = {"content-length": "30000"}
    assert claim({**DONE, **length}, b"a body") is None
    assert claim({**DONE, **length}, METHOD="WEBSOCKET_HANDSHAKE") is None
    assert claim({**DONE, **length}, METHOD=None) is None
    assert claim({**DONE, **length}, VERSION=None) is None
    assert claim({**length, "x-mongrel2-upload-start": [NAME, NAME]}) is None


@pytest.mark.parametrize("done", [NAME + "x", [NAME], [NAME, NAME], "/etc/passwd", ""])
def test_a_start_with_a_forged_done_is_a_start(done: Any) -> None:
    assert claim({**START, "x-mongrel2-upload-done": done, "content-length": "30000"}) == Claim(
        False, NAME.encode(), 30000
    )


@pytest.mark.parametrize(
    ("name", "fits"),
    [
        (b"/up/a+b.abcXYZ", True),
        (b"/up/a+b.012345", True),
        (b"/up/a+b.XXXXXX", True),
        (b"/up/aab.abcXYZ", False),
        (b"/up/a+b.abcXY", False),
        (b"/up/a+b.abcXYZ1", False),
        (b"/up/a+b.abc/YZ", False),
        (b"/up/a+b.abc.YZ", False),
        (b"/up/a+b.abcXYZ\n", False),
        (b"/up/../up/a+b.abcXYZ", False),
        (b"x/up/a+b.abcXYZ", False),
        (b"", False),
    ],
)
def test_names_that_fit(name: bytes, fits: bool) -> None:
    assert bool(upload.template("/up/a+b.XXXXXX").fullmatch(name)) == fits


@pytest.mark.parametrize(
    ("uri", "header", "found"),
    [
        ("/", "abc", b"abc"),
        ("/", " abc ", b"abc"),
        ("/", ["a", "b"], b"a"),
        ("/?X-Progress-ID=abc", None, b"abc"),
        ("/?a=b&x-progress-id=abc&c=d", None, b"abc"),
        ("/?ax-progress-id=abc", None, b""),
        ("/?X-Progress-ID=abc", "header", b"header"),
        ("/", None, b""),
        ("/", "x" * 121, b""),
    ],
)
def test_under_which_id_it_is_asked_for(uri: str, header: Any, found: bytes) -> None:
    headers = {} if header is None else {"x-progress-id": header}
    assert upload.progress_id(make_request("POST", uri, headers)) == found
