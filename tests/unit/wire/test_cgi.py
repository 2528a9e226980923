"""Variables of web servers."""

from __future__ import annotations

from typing import Any

import pytest
from support.codecs import PEER

from m2serve.errors import RemoteProtocolError
from m2serve.wire.cgi import Reader, mend_path

NGINX = {
    "QUERY_STRING": "x=%20",
    "REQUEST_METHOD": "GET",
    "CONTENT_TYPE": "",
    "CONTENT_LENGTH": "",
    "REQUEST_URI": "/a%20b?x=%20",
    "PATH_INFO": "/a b",
    "DOCUMENT_ROOT": "/usr/share/nginx/html",
    "SERVER_PROTOCOL": "HTTP/1.1",
    "REQUEST_SCHEME": "http",
    "REMOTE_ADDR": "192.0.2.1",
    "REMOTE_PORT": "50000",
    "SERVER_PORT": "80",
    "SERVER_NAME": "example.org",
    "HTTP_HOST": "example.org",
    "HTTP_ACCEPT": "*/*",
}


def block(variables: dict[str, str] | list[tuple[str, str]], *, whole_path: bool = False, make: Any = None) -> Any:
    items = variables.items() if isinstance(variables, dict) else variables
    pairs = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in items]
    reader = Reader(b"test", lambda raw: pairs, whole_path=whole_path)
    return reader.read(b"", PEER)[1]


def test_what_nginx_sends() -> None:
    found = block(NGINX)
    assert found.variables == {
        **{key: value for key, value in NGINX.items() if value},
        "SCRIPT_NAME": "",
        "PATH_INFO": "/a b",
    }
    assert found.headers == {
        b"METHOD": b"GET",
        b"URI": b"/a%20b?x=%20",
        b"VERSION": b"HTTP/1.1",
        b"PATH": b"/a%20b",
        b"QUERY": b"x=%20",
        b"REMOTE_ADDR": b"192.0.2.1",
        b"URL_SCHEME": b"http",
        b"host": b"example.org",
        b"accept": b"*/*",
    }
    assert (found.path, found.length, found.coded) == (b"/a%20b", None, False)


@pytest.mark.parametrize(
    "name",
    [
        "UWSGI_FILE",
        "UWSGI_MODULE",
        "UWSGI_CALLABLE",
        "UWSGI_SCRIPT",
        "UWSGI_HOME",
        "UWSGI_PYHOME",
        "UWSGI_CHDIR",
        "UWSGI_SETENV",
        "UWSGI_APPID",
        "UWSGI_TOUCH_RELOAD",
        "UWSGI_POSTFILE",
        "UWSGI_CACHE_GET",
        "UWSGI_SCHEME",
        "UWSGI_",
        "HTTP_CONTENT_LENGTH",
        "HTTP_CONTENT_TYPE",
        "HTTP_TRANSFER_ENCODING",
        "HTTP_X_MONGREL2_UPLOAD_START",
        "HTTP_X_MONGREL2_UPLOAD_DONE",
        "SERVER_SOFTWARE",
        "GATEWAY_INTERFACE",
        "wsgi.input",
        "m2serve.coding",
        "mongrel2.sender",
        "A-B",
        "A B",
        "1A",
        "",
        "\xc9",
        "A\n",
    ],
)
def test_what_a_peer_may_not_say_is_dropped(name: str) -> None:
    found = block({**NGINX, name: "x"})
    assert found.variables == block(NGINX).variables
    assert found.headers == block(NGINX).headers


@pytest.mark.parametrize("name", ["HTTP_PROXY", "REMOTE_USER", "DOCUMENT_URI", "X", "_x", "Foo9", "MY_UWSGI_FILE"])
def test_other_variables_stay(name: str) -> None:
    assert block({**NGINX, name: "x"}).variables[name] == "x"


@pytest.mark.parametrize("name", ["CONTENT_TYPE", "REMOTE_USER", "SERVER_NAME", "SERVER_PORT"])
def test_what_is_empty_is_not_there(name: str) -> None:
    assert name not in block({**NGINX, name: ""}).variables


