"""The files under ``conf/`` do what they say: each is started, with nothing but ports, places and users replaced."""

from __future__ import annotations

import configparser
import contextlib
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from support.http import Connection, get, request_bytes
from support.manager import Manager
from support.mongrel2 import require
from support.ports import free_ports
from support.server import ROOT, wait_until

from m2serve.config.settings import Settings
from m2serve.errors import ExitCode

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from support.server import Server

CONF = ROOT / "conf"
UNITS = ("m2serve.service", "m2serve@.service")
DOORS = {"uwsgi": ("--socket", "3031"), "fastcgi": ("--fastcgi-socket", "9000"), "http": ("--http", "8000")}
"""What nginx may speak to us, the option for it, and the port in its file."""
NGINX = shutil.which("nginx", path=f"{os.environ['PATH']}:/usr/sbin")


def answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@pytest.fixture
def ports() -> dict[str, str]:
    """By the port in the files the one that is used instead."""
    require()
    used = ("6767", "9997", "9996", "8080", "9191", "3031", "8000", "9000")
    return dict(zip(used, map(str, free_ports(len(used))), strict=True))


@pytest.fixture
def replaced(tmp_path: Path, ports: dict[str, str]) -> Callable[[str], Path]:
    def copy(name: str) -> Path:
        text = (CONF / name).read_text()
        for old, new in ports.items():
            text = re.sub(rf"(?<=[:=]){old}\b|(?<=listen ){old}\b", new, text)
        target = tmp_path / name
        target.write_text(text)
        return target

    return copy


@contextlib.contextmanager
def running(command: list[str], directory: Path, port: int) -> Iterator[None]:
    """A program that listens at that port."""
    with (directory / f"{command[0].rpartition('/')[2]}.out").open("wb") as output:
        environment = {**os.environ, "LOGNAME": "tests"}
        process = subprocess.Popen(command, cwd=directory, env=environment, stdout=output, stderr=output)
    try:
        wait_until(lambda: answers(port) or process.poll() is not None, 30, f"{command[0]} listens")
        assert process.poll() is None, Path(output.name).read_text()
        yield
    finally:
        process.terminate()
        process.wait(30)


@pytest.fixture
def front(tmp_path: Path, ports: dict[str, str], replaced: Callable[[str], Path]) -> Iterator[int]:
    """Mongrel2 from ``conf/mongrel2.conf``, by the commands in its comment."""
    for directory in ("run", "logs", "tmp"):
        (tmp_path / directory).mkdir(exist_ok=True)
    database = tmp_path / "config.sqlite"
    load = ["m2sh", "load", "-config", str(replaced("mongrel2.conf")), "-db", str(database)]
    subprocess.run(load, check=True, capture_output=True, cwd=tmp_path)
    with running(["mongrel2", str(database), "m2serve-demo"], tmp_path, int(ports["6767"])):
        yield int(ports["6767"])


@pytest.fixture
def production(
    front: int, tmp_path: Path, replaced: Callable[[str], Path], start_server: Callable[..., Server]
) -> Callable[..., Server]:
    """Start conf/app.ini; its log is where that says."""

    def start(**variables: str) -> Server:
        (tmp_path / "run" / "logreopen").touch()
        server = start_server(str(replaced("app.ini")), cwd=tmp_path, environment=variables)
        log = tmp_path / "logs" / "app.log"
        wait_until(lambda: log.exists() or not server.running(), 30, "a log")
        if log.exists():
            server.log_path = log
        return server.wait_ready(4)

    return start


def test_every_file_is_tested() -> None:
    names = ["app.ini", "development.ini", "http.ini", "logrotate", *UNITS, "mongrel2.conf", "nginx.conf"]
    names += [f"nginx-{protocol}.conf" for protocol in DOORS]
    assert sorted(path.name for path in CONF.iterdir()) == sorted(names)


