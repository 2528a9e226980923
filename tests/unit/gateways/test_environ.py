"""The environ, rule by rule."""

from __future__ import annotations

import io
import sys
from typing import Any

import pytest
from support.channel import make_request
from support.validator import check_environ

from m2serve.gateways.environ import EnvironBuilder, literal_prefix, parse_host
from m2serve.gateways.filewrapper import FileWrapper


def builder(options: dict[str, Any] | None = None) -> EnvironBuilder:
    settings: dict[str, Any] = {
        "errors": sys.stderr,
        "multithread": False,
        "multiprocess": True,
        "server_name": "node.example",
        **(options or {}),
    }
    return EnvironBuilder(**settings)


def build(*args: Any, options: dict[str, Any] | None = None, **kwargs: Any) -> dict[str, Any]:
    environ = builder(options).build(make_request(*args, **kwargs), "id-1")
    if environ["PATH_INFO"] != "*":
        check_environ(environ)
    return environ


def test_the_whole_environ() -> None:
    environ = build(
        "POST",
        "/a%20b/c?x=%c3%a9",
        {
            "host": "example.org:8080",
            "content-type": "text/plain",
            "cookie": ["a=1", "b=2"],
            "accept": ["text/html", "text/plain"],
            "x-forwarded-for": "127.0.0.1",
        },
        b"hello",
    )
    assert environ.pop("wsgi.input").read() == b"hello"
    assert environ.pop("m2serve.client") == (b"app-1", b"7")
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
        "CONTENT_TYPE": "text/plain",
        "CONTENT_LENGTH": "5",
        "HTTP_HOST": "example.org:8080",
        "HTTP_COOKIE": "a=1; b=2",
        "HTTP_ACCEPT": "text/html, text/plain",
        "HTTP_X_FORWARDED_FOR": "127.0.0.1",
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": False,
        "wsgi.multiprocess": True,
        "wsgi.run_once": False,
        "wsgi.input_terminated": True,
        "wsgi.file_wrapper": FileWrapper,
        "m2serve.request_id": "id-1",
        "m2serve.endpoint": "app-1",
        "mongrel2.sender": "app-1",
        "mongrel2.conn_id": "7",
        "mongrel2.METHOD": "POST",
        "mongrel2.PATH": "/a%20b/c",
        "mongrel2.URI": "/a%20b/c?x=%c3%a9",
        "mongrel2.QUERY": "x=%c3%a9",
        "mongrel2.PATTERN": "/",
        "mongrel2.VERSION": "HTTP/1.1",
        "mongrel2.URL_SCHEME": "http",
        "mongrel2.REMOTE_ADDR": "127.0.0.1",
    }


@pytest.mark.parametrize(
    ("pattern", "prefix"),
    [
        (b"/", b""), (b"", b""), (b"/app", b"/app"), (b"/app/", b"/app"), (b"/app//", b"/app"), (b"/a/b/", b"/a/b"),
        (b"/(.*)", b""), (b"/app/(.*)", b"/app"), (b"/app(.*)", b""), (b"/a/b(c|d)", b"/a"), (b"(.*)", b""),
        (b"/app/([a-z]+)/x/", b"/app"), (b"@chat", b""), (b"<chat", b""), (b"app", b""),
    ],
)  # fmt: skip
def test_literal_prefix(pattern: bytes, prefix: bytes) -> None:
    assert literal_prefix(pattern) == prefix


@pytest.mark.parametrize(
    ("pattern", "uri", "script", "info"),
    [
        ("/", "/", "", "/"),
        ("/", "/app/x", "", "/app/x"),
        ("/app", "/app", "/app", ""),
        ("/app", "/app/", "/app", "/"),
        ("/app/", "/app/x", "/app", "/x"),
        ("/app", "/app/x", "/app", "/x"),
        ("/app", "/apple", "", "/apple"),
        ("/app/long", "/app", "", "/app"),
        ("/app/", "/app", "/app", ""),
        ("/app/", "/app/z//y", "/app", "/z//y"),
        ("/app/(.*)", "/app/..", "/app", "/.."),
        ("/app(.*)", "/app/x", "", "/app/x"),
        ("/a%20b/", "/a%20b/c%20d", "/a b", "/c d"),
        ("/app", "/%61pp/x", "", "/app/x"),
        ("/", "//host/p", "", "//host/p"),
        ("/", "/caf%C3%A9", "", "/caf\xc3\xa9"),
        ("/", "/a%2Fb", "", "/a/b"),
        ("/", "/%zz%4", "", "/%zz%4"),
        ("*", "*", "", "*"),
    ],
)
def test_script_name_and_path_info(pattern: str, uri: str, script: str, info: str) -> None:
    environ = build("GET", uri, pattern=pattern)
    assert (environ["SCRIPT_NAME"], environ["PATH_INFO"]) == (script, info)
    assert builder().script_name(make_request("GET", uri, pattern=pattern)) == script


