"""Requests that came by a door of ours: their environ, and what is different for their answers."""

from __future__ import annotations

import io
import json
import logging
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from serving import HeldBack, gateway
from support.channel import FakeChannel, FakeClock
from support.codecs import PEER, factory, fastcgi_request, read, scgi_packet, uwsgi_packet

from m2serve.apps.mounts import Mounts
from m2serve.gateways.admission import admit
from m2serve.gateways.environ import EnvironBuilder
from m2serve.gateways.filewrapper import FileWrapper

if TYPE_CHECKING:
    from m2serve.door import DoorProtocol
    from m2serve.message import Request
    from m2serve.wire.door import Peer

RECORDED = Path(__file__).parents[2] / "cases" / "nginx" / "recorded.json"
HTTP = (
    b"POST /a%20b/c?x=%c3%a9 HTTP/1.1\r\nHost: example.org:8080\r\nContent-Type: text/plain\r\nContent-Length: 5\r\n"
    b"Cookie: a=1\r\nCookie: b=2\r\nAccept: text/html\r\nAccept: text/plain\r\nX_Hidden: 1\r\n\r\nhello"
)
CGI = {
    "REQUEST_METHOD": "POST",
    "REQUEST_URI": "/a%20b/c?x=%c3%a9",
    "QUERY_STRING": "x=%c3%a9",
    "DOCUMENT_URI": "/a b/c",
    "CONTENT_TYPE": "text/plain",
    "CONTENT_LENGTH": "5",
    "SERVER_PROTOCOL": "HTTP/1.1",
    "SERVER_NAME": "example.org",
    "SERVER_PORT": "8080",
    "REMOTE_ADDR": "127.0.0.1",
    "REMOTE_PORT": "4711",
    "HTTP_HOST": "example.org:8080",
    "HTTP_CONTENT_TYPE": "text/plain",
    "HTTP_CONTENT_LENGTH": "5",
    "HTTP_COOKIE": "a=1; b=2",
    "HTTP_ACCEPT": "text/html, text/plain",
}
SCGI = {key: value for key, value in CGI.items() if key != "CONTENT_LENGTH"}


def request(protocol: DoorProtocol, data: bytes, peer: Peer = PEER) -> Request:
    got = read(protocol, data, peer).requests[0]
    return got.request._replace(body=got.body)


def builder(**options: Any) -> EnvironBuilder:
    settings = {"errors": sys.stderr, "multithread": True, "multiprocess": False, "server_name": "node.example"}
    return EnvironBuilder(**{**settings, **options})


@pytest.mark.parametrize(("variables", "script"), [({}, ""), ({"SCRIPT_NAME": "/shop", "PATH_INFO": "/cart"}, "/shop")])
def test_script_name_before_any_application_was_chosen(variables: dict[str, str], script: str) -> None:
    assert builder().script_name(request("uwsgi", uwsgi_packet({**CGI, **variables}) + b"hello")) == script
    assert builder().script_name(request("http", HTTP)) == ""


def build(protocol: DoorProtocol, data: bytes, peer: Peer = PEER, **options: Any) -> dict[str, Any]:
    return builder(**options).build(request(protocol, data, peer), "id-1")


def test_the_whole_environ_of_http() -> None:
    environ = build("http", HTTP)
    assert environ.pop("wsgi.input").read() == b"hello"
    assert environ == {
        "REQUEST_METHOD": "POST",
        "SCRIPT_NAME": "",
        "PATH_INFO": "/a b/c",
        "QUERY_STRING": "x=%c3%a9",
        "REQUEST_URI": "/a%20b/c?x=%c3%a9",
        "RAW_URI": "/a%20b/c?x=%c3%a9",
        "SERVER_NAME": "example.org",
        "SERVER_PORT": "8080",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "SERVER_SOFTWARE": "m2serve",
        "GATEWAY_INTERFACE": "CGI/1.1",
        "REMOTE_ADDR": "127.0.0.1",
        "REMOTE_PORT": "4711",
        "CONTENT_TYPE": "text/plain",
        "CONTENT_LENGTH": "5",
        "HTTP_HOST": "example.org:8080",
        "HTTP_COOKIE": "a=1; b=2",
        "HTTP_ACCEPT": "text/html, text/plain",
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": True,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
        "wsgi.input_terminated": True,
        "wsgi.file_wrapper": FileWrapper,
        "m2serve.request_id": "id-1",
        "m2serve.endpoint": "door",
        "m2serve.client": (b"door", b"7"),
    }