@pytest.mark.parametrize(
    ("more", "scheme"),
    [
        ({}, "http"),
        ({"HTTPS": "on"}, "https"),
        ({"HTTPS": "ON"}, "https"),
        ({"HTTPS": "1"}, "https"),
        ({"HTTPS": "off"}, "http"),
        ({"HTTPS": ""}, "http"),
        ({"REQUEST_SCHEME": "https"}, "https"),
        ({"REQUEST_SCHEME": "https", "HTTPS": "off"}, "https"),
        ({"UWSGI_SCHEME": "https"}, "https"),
        ({"UWSGI_SCHEME": "http", "HTTPS": "on"}, "http"),
        ({"UWSGI_SCHEME": "gopher", "HTTPS": "on"}, "https"),
        ({"REQUEST_SCHEME": "gopher"}, "http"),
        ({"HTTP_X_FORWARDED_PROTO": "https"}, "http"),
    ],
)
def test_scheme(more: dict[str, str], scheme: str) -> None:
    assert block({**NGINX, **more}).headers[b"URL_SCHEME"] == scheme.encode()


@pytest.mark.parametrize(("text", "length"), [("", None), ("0", 0), ("5", 5), ("0005", 5), ("9" * 19, int("9" * 19))])
def test_length(text: str, length: int | None) -> None:
    found = block({**NGINX, "CONTENT_LENGTH": text})
    assert found.length == length
    assert found.headers.get(b"content-length") == (None if length is None else b"%d" % length)
    assert "CONTENT_LENGTH" not in found.variables, "the gateway writes it, knowing the body"


@pytest.mark.parametrize(
    "change",
    [
        {"CONTENT_LENGTH": "-1"},
        {"CONTENT_LENGTH": "+1"},
        {"CONTENT_LENGTH": "1 "},
        {"CONTENT_LENGTH": "1, 1"},
        {"CONTENT_LENGTH": "\xb9"},
        {"CONTENT_LENGTH": "9" * 20},
        {"REQUEST_METHOD": ""},
        {"REQUEST_METHOD": "GE T"},
        {"REQUEST_METHOD": "GET\n"},
        {"REQUEST_METHOD": "G" * 33},
        {"PATH_INFO": "/a\0b"},
        {"HTTP_COOKIE": "\0"},
    ],
)
def test_refused(change: dict[str, str]) -> None:
    with pytest.raises(RemoteProtocolError) as caught:
        block({**NGINX, **change})
    assert caught.value.status == 400


def test_without_method_or_anything() -> None:
    for variables in ({}, {key: value for key, value in NGINX.items() if key != "REQUEST_METHOD"}):
        with pytest.raises(RemoteProtocolError, match="no REQUEST_METHOD"):
            block(variables)


def test_a_header_twice_is_one_other_variables_change() -> None:
    found = block(
        [
            *NGINX.items(),
            ("HTTP_COOKIE", "a=1"),
            ("HTTP_COOKIE", "b=2"),
            ("HTTP_X", "1"),
            ("HTTP_X", "2"),
            ("HTTP_X", "3"),
            ("REMOTE_ADDR", "192.0.2.2"),
            ("REQUEST_METHOD", "GET"),
        ]
    )
    assert found.variables["HTTP_COOKIE"] == "a=1; b=2"
    assert found.variables["HTTP_X"] == "1, 2, 3"
    assert found.headers[b"x"] == b"1, 2, 3"
    assert found.variables["REMOTE_ADDR"] == "192.0.2.2"


@pytest.mark.parametrize("again", [("CONTENT_LENGTH", "6"), ("REQUEST_METHOD", "POST")])
def test_two_answers_to_one_question_are_refused(again: tuple[str, str]) -> None:
    with pytest.raises(RemoteProtocolError):
        block([*{**NGINX, "CONTENT_LENGTH": "5"}.items(), again])


