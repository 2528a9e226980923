"""Configuration files from the file to an answer."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from support.http import get
from support.server import APPS

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from support.mongrel2 import Mongrel2
    from support.server import Server

PAIR = "tcp://127.0.0.1:1,tcp://127.0.0.1:2"
INI = """\
[uwsgi]
include = %dbase.yaml
print = two sites, %(processes) process
for = shop blog
mount = /%(_)=%(site)
endfor
if-env = STAGE=test
env = STAGE_OF_SITE=%(stage) of %n
endif
stage = $(STAGE)
raw-socket = :1
http-processes = 4
gevent = 100
set-ph = processes_too = 1
processes = %(processes_too)
declare-option2 = site-of=mount=/$1=$2;env=SITE_OF_$1=%(stage) %n
site-of = cellar %(site)
[unused]
processes = none
"""
BASE = """\
uwsgi:
  pythonpath:
    - {apps}
  site: probe
  threads: 2
  zeromq: {pair}
"""

WARNED = [
    r"WARNING .*app\.ini:11: raw-socket = :1: not in this version: ",
    r"WARNING .*app\.ini:13: gevent = 100: has no meaning here: requests run in threads",
    r"INFO .*app\.ini:12: http-processes = 4: changes nothing",
    r"INFO .*two sites, 1 process",
]


def test_a_file_with_everything_serves(mongrel2: Mongrel2, start_server: Callable[..., Server], tmp_path: Path) -> None:
    (tmp_path / "app.ini").write_text(INI)
    (tmp_path / "base.yaml").write_text(BASE.format(apps=APPS, pair=mongrel2.pair))
    server = start_server(str(tmp_path / "app.ini"), environment={"STAGE": "test"}).wait_ready()
    for site in ("shop", "blog"):
        environ = json.loads(get(mongrel2.address, f"/{site}/env").body)
        assert environ["SCRIPT_NAME"] == f"/{site}"
        assert environ["os.environ"]["STAGE_OF_SITE"] == "test of app"
    environ = json.loads(get(mongrel2.address, "/cellar/env").body)
    assert environ["SCRIPT_NAME"] == "/cellar"
    assert environ["os.environ"]["SITE_OF_cellar"] == "test app"
    assert get(mongrel2.address, "/").status == 404
    for pattern in WARNED:
        server.wait_log(pattern)
    assert server.stop() == 0


def test_show_config_goes_on(mongrel2: Mongrel2, start_server: Callable[..., Server]) -> None:
    args = ("--show-config", "--zmq", mongrel2.pair, "--module", "probe", "--pythonpath", str(APPS))
    server = start_server(*args, "-p", "2").wait_ready(2)
    assert server.log.startswith(f"[m2serve]\nmodule = probe\npythonpath = {APPS}\nzeromq = {mongrel2.pair}\n")
    assert get(mongrel2.address, "/").status == 200
    assert server.stop() == 0


@pytest.mark.parametrize(
    ("text", "code", "words"),
    [
        ("module = not.there\nraw-socket = :1\n", 0, ["module = not.there", "; app.ini:3", "; m2serve would start"]),
        ("module = a b\nthreads = many\n", 1, ["app.ini:3: module = a b: expected", "app.ini:4: threads = many"]),
        ("module = not.there\nraw-socket = :1\nstrict\n", 1, ["app.ini:4: raw-socket = :1: not in this version"]),
    ],
    ids=["would start", "mistakes", "strict"],
)
def test_check_starts_nothing(
    start_server: Callable[..., Server], tmp_path: Path, text: str, code: int, words: list[str]
) -> None:
    (tmp_path / "app.ini").write_text(f"[uwsgi]\nzeromq = {PAIR}\n{text}")
    server = start_server("--check", "app.ini", cwd=tmp_path)
    assert server.wait() == code
    assert all(word in server.log for word in words), server.log
    assert "spawned" not in server.log


def test_a_program_runs_only_when_the_command_line_allows_it(
    start_server: Callable[..., Server], tmp_path: Path
) -> None:
    (tmp_path / "app.ini").write_text(f"[uwsgi]\nzeromq = {PAIR}\nmodule = @(exec://echo again >>ran; echo probe)\n")
    refused = start_server("--check", "app.ini", cwd=tmp_path)
    assert refused.wait() == 1
    assert "expected --allow-exec on the command line" in refused.log
    assert not (tmp_path / "ran").exists()
    allowed = start_server("--check", "--allow-exec", "app.ini", cwd=tmp_path)
    assert allowed.wait() == 0
    assert "module = probe " in allowed.log
    assert (tmp_path / "ran").read_text() == "again\n"