def test_encoded_slashes_are_kept_on_request() -> None:
    environ = build("GET", "/a%2fb%20c%2Fd", options={"keep_encoded_slashes": True})
    assert environ["PATH_INFO"] == "/a%2Fb c%2Fd"


@pytest.mark.parametrize(("uri", "query"), [("/", ""), ("/?", ""), ("/?a=%20&b", "a=%20&b"), ("/??", "?")])
def test_query_string_is_always_there(uri: str, query: str) -> None:
    environ = build("GET", uri)
    assert environ["QUERY_STRING"] == query
    assert environ["REQUEST_URI"] == environ["RAW_URI"] == uri


@pytest.mark.parametrize(
    ("host", "scheme", "expected"),
    [
        ("example.org", "http", ("example.org", "80", "example.org")),
        ("example.org", "https", ("example.org", "443", "example.org")),
        ("example.org:8080", "https", ("example.org", "8080", "example.org:8080")),
        ("example.org ", "http", ("example.org", "80", "example.org")),
        ("example.org:", "http", ("example.org", "80", "example.org:")),
        ("example.org:080", "http", ("example.org", "80", "example.org:080")),
        ("my_host", "http", ("my_host", "80", "my_host")),
        ("[::1]:8080", "http", ("[::1]", "8080", "[::1]:8080")),
        ("[::1]", "http", ("[::1]", "80", "[::1]")),
        ("10.0.0.1", "http", ("10.0.0.1", "80", "10.0.0.1")),
        # not usable: the configured name stands in
        ("", "http", ("node.example", "80", "node.example")),
        ("a b", "http", ("node.example", "80", "node.example")),
        ("a/b", "http", ("node.example", "80", "node.example")),
        ("user@host", "http", ("node.example", "80", "node.example")),
        ("host:port", "http", ("node.example", "80", "node.example")),
        ("host:0", "http", ("node.example", "80", "node.example")),
        ("host:65536", "http", ("node.example", "80", "node.example")),
        ("host:123456", "http", ("node.example", "80", "node.example")),
        ("::1", "http", ("node.example", "80", "node.example")),
        ("[::1", "http", ("node.example", "80", "node.example")),
        ("caf\xe9", "http", ("node.example", "80", "node.example")),
        ("a\r\nb", "http", ("node.example", "80", "node.example")),
        (["a", "b"], "https", ("node.example", "443", "node.example")),
    ],
)
def test_host(host: str | list[str], scheme: str, expected: tuple[str, str, str]) -> None:
    environ = build("GET", "/", {"host": host}, scheme=scheme)
    assert (environ["SERVER_NAME"], environ["SERVER_PORT"], environ["HTTP_HOST"]) == expected


def test_no_host_at_all() -> None:
    request = make_request()
    del request.headers[b"host"]
    builder = EnvironBuilder(
        errors=sys.stderr, multithread=True, multiprocess=False, server_name="node", server_port="6767"
    )
    environ = builder.build(request, "id")
    assert (environ["SERVER_NAME"], environ["SERVER_PORT"]) == ("node", "6767")
    assert "HTTP_HOST" not in environ  # PEP 3333: present if and only if the client sent it
    assert (environ["wsgi.multithread"], environ["wsgi.multiprocess"]) == (True, False)


def test_huge_host_is_not_kept() -> None:
    assert parse_host(b"a" * 300) is None
    assert build("GET", "/", {"host": "a" * 100_000})["SERVER_NAME"] == "node.example"