@pytest.mark.parametrize(
    ("protocol", "data", "more"),
    [
        ("uwsgi", uwsgi_packet({**CGI, "PATH_INFO": "/a b/c"}) + b"hello", set()),
        ("fastcgi", fastcgi_request({**CGI, "SCRIPT_NAME": "/a b/c"}, b"hello"), set()),
        ("scgi", scgi_packet({**SCGI, "SCRIPT_NAME": "/a b/c", "SCGI": "1"}, b"hello"), {"SCGI"}),
    ],
)
def test_it_is_the_same_through_every_door(protocol: DoorProtocol, data: bytes, more: set[str]) -> None:
    environ, http = build(protocol, data), build("http", HTTP)
    assert environ.pop("wsgi.input").read() == http.pop("wsgi.input").read() == b"hello"
    assert environ.keys() - http.keys() == {"DOCUMENT_URI", *more}
    assert {key: environ[key] for key in http} == http


@pytest.mark.parametrize(
    ("head", "local", "name", "port", "host"),
    [
        (b"GET / HTTP/1.0\r\n\r\n", ("192.0.2.1", 8080), "192.0.2.1", "8080", None),
        (b"GET / HTTP/1.0\r\n\r\n", ("0.0.0.0", 8080), "node.example", "8080", None),
        (b"GET / HTTP/1.0\r\n\r\n", ("", 0), "node.example", "80", None),
        (b"GET / HTTP/1.0\r\nHost: a\r\n\r\n", ("192.0.2.1", 8080), "a", "80", "a"),
        (b"GET http://b:99/ HTTP/1.1\r\nHost: a\r\n\r\n", ("192.0.2.1", 8080), "b", "99", "b:99"),
    ],
)
def test_the_server_of_http(head: bytes, local: tuple[str, int], name: str, port: str, host: str | None) -> None:
    environ = build("http", head, PEER._replace(local=local))
    assert (environ["SERVER_NAME"], environ["SERVER_PORT"], environ.get("HTTP_HOST")) == (name, port, host)


@pytest.mark.parametrize(
    ("more", "name", "port", "host"),
    [
        ({"SERVER_NAME": "_", "SERVER_PORT": "81"}, "_", "81", None),
        ({"SERVER_NAME": "", "SERVER_PORT": "81"}, "node.example", "80", None),
        ({"SERVER_NAME": "", "SERVER_PORT": "81", "HTTP_HOST": "a:82"}, "a", "82", "a:82"),
        ({"HTTP_HOST": "a"}, "a", "80", "a"),
        ({"HTTP_HOST": "a", "HTTPS": "on"}, "a", "443", "a"),
        ({"HTTP_HOST": "a b"}, "node.example", "80", "node.example"),
        ({"SERVER_NAME": "x", "SERVER_PORT": "\xb2"}, "node.example", "80", None),
    ],
)
def test_the_server_of_variables(more: dict[str, str], name: str, port: str, host: str | None) -> None:
    environ = build("uwsgi", uwsgi_packet({"REQUEST_METHOD": "GET", **more}))
    assert (environ["SERVER_NAME"], environ["SERVER_PORT"], environ.get("HTTP_HOST")) == (name, port, host)