def test_what_is_missing_is_worked_out() -> None:
    found = block({"REQUEST_METHOD": "GET"})
    assert found.variables == {
        "REQUEST_METHOD": "GET",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "REQUEST_URI": "/",
        "QUERY_STRING": "",
        "SCRIPT_NAME": "",
        "PATH_INFO": "/",
    }
    found = block({"REQUEST_METHOD": "GET", "SCRIPT_NAME": "/s", "PATH_INFO": "/\xc3\xa9 ?", "QUERY_STRING": "a=b"})
    assert found.variables["REQUEST_URI"] == "/s/%C3%A9%20%3F?a=b"
    assert (found.path, found.headers[b"QUERY"]) == (b"/s/%C3%A9%20%3F", b"a=b")
    found = block({"REQUEST_METHOD": "GET", "REQUEST_URI": "/a%2Fb?c"})
    assert [found.variables[name] for name in ("PATH_INFO", "QUERY_STRING")] == ["/a/b", "c"]


@pytest.mark.parametrize(
    ("uri", "script", "info", "of_uwsgi", "of_fastcgi"),
    [
        # nginx' stock files: uwsgi_params; fastcgi_params and scgi_params; these with PATH_INFO added
        ("/a/b?c", None, "/a/b", ("", "/a/b"), ("", "/a/b")),
        ("/a%20b", "/a b", None, ("", "/a b"), ("", "/a b")),
        ("/a/b", "/a/b", "/a/b", ("/a/b", ""), ("", "/a/b")),
        ("/a/b", "/a/b", "", ("/a/b", ""), ("", "/a/b")),
        ("//a/./b/", "/a/b/", "/a/b/", ("/a/b", "/"), ("", "/a/b/")),
        ("/", "/", None, ("", "/"), ("", "/")),
        ("/", "/", "/", ("", "/"), ("", "/")),
        # cleared, as the documentation of most servers says
        ("/a/b", "", "/a/b", ("", "/a/b"), ("", "/a/b")),
        ("/a/b", "", None, ("", "/a/b"), ("", "/a/b")),
        # divided at a mount: rightly; with the whole path in PATH_INFO (uwsgi_modifier1 30); a trailing slash
        ("/app/x", "/app", "/x", ("/app", "/x"), ("/app", "/x")),
        ("/app/x", "/app", "/app/x", ("/app", "/x"), ("/app", "/x")),
        ("/app/x", "/app/", "/app/x", ("/app", "/x"), ("/app", "/x")),
        ("/apple", "/app", "/apple", ("/app", "/apple"), ("/app", "/apple")),
        ("/app", "/app", "/app", ("/app", ""), ("", "/app")),
        ("/app/app/x", "/app", "/app/x", ("/app", "/app/x"), ("/app", "/app/x")),
        ("http://h/a/b", "/a/b", None, ("", "/a/b"), ("", "/a/b")),
        ("http://h", "", None, ("", "/"), ("", "/")),
        # nobody says what the request was for
        (None, None, None, ("", "/"), ("", "/")),
        (None, "/a", None, ("", "/a"), ("", "/a")),
        (None, "/a", "/a", ("/a", "/a"), ("", "/a")),
        (None, "/a", "/b", ("/a", "/b"), ("/a", "/b")),
        (None, "", "", ("", "/"), ("", "/")),
        (None, None, "x", ("", "/x"), ("", "/x")),
        ("*", None, "*", ("", "*"), ("", "*")),
    ],
)
def test_paths(
    uri: str | None, script: str | None, info: str | None, of_uwsgi: tuple[str, str], of_fastcgi: tuple[str, str]
) -> None:
    given = {name: value for name, value in (("SCRIPT_NAME", script), ("PATH_INFO", info)) if value is not None}
    for whole_path, wanted in ((False, of_uwsgi), (True, of_fastcgi)):
        variables = dict(given)
        mend_path(variables, uri, whole_path)
        assert (variables["SCRIPT_NAME"], variables["PATH_INFO"]) == wanted


def test_a_rewritten_path_is_known_by_document_uri() -> None:
    for given in ({"SCRIPT_NAME": "/new", "PATH_INFO": "/new"}, {"SCRIPT_NAME": "/new"}, {}):
        variables = {**given, "DOCUMENT_URI": "/new"}
        mend_path(variables, "/old", True)
        assert (variables["SCRIPT_NAME"], variables["PATH_INFO"]) == ("", "/new")
