"""The application runs with the packages of a virtual environment, and with no others."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import markupsafe
from support.http import get

if TYPE_CHECKING:
    from collections.abc import Callable

    from support.mongrel2 import Mongrel2
    from support.server import Server

APPLICATION = """\
import importlib, json, sys

def found(name):
    try:
        module = importlib.import_module(name)
    except ImportError:
        return None
    return getattr(module, "__file__", None)

def application(environ, start_response):
    start_response("200 OK", [("Content-Type", "application/json")])
    names = ("inside", "beside", "markupsafe._speedups", "psutil", "flask", "multiprocessing")
    answer = {name: found(name) for name in names}
    answer["prefix"] = [sys.prefix, sys.exec_prefix]
    answer["executable"] = sys.executable
    answer["pth"] = getattr(sys, "pth_of_inside", None)
    return [json.dumps(answer).encode()]
"""


def test_packages_of_an_environment(mongrel2: Mongrel2, start_server: Callable[..., Server], tmp_path: Path) -> None:
    venv, site, beside = tmp_path / "venv", tmp_path / "site", tmp_path / "beside"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(venv)], check=True, timeout=25)
    packages = next(venv.glob("lib/python*/site-packages"))
    (packages / "inside.py").write_text("")
    beside.mkdir()
    (beside / "beside.py").write_text("")
    (packages / "inside.pth").write_text(f"import sys; sys.pth_of_inside = 1\n{beside}\n")
    # one with a C extension, and one that m2serve has loaded already, in another version
    shutil.copytree(Path(markupsafe.__file__).parent, packages / "markupsafe")
    (packages / "psutil.py").write_text("")
    site.mkdir()
    (site / "app.py").write_text(APPLICATION)
    (tmp_path / "app.ini").write_text(
        f"[uwsgi]\nchdir = {site}\nhome = ../venv\nmodule = app\nzeromq = {mongrel2.pair}\n"
    )
    server = start_server(str(tmp_path / "app.ini")).wait_ready()
    answer = json.loads(get(mongrel2.address, "/").body)
    assert answer["inside"] == str(packages / "inside.py")
    assert answer["beside"] == str(beside / "beside.py")
    assert answer["pth"] == 1
    assert answer["markupsafe._speedups"].startswith(str(packages))
    assert answer["psutil"] == str(packages / "psutil.py")
    assert answer["flask"] is None
    assert answer["multiprocessing"] is not None
    assert answer["prefix"] == [str(venv), str(venv)]
    assert answer["executable"] == str(venv / "bin" / "python")
    assert server.stop() == 0


def test_an_environment_of_another_version_starts_nothing(start_server: Callable[..., Server], tmp_path: Path) -> None:
    (tmp_path / "lib" / "python3.1" / "site-packages").mkdir(parents=True)
    (tmp_path / "pyvenv.cfg").write_text("version = 3.1.4\n")
    door = ("--zeromq", "tcp://127.0.0.1:1,tcp://127.0.0.1:2", "--module", "probe")
    server = start_server(*door, "-H", str(tmp_path))
    assert server.wait(25) == 1
    assert "command line: virtualenv: " in server.log
    assert "made for another Python (3.1.4)" in server.log
    assert f"Python {sys.version_info[0]}.{sys.version_info[1]}" in server.log
    assert "spawned" not in server.log
