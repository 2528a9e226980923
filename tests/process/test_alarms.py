"""Alarms, through real processes."""

from __future__ import annotations

import contextlib
import os
import signal
from typing import TYPE_CHECKING

from support.http import get
from support.server import APPS, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from support.mongrel2 import Mongrel2
    from support.server import Server


def test_commands_are_told(mongrel2: Mongrel2, serve: Callable[..., Server], tmp_path: Path) -> None:
    told, died = tmp_path / "told", tmp_path / "died"
    options = [
        ("alarm", f"boss cmd:cat >> {told}; echo told the boss"),
        ("alarm", f"doctor cmd:cat >> {died}"),
        ("alarm-log", "boss begun /slow"),
        ("alarm-segfault", "doctor"),
        ("alarm-freq", "0"),
    ]
    server = serve(mongrel2, options=tuple(word for name, value in options for word in (f"--{name}", value)))
    assert get(mongrel2.address, "/slow/0/one").status == 200
    wait_until(lambda: told.exists() and "begun /slow/0/one\n" in told.read_text(), 20, "the boss is told")
    server.wait_log(r"alarm boss: told the boss")
    server.wait_log(r"alarm boss \(pid: \d+\) ended: exit code 0")

    mark = server.mark()
    os.kill(server.pids()["worker 1"], signal.SIGSEGV)
    server.wait_log("worker 1 STARTING -> READY", after=mark)
    wait_until(lambda: died.exists() and "worker 1" in died.read_text(), 20, "the doctor is told")
    assert "SIGSEGV" in died.read_text()
    assert get(mongrel2.address, "/").status == 200
    assert server.stop() == 0


def test_descriptors_raise_alarms_and_only_the_master_has_them(
    mongrel2: Mongrel2, start_server: Callable[..., Server], tmp_path: Path
) -> None:
    told = tmp_path / "told"
    event, (reader, writer) = os.eventfd(0), os.pipe()
    ini = tmp_path / "app.ini"
    ini.write_text(
        f"[uwsgi]\nmodule = probe\npythonpath = {APPS}\nzeromq = {mongrel2.pair}\nprocesses = 2\nalarm-freq = 0\n"
        f"alarm = boss cmd:cat >> {told}\nalarm-fd = boss {event}:8 the bell rang\n"
        f"alarm-fd = boss {reader} somebody knocked\nalarm-fd = boss 1000 nobody\n"
    )
    with open(event, "wb"), open(writer, "wb"):
        with open(reader, "rb"):
            server = start_server(str(ini), pass_fds=(event, reader)).wait_ready(2)
        pipe = os.readlink(f"/proc/self/fd/{writer}")
        holders = [pid for pid in (server.pid, *server.pids().values()) if pipe in descriptors(pid)]
        assert holders == [server.pid]
        assert "descriptor 1000 raises no alarm: Bad file descriptor" in server.log

        def rung(times: int) -> None:
            os.eventfd_write(event, 5)
            wait_until(lambda: told.exists() and told.read_text().count("the bell rang") == times, 20, "told of it")

        rung(1)
        os.write(writer, b"!")
        wait_until(lambda: "somebody knocked" in told.read_text(), 20, "told of that, too")
        mark = server.mark()
        server.signal(signal.SIGUSR2)
        server.wait_log("upgrade: goes on in place", after=mark)
        rung(2)
    server.wait_log(f"descriptor {reader} raises no alarm any more: it has ended", after=mark)
    assert get(mongrel2.address, "/").status == 200
    assert server.stop() == 0


def descriptors(pid: int) -> list[str]:
    """What a process has open."""
    names = []
    for number in os.listdir(f"/proc/{pid}/fd"):
        with contextlib.suppress(FileNotFoundError):  # it has just been closed
            names.append(os.readlink(f"/proc/{pid}/fd/{number}"))
    return names