def test_no_port_where_there_is_none() -> None:
    assert "REMOTE_PORT" not in build("http", HTTP, PEER._replace(address=b"", port=0))
    forwarded = HTTP.replace(b"Cookie: a=1", b"X-Forwarded-For: 192.0.2.9")
    environ = build("http", forwarded)
    assert environ["REMOTE_ADDR"] == "192.0.2.9" and "REMOTE_PORT" not in environ


@pytest.mark.parametrize(("keep", "info"), [(False, "/a/b"), (True, "/a%2Fb")])
def test_encoded_slashes_of_http(keep: bool, info: str) -> None:
    data = b"GET /a%2fb HTTP/1.1\r\nHost: a\r\n\r\n"
    assert build("http", data, keep_encoded_slashes=keep)["PATH_INFO"] == info


def test_length() -> None:
    get = b"GET / HTTP/1.1\r\nHost: a\r\n%b\r\n"
    assert "CONTENT_LENGTH" not in build("http", get % b"")
    assert build("http", get % b"Content-Length: 0\r\n")["CONTENT_LENGTH"] == "0"
    variables = {"REQUEST_METHOD": "GET"}
    assert "CONTENT_LENGTH" not in build("uwsgi", uwsgi_packet({**variables, "CONTENT_LENGTH": ""}))
    assert build("uwsgi", uwsgi_packet({**variables, "CONTENT_LENGTH": "0"}))["CONTENT_LENGTH"] == "0"
    unknown = fastcgi_request(variables, b"hello")
    assert build("fastcgi", unknown)["CONTENT_LENGTH"] == "5"


class App:
    def __init__(self, *, length: bool = True, name: str = "") -> None:
        self.length = length
        self.name = name
        self.environ: dict[str, Any] = {}

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Any:
        self.environ = environ
        headers = [("Content-Type", "text/plain")]
        if self.length:
            headers.append(("Content-Length", "5"))
        start_response("200 OK", headers)
        return iter([b"he", b"llo"])


def serve(app: App, one: Request) -> FakeChannel:
    channel = FakeChannel()
    gateway(app, FakeClock(), HeldBack()).handle(one, channel, "id-1")
    return channel


@pytest.mark.parametrize("length", [True, False])
def test_no_chunks_for_web_servers(length: bool) -> None:
    channel = serve(App(length=length), request("uwsgi", uwsgi_packet(CGI) + b"hello"))
    head, _, body = channel.sent.partition(b"\r\n\r\n")
    assert body == b"hello" and b"chunked" not in head and head.startswith(b"HTTP/1.1 200 OK\r\n")
    assert b"Connection" not in head and not channel.closed, "it is for the protocol to say how it goes on"
    assert (b"Content-Length: 5" in head) is length


def test_a_broken_answer_is_closed_behind() -> None:
    def app(environ: dict[str, Any], start_response: Any) -> Any:
        start_response("200 OK", [("Content-Type", "text/plain")])
        yield b"first"
        raise RuntimeError("broken")

    assert serve(app, request("uwsgi", uwsgi_packet(CGI) + b"hello")).closed  # type: ignore[arg-type]


def test_chunks_for_clients() -> None:
    channel = serve(App(length=False), request("http", HTTP))
    assert b"Transfer-Encoding: chunked" in channel.sent and not channel.closed
    assert serve(App(), request("http", HTTP.replace(b"Cookie: a=1", b"Connection: close"))).closed


def test_no_body_for_head() -> None:
    channel = serve(App(), request("uwsgi", uwsgi_packet({**CGI, "REQUEST_METHOD": "HEAD", "CONTENT_LENGTH": ""})))
    assert channel.sent.endswith(b"\r\n\r\n") and b"Content-Length: 5\r\n" in channel.sent


