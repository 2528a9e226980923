"""``--with-mongrel2``: one command, and a web server answers."""

from __future__ import annotations

import contextlib
import os
import signal
from typing import TYPE_CHECKING

import psutil
import pytest
from support.http import get
from support.mongrel2 import require
from support.ports import free_ports
from support.server import APPS, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from support.server import Server


@pytest.fixture
def port() -> int:
    require()
    return free_ports(1)[0]


def arguments(port: int, *options: str) -> list[str]:
    application = ["--pythonpath", str(APPS), "--module", "probe"]
    return ["--with-mongrel2", f"127.0.0.1:{port}", "-p", "2", "--threads", "2", *application, *options]


def mongrels(server: Server) -> list[psutil.Process]:
    found = []
    for child in psutil.Process(server.pid).children():
        with contextlib.suppress(psutil.Error):  # it may end while we look
            if child.name() == "mongrel2" and child.status() != psutil.STATUS_ZOMBIE:
                found.append(child)
    return found


@pytest.mark.parametrize("protocol", ["tnetstring", "json"])
@pytest.mark.parametrize("options", [(), ("--zeromq-direct",)], ids=["dispatched", "direct"])
def test_one_command_serves(
    port: int, start_server: Callable[..., Server], protocol: str, options: tuple[str, ...]
) -> None:
    server = start_server(*arguments(port, "--mongrel2-protocol", protocol, *options))
    server.wait_log(rf"serving on http://127\.0\.0\.1:{port}/")
    assert f"flow control {'off' if options else 'on'}" in server.log
    assert get(("127.0.0.1", port)).text == "hello\n"
    assert get(("127.0.0.1", port), "/echo", method="POST", body=b"x" * 10000).body == b"x" * 10000
    (front,) = mongrels(server)
    assert server.stop() == 0
    assert not front.is_running()


def test_it_is_started_again(port: int, start_server: Callable[..., Server]) -> None:
    server = start_server(*arguments(port))
    server.wait_log("serving on")
    (front,) = mongrels(server)
    front.send_signal(signal.SIGKILL)
    wait_until(lambda: any(one.pid != front.pid for one in mongrels(server)), 20, "another Mongrel2")
    wait_until(lambda: answers(port), 20, "it answers")
    assert get(("127.0.0.1", port)).status == 200


def answers(port: int) -> bool:
    try:
        return get(("127.0.0.1", port)).status == 200
    except OSError:
        return False


def test_it_dies_with_a_killed_master(port: int, start_server: Callable[..., Server]) -> None:
    server = start_server(*arguments(port))
    server.wait_log("serving on")
    server.kill_master()
    wait_until(lambda: not server.strays(), 20, f"nothing is left: {server.strays()}")


def test_its_files_stay_where_asked(port: int, start_server: Callable[..., Server], tmp_path: Path) -> None:
    directory = tmp_path / "mongrel2 files"
    server = start_server(*arguments(port, "--mongrel2-dir", str(directory)))
    server.wait_log("serving on")
    assert (directory / "config.sqlite").exists()
    assert get(("127.0.0.1", port)).status == 200


def test_an_upload_leaves_nothing(port: int, start_server: Callable[..., Server], tmp_path: Path) -> None:
    server = start_server(*arguments(port, "--mongrel2-dir", str(tmp_path / "m2")))
    server.wait_log("serving on")
    body = bytes(range(256)) * 4000
    assert get(("127.0.0.1", port), "/echo", method="POST", body=body).body == body
    wait_until(lambda: not list((tmp_path / "m2").glob("upload.*")), 20, "the file is removed")


def test_settings_of_its_own_reach_it(port: int, start_server: Callable[..., Server]) -> None:
    own = ("--mongrel2-setting", "limits.content_length=16384", "--mongrel2-setting", "upload.stream=1")
    server = start_server(*arguments(port, *own))
    server.wait_log("serving on")
    assert "bodies over 16384 bytes in pieces" in server.log
    assert get(("127.0.0.1", port), "/echo", method="POST", body=b"x" * 16384).body == b"x" * 16384


def test_a_setting_that_breaks_it_is_an_error(port: int, start_server: Callable[..., Server]) -> None:
    server = start_server(*arguments(port, "--mongrel2-setting", "server.daemonize=1"))
    server.allow("nothing was started")
    assert server.wait() == 1
    assert "server.daemonize: expected 0" in server.log
    assert "spawned" not in server.log


def test_a_taken_port_is_an_error(port: int, start_server: Callable[..., Server]) -> None:
    first = start_server(*arguments(port))
    first.wait_log("serving on")
    second = start_server(*arguments(port))
    second.allow("Address already in use")
    assert second.wait() == 1
    assert "Address already in use" in second.log
    assert "spawned" not in second.log


def test_a_missing_binary_names_its_package(start_server: Callable[..., Server], tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    server = start_server(*arguments(6767), environment={"PATH": str(tmp_path / "bin")})
    server.allow("mongrel2-core")
    assert server.wait() == 1
    assert "mongrel2-core" in server.log
    assert "spawned" not in server.log


def test_a_missing_binary_of_another_name(port: int, start_server: Callable[..., Server]) -> None:
    server = start_server(*arguments(port, "--mongrel2-binary", "/nonexistent/mongrel2"))
    server.allow("mongrel2-core")
    assert server.wait() == 1
    assert "/nonexistent/mongrel2" in server.log


def test_a_reload_does_not_touch_it(port: int, start_server: Callable[..., Server]) -> None:
    server = start_server(*arguments(port)).wait_ready(2)
    server.wait_log("serving on")
    (front,) = mongrels(server)
    mark = server.mark()
    os.kill(server.pid, signal.SIGHUP)
    server.wait_ready(2, after=mark)
    assert [one.pid for one in mongrels(server)] == [front.pid]
    assert get(("127.0.0.1", port)).status == 200