def test_app_ini_behind_mongrel2_conf(front: int, tmp_path: Path, production: Callable[..., Server]) -> None:
    server = production()
    assert "bodies over 65536 bytes tmp/upload.XXXXXX, flow control on" in server.log
    assert "WARNING" not in server.log
    response = get(("127.0.0.1", front), "/")
    assert response.status == 200
    assert b"WSGI" in response.body
    for size in (65_536, 900_000):  # within the request, and through a file
        assert get(("127.0.0.1", front), "/", method="POST", body=b"x" * size).status == 200
    with Connection(("127.0.0.1", front)) as connection:
        large = (("Content-Length", str(101 * 1024 * 1024)),)
        connection.send(request_bytes("/", method="POST", headers=large))
        assert connection.read().status == 413
    wait_until(lambda: not any((tmp_path / "tmp").iterdir()), 20, "the upload is removed")
    with socket.socket(socket.AF_UNIX) as stats:
        stats.connect(str(tmp_path / "run" / "stats"))
        assert stats.recv(1) == b"{"
    assert (tmp_path / "run" / "app.pid").read_text() == f"{server.pid}\n"
    mark = server.mark()
    (tmp_path / "run" / "fifo").write_text("c")
    server.wait_ready(4, after=mark)
    assert server.stop() == 0
    assert not any((tmp_path / "run").glob("app.pid"))


def test_development_ini(
    tmp_path: Path, ports: dict[str, str], replaced: Callable[[str], Path], start_server: Callable[..., Server]
) -> None:
    module = tmp_path / "changing.py"
    module.touch()
    server = start_server(str(replaced("development.ini")), "--pyimport", "changing", cwd=tmp_path).wait_ready()
    # its Mongrel2 is started at the same time, and may be later than the first attempt to reach it
    warnings = [line for line in server.log.splitlines() if "WARNING" in line and "waits for Mongrel2" not in line]
    assert warnings == []
    address = ("127.0.0.1", int(ports["8080"]))
    server.wait_log("serving on")
    assert b"WSGI" in get(address, "/").body
    assert get(address, "/", method="POST", body=b"x" * 900_000).status == 200
    with Connection(("127.0.0.1", int(ports["9191"]))) as connection:
        connection.send(request_bytes("/"))
        assert connection.read().body.startswith(b"{")
    mark = server.mark()
    module.write_text("changed = True\n")
    server.wait_ready(after=mark)
    assert get(address, "/").status == 200
    assert server.stop() == 0


def test_http_ini(
    tmp_path: Path, ports: dict[str, str], replaced: Callable[[str], Path], start_server: Callable[..., Server]
) -> None:
    (tmp_path / "run").mkdir()
    server = start_server(str(replaced("http.ini")), cwd=tmp_path).wait_ready(2)
    assert "WARNING" not in server.log
    with Connection(("127.0.0.1", int(ports["8080"]))) as client:
        assert b"WSGI" in client.request("/").body
        assert client.request("/", method="POST", body=b"x" * 900_000).status == 200
        assert client.request("/", method="POST", headers=(("Content-Length", str(10**9)),)).status == 413
    with socket.socket(socket.AF_UNIX) as stats:
        stats.connect(str(tmp_path / "run" / "stats"))
        assert stats.recv(1) == b"{"
    mark = server.mark()
    (tmp_path / "run" / "fifo").write_text("c")
    server.wait_ready(2, after=mark)
    assert get(("127.0.0.1", int(ports["8080"])), "/").status == 200
    assert server.stop() == 0


def test_the_line_in_the_readme(tmp_path: Path, ports: dict[str, str], start_server: Callable[..., Server]) -> None:
    """What a newcomer without Mongrel2 is told to type."""
    lines = re.findall(r"^m2serve --http .*$", (ROOT / "README.md").read_text(), re.MULTILINE)
    assert len(lines) == 1
    program, *words = shlex.split(lines[0].replace(":8080", f"127.0.0.1:{ports['8080']}"))
    assert program == "m2serve"
    server = start_server(*words, cwd=tmp_path).wait_ready()
    assert b"WSGI" in get(("127.0.0.1", int(ports["8080"])), "/").body
    assert "WARNING" not in server.log
    assert server.stop() == 0


