"""Actions that files ask for at the moments of a server's life."""

from __future__ import annotations

import os
import pwd
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest
from support.server import APPS, ROOT, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from support.server import Server

NOBODY = 65534
POINTS = ("asap", "pre-jail", "post-jail", "in-jail", "as-root", "as-user", "pre-app", "post-app", "as-user-atexit")
# Nobody listens there: workers are ready all the same.
ENOUGH = ("--zmq", "ipc:///nowhere/a,ipc:///nowhere/b", "--pythonpath", str(APPS), "--module", "probe", "--need-app")


CALLED = """
import os
import sys


def say(what):
    with open(os.environ["SAID_IN"], "a") as file:
        file.write(f"call {what}\\n")


def before():
    assert "probe" not in sys.modules
    say("before")


def behind():
    assert "probe" in sys.modules
    say("behind")
"""


def readable(user: int) -> bool:
    """Whether another user may read our code."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    try:
        pwd.getpwuid(user)
        command = [sys.executable, "-c", "import m2serve.cli"]
        subprocess.run(command, user=user, cwd="/", env=environment, capture_output=True, check=True, timeout=20)
    except (OSError, KeyError, subprocess.SubprocessError):
        return False
    return True


def test_each_at_its_point(start_server: Callable[..., Server], public_path: Callable[[], Path]) -> None:
    directory = public_path()
    directory.chmod(0o777)
    file = directory / "said"
    file.touch()
    file.chmod(0o666)
    lines = ["[uwsgi]", "processes = 2", "lazy-apps = true", f"said = {file}"]
    for point in POINTS:
        lines.append(f"exec-{point} = echo exec-{point} `id -u` >> %(said)")
        lines.append(f"hook-{point} = exec:echo hook-{point} `id -u` >> %(said)")
    (directory / "called.py").write_text(CALLED)
    lines += [f"pythonpath = {directory}", "call-pre-app = called:before", "call-post-app = called:behind"]
    lines += [f"env = SAID_IN={file}"]
    others = ("master-start", "post-fork", "accepting", "accepting1")
    lines += [f"hook-{point} = appendn:%(said) hook-{point} -" for point in others]
    lines += [
        "hook-as-root = safeexec:exit 7",
        "hook-as-user = print:hello from a hook",
        "hook-pre-app = putenv:SAID=yes",
        "hook-post-app = exec:echo variable $SAID >> %(said)",
        "hook-master-start = unix_signal:12 gracefully_kill_them_all",
    ]
    user = NOBODY if os.geteuid() == 0 and readable(NOBODY) else os.geteuid()
    if user != os.geteuid():
        lines.append(f"uid = {user}")
    (directory / "hooks.ini").write_text("\n".join([*lines, ""]))
    server = start_server(*ENOUGH, str(directory / "hooks.ini")).wait_ready(2)
    root = os.geteuid()

    def said() -> list[str]:
        return file.read_text().splitlines()

    master = [f"{kind}-{point} {root}" for point in POINTS[:5] for kind in ("hook", "exec")]
    master += [f"hook-as-user {user}", f"exec-as-user {user}", "hook-master-start -"]
    assert said()[: len(master)] == master
    worker = [f"{kind}-{point}-app {user}" for point in ("pre", "post") for kind in ("hook", "exec")]
    worker += ["call before", "call behind"]
    # What is done when a worker accepts is waited for by nobody.
    expected = sorted(2 * [*worker, "hook-post-fork -", "variable yes", "hook-accepting -"] + ["hook-accepting1 -"])
    wait_until(lambda: sorted(said()[len(master) :]) == expected, 10, f"{expected}, not {said()}")
    assert "hello from a hook" in server.log
    assert "WARNING hooks: safeexec:exit 7: exit code 7" in server.log
    server.signal(signal.SIGUSR2)
    assert server.wait() == 0
    assert "SIGUSR2: stopping, with 60 s of mercy" in server.log
    assert said()[len(master) + len(expected) :] == [f"hook-as-user-atexit {user}", f"exec-as-user-atexit {user}"]


@pytest.mark.parametrize(
    ("options", "code", "expected"),
    [
        (("--exec-as-root", "exit 3"), 1, "nothing was started: command line: exec-as-root = exit 3: exit code 3"),
        (("--hook-asap", "unlink:/no/such/file"), 1, "hook-asap = unlink:/no/such/file: .*No such file"),
        (("--hook-timeout", "0.3", "--exec-as-user", "sleep 600"), 1, "exec-as-user = sleep 600: killed after 0.3 s"),
        (
            ("--exec-pre-app", "exit 4"),
            22,
            "cannot load the application: command line: exec-pre-app = exit 4: exit code 4",
        ),
        (("--call-post-app", "probe:no_such"), 22, "call-post-app = probe:no_such: module 'probe' has no attribute"),
    ],
)
def test_a_failure_keeps_the_server_from_starting(
    start_server: Callable[..., Server], options: tuple[str, ...], code: int, expected: str
) -> None:
    started = time.monotonic()
    server = start_server(*ENOUGH, *options)
    server.allow("nothing was started", "stopping: ", "exec-pre-app", "no_such")
    assert server.wait(20) == code
    assert time.monotonic() - started < 20
    server.wait_log(expected)


def test_once_and_in_mules(start_server: Callable[..., Server], tmp_path: Path) -> None:
    file = tmp_path / "said"
    points = ("accepting", "accepting-once", "accepting1", "accepting1-once", "as-mule")
    hooks = [word for point in points for word in (f"--hook-{point}", f"appendn:{file} {point}")]
    server = start_server(*ENOUGH, "-p", "2", "--mule", f"{APPS}/waiting.py", *hooks).wait_ready(2)

    def says(**times: int) -> None:
        expected = sorted(name.replace("_", "-") for name, count in times.items() for _ in range(count))
        wait_until(lambda: file.exists() and sorted(file.read_text().split()) == expected, 20, f"{times}")

    says(accepting=2, accepting_once=2, accepting1=1, accepting1_once=1, as_mule=1)
    # what replaces a dead worker is none of the first
    server.kill_child("worker 1")
    says(accepting=3, accepting_once=2, accepting1=2, accepting1_once=1, as_mule=1)
    # a reload begins anew
    mark = server.mark()
    server.signal(signal.SIGHUP)
    server.wait_ready(2, after=mark)
    says(accepting=5, accepting_once=4, accepting1=3, accepting1_once=2, as_mule=2)
    assert server.stop() == 0
