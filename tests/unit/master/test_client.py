"""--stop and --reload: whom they signal, and what they say when they do not."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

from m2serve.cli import main
from m2serve.errors import ConfigError
from m2serve.master import client

SIGNALLED = """
import signal
from setproctitle import setproctitle
signal.pthread_sigmask(signal.SIG_BLOCK, [{number}])
setproctitle({title!r})
print(flush=True)
raise SystemExit(signal.sigwait([{number}]))
"""


@pytest.fixture
def process():
    started = []

    def start(title, number):
        program = SIGNALLED.format(title=title, number=int(number))
        started.append(subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE))
        started[-1].stdout.readline()
        return started[-1]

    yield start
    for one in started:
        one.kill()
        one.wait()
        one.stdout.close()


@pytest.mark.parametrize(
    ("order", "number"),
    [("stop", signal.SIGINT), ("reload", signal.SIGHUP), ("pause", signal.SIGTSTP), ("resume", signal.SIGTSTP)],
)
def test_the_master_is_signalled(process, tmp_path, capsys, order, number):
    master = process("shop: m2serve master", number)
    (tmp_path / "pid").write_text(f"{master.pid}\n")
    assert main([f"--{order}", str(tmp_path / "pid")]) == 0
    assert master.wait(10) == number
    assert capsys.readouterr().err == f"m2serve: --{order}: told pid {master.pid}\n"


def refusal(path):
    with pytest.raises(ConfigError) as raised:
        client.send("stop", str(path))
    return str(raised.value)


def test_no_file(tmp_path):
    assert refusal(tmp_path / "pid") == f"--stop: '{tmp_path}/pid' cannot be read: No such file or directory"


def test_no_pid(tmp_path):
    (tmp_path / "pid").write_text("m2serve\n")
    assert "is no pid" in refusal(tmp_path / "pid")


def test_a_stale_pid(process, tmp_path):
    gone = process("m2serve master", signal.SIGINT)
    gone.kill()
    gone.wait()
    (tmp_path / "pid").write_text(str(gone.pid))
    assert f"is stale: no process has the pid {gone.pid}" in refusal(tmp_path / "pid")


def test_somebody_else(process, tmp_path):
    other = process("m2serve worker 1", signal.SIGINT)
    (tmp_path / "pid").write_text(str(other.pid))
    assert f"pid {other.pid} is no m2serve master but 'm2serve worker 1'" in refusal(tmp_path / "pid")
    assert other.poll() is None


def test_an_order_without_a_file_is_a_mistake(capsys):
    assert main(["--stop"]) == 1
    assert "command line: --stop: expected a value (PIDFILE)" in capsys.readouterr().err
    assert main(["--reload", "/no/such/pid"]) == 1
    assert capsys.readouterr().err == "m2serve: --reload: '/no/such/pid' cannot be read: No such file or directory\n"
