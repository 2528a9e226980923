"""The command line, the ini file and the frameworks, through a real Mongrel2."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from support.http import Connection, get, request_bytes
from support.server import APPS
from support.validator import read_answer

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from support.mongrel2 import Mongrel2
    from support.server import Server

TOPOLOGIES = pytest.mark.parametrize("options", [(), ("--zeromq-direct",)], ids=["dispatched", "direct"])
PROTOCOLS = pytest.mark.parametrize("protocol", ["tnetstring", "json"])
FRAMEWORKS = pytest.mark.parametrize(
    ("module", "name"),
    [("flask_app:app", "flask"), ("django_app", "django"), ("bottle_app", "bottle")],
    ids=["flask", "django", "bottle"],
)
FORM = (("Content-Type", "application/x-www-form-urlencoded"),)


def environ_at(mongrel2: Mongrel2, target: str = "/env") -> dict[str, object]:
    shown: dict[str, object] = json.loads(get(mongrel2.address, target).body)
    return shown


@TOPOLOGIES
@PROTOCOLS
def test_the_command_line_of_the_manual(
    start_mongrel2: Callable[..., Mongrel2],
    start_server: Callable[..., Server],
    protocol: str,
    options: tuple[str, ...],
) -> None:
    mongrel2 = start_mongrel2(protocol=protocol)
    args = ["--zeromq", mongrel2.pair, "-p", "4", "--threads", "8", "--module", "werkzeug.testapp:test_app"]
    server = start_server(*args, *options).wait_ready(4)
    response = get(mongrel2.address, "/?name=one")
    assert response.status == 200
    assert "<title>WSGI Information</title>" in response.text
    assert "name=one" in response.text
    assert sorted(server.pids("worker")) == [f"worker {number}" for number in range(1, 5)]
    assert bool(server.pids("dispatcher")) is not bool(options)
    assert server.stop() == 0


@TOPOLOGIES
@PROTOCOLS
@FRAMEWORKS
def test_a_framework_answers(
    start_mongrel2: Callable[..., Mongrel2],
    serve: Callable[..., Server],
    protocol: str,
    options: tuple[str, ...],
    module: str,
    name: str,
) -> None:
    mongrel2 = start_mongrel2(protocol=protocol)
    serve(mongrel2, module=module, processes=1, options=options)
    assert get(mongrel2.address).text == f"{name} at /"
    posted = get(mongrel2.address, "/form", method="POST", headers=FORM, body=b"name=J%C3%BCrgen+K")
    assert json.loads(posted.body) == {"name": "Jürgen K"}
    assert get(mongrel2.address, "/stream").text.split() == ["0", "1", "2"]
    assert get(mongrel2.address, "/nowhere").status == 404


@PROTOCOLS
def test_the_standard_validator_finds_nothing(
    start_mongrel2: Callable[..., Mongrel2], serve: Callable[..., Server], protocol: str
) -> None:
    mongrel2 = start_mongrel2(protocol=protocol)
    server = serve(mongrel2, module="validated", processes=1)
    for target in ("/", "/env?a=b", "/gen/5", "/write", "/big/70000", "/%C3%BC%2Fx"):
        assert get(mongrel2.address, target).status in (200, 404), target
    assert get(mongrel2.address, "/", method="HEAD").status == 200
    assert get(mongrel2.address, "/gen/3", method="DELETE").text.count("chunk") == 3
    assert "AssertionError" not in server.log
    assert "WSGIWarning" not in server.log


@TOPOLOGIES
@PROTOCOLS
def test_two_judges_find_nothing(
    start_mongrel2: Callable[..., Mongrel2], serve: Callable[..., Server], protocol: str, options: tuple[str, ...]
) -> None:
    """Ours judges the environ, the input and every byte of the answer; the standard library's what the two agree on."""
    mongrel2 = start_mongrel2(protocol=protocol)
    server = serve(mongrel2, module="judged", processes=1, options=("--pythonpath", str(APPS.parent), *options))
    body = bytes(range(256)) * 50
    asked = [("GET", target, b"") for target in ("/", "/gen/5", "/gen/0", "/write", "/%C3%BC%2Fx?a=%20")]
    asked += [("GET", "/big/70000", b""), ("GET", "/pieces/3/70000", b""), ("HEAD", "/", b""), ("HEAD", "/gen/3", b"")]
    asked += [("POST", "/take", body), ("PUT", "/take", b"x"), ("DELETE", "/env?q", b""), ("GET", "/nowhere", b"")]
    for version in ("HTTP/1.1", "HTTP/1.0"):
        for method, target, sent in asked:
            with Connection(mongrel2.address) as client:
                close = (("Connection", "close"),)
                client.send(request_bytes(target, method=method, headers=close, body=sent, version=version))
                answer = read_answer(client.read_to_end(), method=method, version=version, closed=True)
            assert answer.status in (200, 404), (method, target, answer)
            assert not answer.truncated
            if sent:
                assert answer.body == sent
    assert "Fault" not in server.log
    assert "AssertionError" not in server.log
    assert "WSGIWarning" not in server.log