@pytest.mark.skipif(NGINX is None, reason="nginx is not installed (Debian: nginx-light)")
def test_nginx_in_front(
    front: int,
    tmp_path: Path,
    ports: dict[str, str],
    replaced: Callable[[str], Path],
    production: Callable[..., Server],
) -> None:
    production()
    # as root it would give its work to somebody who cannot enter our directory
    own = "daemon off;" + (" user root;" if os.geteuid() == 0 else "")
    command = [str(NGINX), "-p", str(tmp_path), "-c", str(replaced("nginx.conf")), "-g", own]
    with running(command, tmp_path, int(ports["8080"])), Connection(("127.0.0.1", int(ports["8080"]))) as client:
        for _ in range(3):
            page = client.request("/path?query=%20", headers=(("Host", "shop.test:8080"),))
            assert page.status == 200
            found = dict(re.findall(r"<th>(\w[\w.]*)\s*<td><code>&#39;(.*?)&#39;</code>", page.text))
            assert found["PATH_INFO"] == "/path"
            assert found["QUERY_STRING"] == "query=%20"
            assert found["HTTP_HOST"] == "shop.test:8080"
            assert found["HTTP_X_REAL_IP"] == "127.0.0.1"
            assert found["HTTP_X_FORWARDED_PROTO"] == "http"
        assert client.request("/", method="POST", body=b"x" * 900_000).status == 200
        chunked = (("Transfer-Encoding", "chunked"),)
        client.send(request_bytes("/", method="POST", headers=chunked) + b"ea60\r\n" + bytes(60_000) + b"\r\n0\r\n\r\n")
        assert client.read().status == 200
        assert client.request("/", method="POST", headers=(("Content-Length", str(10**9)),)).status == 413
    wait_until(lambda: not [path for path in (tmp_path / "tmp").iterdir() if path.is_file()], 20, "no upload is left")


@pytest.mark.skipif(NGINX is None, reason="nginx is not installed (Debian: nginx-light)")
@pytest.mark.parametrize("protocol", DOORS)
def test_nginx_in_front_of_a_socket_of_our_own(
    protocol: str,
    tmp_path: Path,
    ports: dict[str, str],
    replaced: Callable[[str], Path],
    start_server: Callable[..., Server],
) -> None:
    option, port = DOORS[protocol]
    for directory in ("run", "logs", "tmp"):
        (tmp_path / directory).mkdir()
    server = start_server(option, f"127.0.0.1:{ports[port]}", "--module", "wsgiref.simple_server:demo_app")
    server.wait_ready()
    own = "daemon off;" + (" user root;" if os.geteuid() == 0 else "")
    command = [str(NGINX), "-p", str(tmp_path), "-c", str(replaced(f"nginx-{protocol}.conf")), "-g", own]
    with running(command, tmp_path, int(ports["8080"])), Connection(("127.0.0.1", int(ports["8080"]))) as client:
        for _ in range(3):
            page = client.request("/pa%74h/x?query=%20", headers=(("Host", "shop.test:8080"), ("X-Own", "1")))
            assert page.status == 200
            found = dict(re.findall(r"^([\w.]+) = '(.*)'$", page.text, re.MULTILINE))
            assert (found["SCRIPT_NAME"], found["PATH_INFO"]) == ("", "/path/x")
            assert (found["QUERY_STRING"], found["REQUEST_METHOD"]) == ("query=%20", "GET")
            # Debian's own files leave out the port.
            assert found["HTTP_HOST"] in ("shop.test", "shop.test:8080")
            assert found["HTTP_X_OWN"] == "1"
            assert (found["REMOTE_ADDR"], found["wsgi.url_scheme"]) == ("127.0.0.1", "http")
        assert client.request("/", method="POST", body=b"x" * 900_000).status == 200
        chunked = (("Transfer-Encoding", "chunked"),)
        client.send(request_bytes("/", method="POST", headers=chunked) + b"ea60\r\n" + bytes(60_000) + b"\r\n0\r\n\r\n")
        assert client.read().status == 200
        assert client.request("/", method="HEAD").body == b""
    assert server.stop() == 0


