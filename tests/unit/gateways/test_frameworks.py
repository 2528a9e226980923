"""Applications of the usual frameworks, through the gateway, both sides judged."""

from __future__ import annotations

import io
from typing import Any

import bottle
import flask
import pytest
from serving import serve
from werkzeug.wsgi import wrap_file


@pytest.fixture
def flask_app() -> Any:
    app = flask.Flask("tested")

    @app.post("/echo")
    def echo() -> Any:
        return flask.jsonify(form=flask.request.form, args=flask.request.args, url=flask.request.url)

    @app.get("/stream")
    def stream() -> Any:
        return flask.Response(iter([b"a", b"", b"b"]), mimetype="text/plain")

    @app.get("/file")
    def file() -> Any:
        return flask.send_file(io.BytesIO(b"0123456789"), mimetype="text/plain", conditional=True)

    @app.get("/boom")
    def boom() -> Any:
        raise ValueError("boom")

    return app


def test_flask_form(flask_app: Any) -> None:
    headers = {"content-type": "application/x-www-form-urlencoded"}
    served = serve(flask_app, "POST", "/site/echo?q=%C3%A9", headers, b"name=caf%C3%A9", pattern="/site/")
    assert served.answer.status == 200
    assert flask.json.loads(served.answer.body) == {
        "form": {"name": "caf\xe9"},
        "args": {"q": "\xe9"},
        "url": "http://example.org/site/echo?q=\xe9",
    }
    assert len(served.channel.messages) == 1


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_flask_stream(flask_app: Any, method: str) -> None:
    served = serve(flask_app, method, "/stream")
    assert served.answer.body == (b"ab" if method == "GET" else b"")


def test_flask_file(flask_app: Any) -> None:
    assert serve(flask_app, "GET", "/file").answer.body == b"0123456789"
    part = serve(flask_app, "GET", "/file", {"range": "bytes=2-4"})
    assert (part.answer.status, part.answer.body, part.outcome.error) == (206, b"234", None)


def test_flask_failure_and_redirect(flask_app: Any) -> None:
    assert serve(flask_app, "GET", "/boom").answer.status == 500
    assert serve(flask_app, "GET", "/nowhere").answer.status == 404


def test_werkzeug_wrap_file() -> None:
    def app(environ: dict[str, Any], start_response: Any) -> Any:
        start_response("200 OK", [("Content-Length", "100000")])
        return wrap_file(environ, io.BytesIO(b"x" * 100_000))

    assert len(serve(app).answer.body) == 100_000


def test_bottle() -> None:
    app = bottle.Bottle()

    @app.get("/hello/<name>")  # type: ignore[untyped-decorator]
    def hello(name: str) -> str:
        bottle.response.set_cookie("a", "b")
        return f"hello {name}"

    served = serve(app, "GET", "/hello/w%C3%B6rld")
    assert served.answer.body == "hello w\xf6rld".encode()
    assert served.answer.get("set-cookie") == "a=b"
    assert serve(app, "HEAD", "/hello/x").answer.get("content-length") == "7"