@pytest.mark.parametrize("protocol", ["http", "uwsgi"])
def test_a_repeated_request_is_served_the_same(protocol: DoorProtocol) -> None:
    data = HTTP.replace(b"Content-Length: 5\r\n", b"").removesuffix(b"hello")
    if protocol == "uwsgi":
        data = uwsgi_packet({**CGI, "CONTENT_LENGTH": ""})
    from_codec, app = [], App()
    serving = gateway(app, FakeClock(), HeldBack())
    make = factory(protocol)
    seen = []
    for number in range(4):
        got = read(make, data, PEER._replace(port=4000 + number, conn_id=b"%d" % number)).requests[0]
        from_codec.append(got.request.key)
        serving.handle(got.request, FakeChannel(), "id-1")
        seen.append({key: value for key, value in app.environ.items() if not callable(value)})
    assert len(serving._plans) == 1 and from_codec[2]
    for number, environ in enumerate(seen):
        assert environ.pop("m2serve.client") == (b"door", b"%d" % number)
        port = environ.pop("REMOTE_PORT")
        assert port == (str(4000 + number) if protocol == "http" else "4711")
        assert isinstance(environ.pop("wsgi.input"), io.BytesIO)
    assert all(environ == seen[0] for environ in seen)


@pytest.mark.parametrize("name", [b"X-Mongrel2-Upload-Start", b"X-Mongrel2-Upload-Done"])
def test_names_of_uploads_are_shown_to_nobody(name: bytes, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING, "m2serve.test")
    app = App()
    assert serve(app, request("http", HTTP.replace(b"Cookie", name))).sent.startswith(b"HTTP/1.1 200")
    assert not [key for key in app.environ if "UPLOAD" in key]


@pytest.mark.parametrize(
    ("script", "info", "app", "wanted"),
    [
        # the front end has divided the path: at a mount of ours, above it, below it, elsewhere
        ("/app", "/x", "app", ("/app", "/x")),
        ("/app", "", "app", ("/app", "")),
        ("/app/x", "/y", "app", ("/app/x", "/y")),
        ("/front", "/app/x", "app", ("/front/app", "/x")),
        ("/front", "/x", "root", ("/front", "/x")),
        ("/app", "/deep/x", "deep", ("/app/deep", "/x")),
        # it has not
        ("", "/app/x", "app", ("/app", "/x")),
        ("", "/apple", "root", ("", "/apple")),
    ],
)
def test_mounts(script: str, info: str, app: str, wanted: tuple[str, str]) -> None:
    apps = {name: App(name=name) for name in ("root", "app", "deep")}
    mounts = Mounts([("", apps["root"]), ("/app", apps["app"]), ("/app/deep", apps["deep"])])
    serving = gateway(None, FakeClock(), HeldBack())
    serving._mounts = mounts
    data = uwsgi_packet({"REQUEST_METHOD": "GET", "SCRIPT_NAME": script, "PATH_INFO": info})
    serving.handle(request("uwsgi", data), FakeChannel(), "id-1")
    called = [one for one in apps.values() if one.environ]
    assert [one.name for one in called] == [app]
    assert (called[0].environ["SCRIPT_NAME"], called[0].environ["PATH_INFO"]) == wanted


@pytest.mark.parametrize("case", [pytest.param(case, id=case["name"]) for case in json.loads(RECORDED.read_text())])
@pytest.mark.parametrize("cut", [1, 100, 100_000])
def test_what_nginx_sends(case: dict[str, Any], cut: int) -> None:
    data = case["send"].encode("latin-1")
    seen = read(case["door"], [data[at : at + cut] for at in range(0, len(data), cut)])
    assert seen.refused is None and seen.idle and not seen.replies
    got = seen.requests[0]
    assert (got.keep, got.body) == (case["keep"], case["body"].encode())
    environ = builder().build(got.request._replace(body=got.body), "id-1")
    assert {key: environ.get(key) for key in case["environ"]} == case["environ"]
    assert environ["wsgi.input"].read() == got.body


def test_a_body_beyond_the_limit_is_refused() -> None:
    one = request("uwsgi", uwsgi_packet(CGI) + b"hello")
    assert admit(one, limit=5) is None
    refusal = admit(one, limit=4)
    assert refusal is not None and refusal.status == 413