def test_a_body_arrives_byte_for_byte(start_mongrel2: Callable[..., Mongrel2], serve: Callable[..., Server]) -> None:
    body = bytes(range(256)) * 200
    for protocol in ("tnetstring", "json"):
        mongrel2 = start_mongrel2(protocol=protocol)
        serve(mongrel2, processes=1)
        assert get(mongrel2.address, "/echo", method="POST", body=body).body == body


def test_the_environ_is_that_of_the_client(mongrel2: Mongrel2, serve: Callable[..., Server]) -> None:
    serve(mongrel2, processes=2, threads=3)
    host = ("Host", f"example.test:{mongrel2.port}")
    response = get(mongrel2.address, "/env/a%20b?q=%20", headers=(host, ("X-Custom", "one")))
    environ = json.loads(response.body)
    wanted = {
        "REQUEST_METHOD": "GET",
        "SCRIPT_NAME": "",
        "PATH_INFO": "/env/a b",
        "QUERY_STRING": "q=%20",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "SERVER_NAME": "example.test",
        "SERVER_PORT": str(mongrel2.port),
        "HTTP_X_CUSTOM": "one",
        "REMOTE_ADDR": "127.0.0.1",
        "wsgi.url_scheme": "http",
        "wsgi.multithread": True,
        "wsgi.multiprocess": True,
        "wsgi.run_once": False,
    }
    assert {key: environ.get(key) for key in wanted} == wanted


def test_an_ini_file(mongrel2: Mongrel2, start_server: Callable[..., Server], tmp_path: Path) -> None:
    (tmp_path / "site.ini").write_text(
        f"[uwsgi]\n; as it would stand in /etc\nzeromq = {mongrel2.pair}\nprocesses = 2\nthreads = 3\n"
        f"pythonpath = {APPS}\nmodule = probe\nenv = FLAVOUR=ini\nmaster = true\n"
    )
    server = start_server("--ini", str(tmp_path / "site.ini")).wait_ready(2)
    environ = environ_at(mongrel2)
    assert environ["os.environ"]["FLAVOUR"] == "ini"  # type: ignore[index]
    assert "2 processes x 3 threads" in server.log


def test_mounts(mongrel2: Mongrel2, start_server: Callable[..., Server]) -> None:
    mounts = ["--mount", "/f=flask_app:app", "--mount", "/b=bottle_app", "--mount", "/d=django_app"]
    args = ["--zeromq", mongrel2.pair, "--pythonpath", str(APPS), "--module", "probe", *mounts]
    start_server(*args).wait_ready()
    assert get(mongrel2.address, "/f/").text == "flask at /f"
    assert get(mongrel2.address, "/b/").text == "bottle at /b"
    assert get(mongrel2.address, "/d/").text == "django at /d"
    assert get(mongrel2.address, "/").text == "hello\n"
    assert get(mongrel2.address, "/fig").text == "no such probe", "/f must not take /fig"


def test_a_file(mongrel2: Mongrel2, start_server: Callable[..., Server], tmp_path: Path) -> None:
    (tmp_path / "my-site.wsgi").write_text(
        "def site(environ, start_response):\n"
        "    start_response('200 OK', [('Content-Length', '2')])\n"
        "    return [b'ok']\n"
    )
    start_server(
        "--zeromq", mongrel2.pair, "--wsgi-file", str(tmp_path / "my-site.wsgi"), "--callable", "site"
    ).wait_ready()
    assert get(mongrel2.address).text == "ok"


def test_a_factory(mongrel2: Mongrel2, serve: Callable[..., Server]) -> None:
    serve(mongrel2, module="probe:create_app()")
    assert get(mongrel2.address).get("x-made-by") == "create_app"


def test_env_chdir_and_pythonpath(mongrel2: Mongrel2, start_server: Callable[..., Server], tmp_path: Path) -> None:
    directory = tmp_path / "site"
    (directory / "lib").mkdir(parents=True)
    (directory / "lib" / "thing.py").write_text("from probe import application\n")
    args = ["--zeromq", mongrel2.pair, "--module", "thing", "--env", "COLOUR=green=blue"]
    paths = ["--chdir", str(directory), "--pythonpath", "lib", "--pythonpath", str(APPS)]
    start_server(*args, *paths).wait_ready()
    environ = environ_at(mongrel2)
    assert environ["cwd"] == str(directory)
    assert environ["os.environ"]["COLOUR"] == "green=blue"  # type: ignore[index]


def test_requests_are_logged_until_switched_off(
    start_mongrel2: Callable[..., Mongrel2], serve: Callable[..., Server]
) -> None:
    for options, count in (((), 1), (("--disable-logging",), 0)):
        mongrel2 = start_mongrel2()
        server = serve(mongrel2, processes=1, options=options)
        get(mongrel2.address, "/gen/1?seen")
        assert server.stop() == 0
        assert server.log.count("GET /gen/1?seen") == count


def test_a_slow_import_is_waited_for(mongrel2: Mongrel2, serve: Callable[..., Server]) -> None:
    serve(mongrel2, module="slow_import", processes=1)
    assert get(mongrel2.address).status == 200


def test_no_application_answers_500_and_the_server_stays(mongrel2: Mongrel2, serve: Callable[..., Server]) -> None:
    server = serve(mongrel2, module="broken")
    server.allow("broken on purpose")
    assert get(mongrel2.address).status == 500
    assert server.running()
    assert server.log.count("Traceback (most recent call last)") == 1
