"""``--doctor`` beside a Mongrel2 that serves: it says what is so, and takes nothing."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

from support.load import Load
from support.server import ROOT

if TYPE_CHECKING:
    from collections.abc import Callable

    from support.mongrel2 import Mongrel2
    from support.server import Server


def doctor(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "m2serve", "--doctor", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)


def test_a_running_mongrel2_is_examined_and_not_disturbed(mongrel2: Mongrel2, serve: Callable[..., Server]) -> None:
    serve(mongrel2, options=("--disable-logging",))
    database = str(mongrel2.directory / "config.sqlite")
    with Load(mongrel2.address, clients=4) as load:
        load.more(50)
        done = doctor("--mongrel2-config", database)
        load.more(50)
    assert set(load.summary()) == {"200"}, load.summary()
    assert done.returncode == 0, done.stdout + done.stderr
    assert "a PUSH socket answers" in done.stdout and "a SUB socket answers" in done.stdout
    assert f"handler {mongrel2.ident} of main in {database}" in done.stdout
    assert "download.flow_control is off" in done.stdout
    assert done.stderr == ""


def test_one_that_does_not_run_and_one_the_wrong_way_round(start_mongrel2: Callable[..., Mongrel2]) -> None:
    mongrel2 = start_mongrel2()
    send, recv = mongrel2.pair.split(",")
    swapped = doctor("--zeromq", f"{recv},{send}")
    assert swapped.returncode == 1
    assert "are send_spec and recv_spec swapped?" in swapped.stdout
    mongrel2.kill()
    gone = doctor("--mongrel2-config", str(mongrel2.directory / "config.sqlite"), "--handler", mongrel2.ident)
    assert gone.returncode == 1
    assert gone.stdout.count("Mongrel2 does not run, or has another address") == 2