def test_logrotate(front: int, tmp_path: Path, production: Callable[..., Server]) -> None:
    """Does what logrotate would: it renames the log, and runs the command between postrotate and endscript."""
    text = (CONF / "logrotate").read_text().replace("/srv/app", str(tmp_path))
    block = re.search(r"^(/\S+) \{\n(.*)^\}", text, re.MULTILINE | re.DOTALL)
    assert block is not None
    command = re.search(r"^ +postrotate\n(.*?)^ +endscript", block[2], re.MULTILINE | re.DOTALL)
    assert command is not None
    log, old = Path(block[1]), tmp_path / "logs" / "app.log.1"
    server = production()
    assert server.log_path == log
    for _ in range(2):
        before = log.read_text()
        log.rename(old)
        subprocess.run(["sh", "-c", command[1]], check=True)
        wait_until(lambda: log.exists() and "log file opened again" in log.read_text(), 30, "another log")
        assert get(("127.0.0.1", front), "/after").status == 200
        wait_until(lambda: "GET /after" in log.read_text() or "GET /after" in old.read_text(), 30, "its line")
        assert old.read_text().startswith(before)
    assert server.stop() == 0
    assert "goodbye" in log.read_text()


def unit_of(name: str) -> configparser.SectionProxy:
    """The section [Service] of the unit file; a line of it that repeats another would raise."""
    parser = configparser.ConfigParser(interpolation=None, delimiters="=", comment_prefixes="#")
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read(CONF / name)
    assert parser.sections() == ["Unit", "Service", "Install"]
    return parser["Service"]


@pytest.mark.parametrize("name", UNITS)
def test_the_units_fit_our_exit_codes_and_mercies(name: str) -> None:
    settings, unit = Settings(), unit_of(name)
    assert float(unit["TimeoutStopSec"]) > settings.worker_reload_mercy + 2 * settings.reload_mercy + 2
    assert unit["RestartPreventExitStatus"].split() == [str(int(ExitCode.CONFIG)), str(int(ExitCode.APP_LOAD))]
    assert unit["KillSignal"] == "SIGTERM"


def test_the_template_is_the_unit_for_any_name() -> None:
    single, template = (dict(unit_of(name)) for name in UNITS)
    for key in ("WorkingDirectory", "ExecStart"):
        assert template.pop(key).replace("/srv/%i", "/srv/app") == single.pop(key)
    assert template.pop("User") == "%i"
    del single["User"]
    assert template == single


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not installed")
@pytest.mark.parametrize("name", UNITS)
def test_systemd_understands_the_units(tmp_path: Path, name: str) -> None:
    text = (CONF / name).read_text().replace(unit_of(name)["ExecStart"], "/bin/true").replace("User=%i", "User=root")
    (tmp_path / name).write_text(text)
    command = ["systemd-analyze", "verify", str(tmp_path / name.replace("@.", "@shop."))]
    (tmp_path / name.replace("@.", "@shop.")).write_text(text)
    done = subprocess.run(command, capture_output=True, text=True, timeout=50)
    assert not [line for line in done.stderr.splitlines() if "m2serve" in line]


@pytest.mark.parametrize("name", UNITS)
def test_a_unit_behind_mongrel2_conf(front: int, tmp_path: Path, production: Callable[..., Server], name: str) -> None:
    """Does what systemd would: the command lines, the variables, the order of messages."""
    unit = unit_of(name)
    program, ini = shlex.split(unit["ExecStart"])
    directory = unit["WorkingDirectory"]
    assert program == f"{directory}/.venv/bin/m2serve"
    assert ini == f"{directory}/conf/app.ini"
    manager = Manager(str(tmp_path / "notify"))
    variables = {"NOTIFY_SOCKET": manager.address, "WATCHDOG_USEC": str(int(unit["WatchdogSec"]) * 1_000_000)}
    try:
        server = production(**variables)
        pid = manager.wait_for("READY")["MAINPID"]
        assert pid == str(server.pid)
        assert get(("127.0.0.1", front), "/").status == 200
        # not run itself: a machine without systemd may lack the program, too
        assert shlex.split(unit["ExecReload"]) == ["/bin/kill", "-HUP", "$MAINPID"]
        os.kill(int(pid), signal.SIGHUP)
        manager.wait_for("RELOADING")
        manager.wait_for("READY")
        assert get(("127.0.0.1", front), "/").status == 200
        assert any("WATCHDOG" in message for message in manager.said)
        assert server.stop() == 0
        manager.wait_for("STOPPING")
    finally:
        manager.close()
