"""Bodies that do not lie in the message, and headers that pretend so."""

from __future__ import annotations

import io
import logging
from typing import TYPE_CHECKING, Any

from serving import OneApp
from support.channel import FakeChannel, make_request

from m2serve.config.postlimits import PostLimits
from m2serve.config.values import PostLimit
from m2serve.gateways.wsgi import WsgiGateway

if TYPE_CHECKING:
    import pytest

FORGED = {"x-mongrel2-upload-start": "/etc/passwd", "x-mongrel2-upload-done": "/etc/passwd"}


class Body:
    status = 500
    complete = True

    def __init__(self, content: bytes, length: int | None, fault: str | None = None) -> None:
        self.input = io.BytesIO(content)
        self.length = length
        self.fault = fault

    def close(self) -> None:
        self.input.close()


class Site:
    """A gateway, and the environs that its application saw."""

    def __init__(self, **options: Any) -> None:
        self.seen: list[dict[str, Any]] = []
        self.gateway = WsgiGateway(
            OneApp(self._app),
            multithread=True,
            multiprocess=False,
            server_name_default="node.example",
            errors=io.StringIO(),
            logger=logging.getLogger("m2serve.test"),
            **{"uploads_proven": True, **options},
        )

    def _app(self, environ: dict[str, Any], start_response: Any) -> list[bytes]:
        self.seen.append(environ)
        start_response("200 OK", [("Content-Length", "0")])
        return []

    def ask(self, headers: dict[str, Any], body: Body | None = None, *, content: bytes = b"", key: bytes = b"") -> int:
        request = make_request("POST", "/photos/1", headers, content)._replace(key=key)
        outcome = self.gateway.handle(request, FakeChannel(), "id-1", body)
        return outcome.status  # type: ignore[union-attr]


def test_the_file_is_the_body() -> None:
    site = Site(extra={"m2serve.extra": 5})
    name = {"x-mongrel2-upload-start": "/up.abcdef", "x-mongrel2-upload-done": "/up.abcdef"}
    assert site.ask({**name, "content-length": " 30000x"}, Body(b"the file", 30000)) == 200
    assert site.ask({**name, "transfer-encoding": "chunked"}, Body(b"the file", 8)) == 200
    assert site.ask({"transfer-encoding": "chunked"}, Body(b"", None)) == 200
    for environ, length in zip(site.seen, ("30000", "8", None), strict=True):
        assert environ.get("CONTENT_LENGTH") == length
        assert "HTTP_TRANSFER_ENCODING" not in environ
        assert not any("UPLOAD" in variable for variable in environ)
        assert environ["m2serve.extra"] == 5
    assert site.seen[0]["wsgi.input"].read() == b"the file"


def test_no_file_no_call(errors: pytest.LogCaptureFixture) -> None:
    site = Site()
    assert site.ask({"content-length": "30000"}, Body(b"", 0, "upload /up.abcdef: no such file")) == 500
    assert site.seen == []
    assert "upload /up.abcdef: no such file" in errors.text


def test_each_forgery_is_noticed(errors: pytest.LogCaptureFixture) -> None:
    site = Site()
    for _ in range(4):
        assert site.ask(FORGED, key=b"the same each time") == 200
    assert errors.text.count("upload headers of a client's own removed") == 4
    assert not any("UPLOAD" in variable for environ in site.seen for variable in environ)
    assert site.ask({**FORGED, "content-length": "30000"}) == 400
    assert site.ask({**FORGED, "content-length": "3"}, content=b"abc") == 200


def test_where_nobody_can_prove_an_upload() -> None:
    site = Site(uploads_proven=False)
    assert site.ask({**FORGED, "content-length": "30000"}) == 413
    assert site.ask({**FORGED, "transfer-encoding": "chunked"}) == 413
    assert site.ask(FORGED) == 200


def test_a_limit_for_bodies_in_messages() -> None:
    site = Site(post_limits=PostLimits([PostLimit.parse("2"), PostLimit.parse("/photos=3")]))
    assert site.ask({}, content=b"abc") == 200
    assert site.ask({}, content=b"abcd") == 413
