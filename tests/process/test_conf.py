"""The files under ``conf/`` do what they say: each is started, with nothing but the ports replaced."""

from __future__ import annotations

import configparser
import os
import shlex
import shutil
import signal
import socket
import subprocess
from typing import TYPE_CHECKING

import pytest
from support.http import get
from support.manager import Manager
from support.mongrel2 import require
from support.ports import free_ports
from support.server import ROOT, wait_until

from m2serve.config.settings import Settings
from m2serve.errors import ExitCode

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from support.server import Server

CONF = ROOT / "conf"


def answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@pytest.fixture
def ports() -> dict[str, str]:
    require()
    return dict(zip(("6767", "9997", "9996"), map(str, free_ports(3)), strict=True))


@pytest.fixture
def replaced(tmp_path: Path, ports: dict[str, str]) -> Callable[[str], Path]:
    def copy(name: str) -> Path:
        text = (CONF / name).read_text()
        for old, new in ports.items():
            text = text.replace(f":{old}", f":{new}").replace(f"port={old}", f"port={new}")
        target = tmp_path / name
        target.write_text(text)
        return target

    return copy


@pytest.fixture
def front(tmp_path: Path, ports: dict[str, str], replaced: Callable[[str], Path]) -> Iterator[int]:
    """Mongrel2 from ``conf/mongrel2.conf``, by the commands in its comment."""
    for directory in ("run", "logs", "tmp"):
        (tmp_path / directory).mkdir(exist_ok=True)
    database = tmp_path / "config.sqlite"
    load = ["m2sh", "load", "-config", str(replaced("mongrel2.conf")), "-db", str(database)]
    subprocess.run(load, check=True, capture_output=True, cwd=tmp_path)
    environment = {**os.environ, "LOGNAME": "tests"}
    with (tmp_path / "mongrel2.out").open("wb") as output:
        process = subprocess.Popen(
            ["mongrel2", str(database), "m2serve-demo"], cwd=tmp_path, env=environment, stdout=output, stderr=output
        )
    try:
        port = int(ports["6767"])
        wait_until(lambda: answers(port), 20, "mongrel2 listens")
        yield port
    finally:
        process.terminate()
        process.wait(20)


def test_every_file_is_tested() -> None:
    assert sorted(path.name for path in CONF.iterdir()) == ["app.ini", "m2serve.service", "mongrel2.conf"]


def test_app_ini_behind_mongrel2_conf(
    front: int, tmp_path: Path, replaced: Callable[[str], Path], start_server: Callable[..., Server]
) -> None:
    server = start_server(str(replaced("app.ini")), cwd=tmp_path)
    server.wait_log(r"all 4 workers ready")
    assert "bodies over 65536 bytes tmp/upload.XXXXXX, flow control on" in server.log
    assert "WARNING" not in server.log
    response = get(("127.0.0.1", front), "/")
    assert response.status == 200
    assert b"WSGI" in response.body
    for size in (65_536, 900_000):  # within the request, and through a file
        assert get(("127.0.0.1", front), "/", method="POST", body=b"x" * size).status == 200
    wait_until(lambda: not any((tmp_path / "tmp").iterdir()), 20, "the upload is removed")
    assert server.stop() == 0


@pytest.fixture
def unit() -> configparser.SectionProxy:
    """The section [Service] of the unit file; a line of it that repeats another would raise."""
    parser = configparser.ConfigParser(interpolation=None, delimiters="=", comment_prefixes="#")
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read(CONF / "m2serve.service")
    assert parser.sections() == ["Unit", "Service", "Install"]
    return parser["Service"]


def test_the_unit_fits_our_exit_codes_and_mercies(unit: configparser.SectionProxy) -> None:
    settings = Settings()
    assert float(unit["TimeoutStopSec"]) > settings.worker_reload_mercy + 2 * settings.reload_mercy + 2
    assert unit["RestartPreventExitStatus"].split() == [str(int(ExitCode.CONFIG)), str(int(ExitCode.APP_LOAD))]
    assert unit["KillSignal"] == "SIGTERM"


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not installed")
def test_systemd_understands_the_unit(tmp_path: Path, unit: configparser.SectionProxy) -> None:
    text = (CONF / "m2serve.service").read_text().replace(unit["ExecStart"], "/bin/true")
    (tmp_path / "m2serve.service").write_text(text)
    command = ["systemd-analyze", "verify", str(tmp_path / "m2serve.service")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=20)
    assert not [line for line in done.stderr.splitlines() if "m2serve.service" in line]


def test_the_unit_behind_mongrel2_conf(
    front: int,
    tmp_path: Path,
    replaced: Callable[[str], Path],
    start_server: Callable[..., Server],
    unit: configparser.SectionProxy,
) -> None:
    """Does what systemd would: the command lines, the variables, the order of messages."""
    program, ini = shlex.split(unit["ExecStart"])
    directory = unit["WorkingDirectory"]
    assert program == f"{directory}/.venv/bin/m2serve"
    assert ini == f"{directory}/conf/app.ini"
    manager = Manager(str(tmp_path / "notify"))
    variables = {"NOTIFY_SOCKET": manager.address, "WATCHDOG_USEC": str(int(unit["WatchdogSec"]) * 1_000_000)}
    try:
        server = start_server(str(replaced("app.ini")), cwd=tmp_path, environment=variables)
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
