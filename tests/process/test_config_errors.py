"""Mistakes in the settings: named with their place, exit code 1, and nothing is started."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from support.server import Server

PAIR = "tcp://127.0.0.1:1,tcp://127.0.0.1:2"


def refused(server: Server) -> str:
    assert server.wait() == 1
    assert "spawned" not in server.log
    assert "nothing was started" in server.log
    assert "Traceback" not in server.log
    return server.log


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["--module", "probe"], ["zeromq", "with-mongrel2"]),
        (["--zeromq", PAIR], ["no application"]),
        (["--zeromq", PAIR, "--module", "probe", "-p", "0"], ["-p 0: expected"]),
        (["--zeromq", PAIR, "--module", "probe", "--threads", "many"], ["threads", "many"]),
        (["--zeromq", PAIR, "--module", "probe", "--thread", "4"], ["thread", "threads"]),
        (["--zeromq", "tcp://127.0.0.1:1", "--module", "probe"], ["zeromq", "tcp://127.0.0.1:1"]),
        (["--zeromq", PAIR, "--zeromq", PAIR, "--module", "probe"], ["used 2 times"]),
        (["--zeromq", "http://a,http://b", "--module", "probe"], ["http://a"]),
        (["--zeromq", PAIR, "--wsgi-file", "missing.py"], ["missing.py"]),
        (["--zeromq", PAIR, "--module", "probe", "--chdir", "/nonexistent"], ["/nonexistent"]),
        (["--ini", "missing.ini"], ["missing.ini"]),
        (["--zeromq", PAIR, "--module", "probe", "--logto", "/nonexistent/log"], ["/nonexistent/log"]),
    ],
    ids=lambda value: " ".join(value)[:60].replace("/", "_") if isinstance(value, list) else "",
)
def test_a_mistake_on_the_command_line(start_server: Callable[..., Server], args: list[str], words: list[str]) -> None:
    log = refused(start_server(*args))
    assert all(word in log for word in words), log


def test_a_mistake_in_a_file_has_its_line(start_server: Callable[..., Server], tmp_path: Path) -> None:
    (tmp_path / "site.ini").write_text(f"[uwsgi]\nzeromq = {PAIR}\nmodule = probe\n\nthreads = many\nprocesses = -1\n")
    log = refused(start_server("--ini", str(tmp_path / "site.ini")))
    assert "site.ini:5" in log
    assert "site.ini:6" in log, "all mistakes are named at once"


def test_an_unknown_key_is_refused_when_strict(start_server: Callable[..., Server], tmp_path: Path) -> None:
    (tmp_path / "site.ini").write_text(f"[uwsgi]\nstrict = true\nzeromq = {PAIR}\nmodule = probe\nthreds = 4\n")
    log = refused(start_server("--ini", str(tmp_path / "site.ini")))
    assert "site.ini:5" in log
    assert "threads" in log, "the right name is proposed"


def test_an_unknown_key_is_warned_about(start_server: Callable[..., Server], tmp_path: Path) -> None:
    (tmp_path / "site.ini").write_text(
        f"[uwsgi]\nzeromq = {PAIR}\nmodule = wsgiref.simple_server:demo_app\nthreds = 4\n"
    )
    server = start_server("--ini", str(tmp_path / "site.ini")).wait_ready()
    server.wait_log(r"WARNING.*site\.ini:4.*threds")
    assert server.stop() == 0
