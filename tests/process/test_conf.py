"""The files under ``conf/`` do what they say: each is started, with nothing but the ports replaced."""

from __future__ import annotations

import os
import socket
import subprocess
from typing import TYPE_CHECKING

import pytest
from support.http import get
from support.mongrel2 import require
from support.ports import free_ports
from support.server import ROOT, wait_until

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
        wait_until(lambda: answers(port), 10, "mongrel2 listens")
        yield port
    finally:
        process.terminate()
        process.wait(5)


def test_every_file_is_tested() -> None:
    assert sorted(path.name for path in CONF.iterdir()) == ["app.ini", "mongrel2.conf"]


def test_app_ini_behind_mongrel2_conf(
    front: int, tmp_path: Path, replaced: Callable[[str], Path], start_server: Callable[..., Server]
) -> None:
    server = start_server(str(replaced("app.ini")), cwd=tmp_path)
    server.wait_log(r"all 4 workers ready")
    assert "bodies over 65536 bytes tmp/upload.XXXXXX" in server.log
    assert "WARNING" not in server.log
    response = get(("127.0.0.1", front), "/")
    assert response.status == 200
    assert b"WSGI" in response.body
    for size in (65_536, 900_000):  # within the request, and through a file
        assert get(("127.0.0.1", front), "/", method="POST", body=b"x" * size).status == 200
    wait_until(lambda: not any((tmp_path / "tmp").iterdir()), 5, "the upload is removed")
    assert server.stop() == 0
