"""``flock``: one server at a time."""

from __future__ import annotations

import fcntl
import os
import signal
from typing import TYPE_CHECKING

from support.server import APPS, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from support.server import Server

# Nobody listens there: workers are ready all the same.
ENOUGH = ("--zmq", "ipc:///nowhere/a,ipc:///nowhere/b", "--pythonpath", str(APPS), "--module", "probe")


def is_free(path: Path) -> bool:
    """For a process that asks as uWSGI does."""
    fd = os.open(path, os.O_RDWR)
    try:
        fcntl.lockf(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    finally:
        os.close(fd)
    return True


def test_one_at_a_time(start_server: Callable[..., Server], tmp_path: Path) -> None:
    file = tmp_path / "lock"
    file.touch()
    first = start_server(*ENOUGH, "--flock", str(file)).wait_ready()
    assert not is_free(file)
    second = start_server(*ENOUGH, "--flock2", str(file))
    second.allow("somebody else has locked it")
    assert second.wait(30) == 1
    assert f"flock2 = {file}: somebody else has locked it" in second.log
    # an upgrade keeps it, and nobody can have it between
    mark = first.mark()
    first.signal(signal.SIGUSR2)
    first.wait_ready(after=mark)
    assert not is_free(file)
    waiting = start_server(*ENOUGH, "--flock-wait", str(file))
    waiting.wait_log(r"waiting for \S+lock, which somebody else has locked")
    assert first.stop() == 0
    waiting.wait_ready()
    assert not is_free(file)
    waiting.kill_master()
    wait_until(lambda: is_free(file), 20, "whoever had it has gone")


def test_a_file_that_is_not_there(start_server: Callable[..., Server], tmp_path: Path) -> None:
    server = start_server(*ENOUGH, "--flock", str(tmp_path / "none"))
    assert server.wait(30) == 1
    assert f"command line: flock = {tmp_path}/none: No such file or directory" in server.log