@pytest.mark.parametrize(
    ("name", "variable"),
    [
        ("x-real-ip", "HTTP_X_REAL_IP"),
        ("method", "HTTP_METHOD"),
        ("remote-addr", "HTTP_REMOTE_ADDR"),
        ("x.y", "HTTP_X.Y"),
        ("123", "HTTP_123"),
        ("remote_addr", None),
        ("x_forwarded_for", None),
        ("content_length", None),
        ("x\x01y", None),
        ("x y", None),
        ("caf\xe9", None),
        ("", None),
        ("Mixed", None),
        ("x-mongrel2-upload-start", None),
        ("x-mongrel2-upload-done", None),
    ],
)
def test_names_of_headers(name: str, variable: str | None) -> None:
    environ = build("GET", "/", {name: "value-to-find"})
    assert [key for key, value in environ.items() if value == "value-to-find"] == ([variable] if variable else [])


def test_own_keys_are_kept_apart() -> None:
    environ = build("GET", "/", {"remote_addr": "6.6.6.6"}, own={"PEER_CERT_SHA1": "AB00", "DOWNLOAD_CREDITS": "5"})
    assert environ["REMOTE_ADDR"] == "127.0.0.1"
    assert environ["mongrel2.PEER_CERT_SHA1"] == "AB00"
    assert not [key for key in environ if key.startswith("HTTP_") and key != "HTTP_HOST"]


def test_values_are_latin1() -> None:
    environ = build("GET", "/", {"x-a": "caf\xe9 ", "x-b": "", "x-c": "a\tb"})
    assert (environ["HTTP_X_A"], environ["HTTP_X_B"], environ["HTTP_X_C"]) == ("caf\xe9", "", "a\tb")


@pytest.mark.parametrize(
    ("headers", "body", "length"),
    [({}, b"", None), ({"content-length": "0"}, b"", "0"), ({}, b"abc", "3"), ({"content-length": "003"}, b"abc", "3")],
)
def test_content_length(headers: dict[str, Any], body: bytes, length: str | None) -> None:
    assert build("POST", "/", headers, body).get("CONTENT_LENGTH") == length


def test_input() -> None:
    environ = build("POST", "/", body=b"one\ntwo\nthree")
    stream = environ["wsgi.input"]
    assert (stream.readline(), stream.read(2), stream.readlines(), stream.read()) == (
        b"one\n",
        b"tw",
        [b"o\n", b"three"],
        b"",
    )
    assert list(build("POST", "/", body=b"a\nb")["wsgi.input"]) == [b"a\n", b"b"]


def test_each_request_has_its_own_environ() -> None:
    builder = EnvironBuilder(errors=sys.stderr, multithread=False, multiprocess=False, server_name="x")
    first = builder.build(make_request(), "a")
    first.clear()
    check_environ(builder.build(make_request(), "b"))


def test_caches_stay_small() -> None:
    builder = EnvironBuilder(errors=sys.stderr, multithread=False, multiprocess=False, server_name="x")
    for number in range(5000):
        request = make_request("GET", "/", {f"x-{number}": "v", "host": f"host{number}"}, pattern=f"/{number}")
        assert builder.build(request, "id")[f"HTTP_X_{number}"] == "v"
    builder.build(make_request("GET", "/", {"x-" + "y" * 10_000: "v"}), "id")
    for cache in (builder._names, builder._hosts, builder._prefixes):
        assert len(cache) <= 2048
        assert all(len(key) <= 128 for key in cache)


def test_the_application_may_do_without_a_file_wrapper() -> None:
    request = make_request("GET", "/", {})
    common = {"errors": sys.stderr, "multithread": False, "multiprocess": False, "server_name": "x"}
    assert "wsgi.file_wrapper" in EnvironBuilder(**common).build(request, "id")
    assert "wsgi.file_wrapper" not in EnvironBuilder(**common, file_wrapper=False).build(request, "id")


def test_file_wrapper() -> None:
    class File(io.BytesIO):
        pass

    file = File(b"x" * 200_000)
    file.seek(50_000)
    wrapper = FileWrapper(file, 10)
    assert [len(block) for block in wrapper] == [65536, 65536, 18928]
    wrapper.close()
    assert file.closed
    FileWrapper(object()).close()
