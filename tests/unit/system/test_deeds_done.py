"""What hooks do."""

from __future__ import annotations

import logging
import os
import time
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from m2serve.config.deeds import Deed
from m2serve.errors import ConfigError
from m2serve.ids import Seconds
from m2serve.system.deeds import perform, perform_all, run, try_all

if TYPE_CHECKING:
    from pathlib import Path

SECONDS = Seconds(30.0)


def do(text: str) -> None:
    perform(Deed.parse(text), SECONDS)


def test_files(tmp_path: Path) -> None:
    do(f"mkdir:{tmp_path}/d")
    file = tmp_path / "d" / "f"
    do(f"create:{file}")
    assert file.read_text() == ""
    do(f"write:{file} one two")
    do(f"append:{file} three")
    assert file.read_text() == "one twothree"
    do(f"writen:{file} one")
    do(f"appendn:{file} two")
    assert file.read_text() == "one\ntwo\n"
    do(f"chmod:{file} 600")
    assert file.stat().st_mode & 0o777 == 0o600
    do(f"chown:{file} {os.getuid()} {os.getgid()}")
    do(f"unlink:{file}")
    assert not file.exists()
    with pytest.raises(FileNotFoundError):
        do(f"unlink:{file}")
    with pytest.raises(FileExistsError):
        do(f"mkdir:{tmp_path}/d")


def test_a_fifo_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(OSError, match="No such device"):
        do(f"writefifo:{tmp_path}/fifo r")
    reader = os.open(tmp_path / "fifo", os.O_RDONLY | os.O_NONBLOCK)
    do(f"writefifo:{tmp_path}/fifo r")
    assert os.read(reader, 10) == b"r"
    os.close(reader)


def test_the_process_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.chdir("/")
    monkeypatch.setenv("M2SERVE_DEED", "before")
    do(f"cd:{tmp_path}")
    do("putenv:M2SERVE_DEED=a=b")
    assert (os.getcwd(), os.environ["M2SERVE_DEED"]) == (str(tmp_path), "a=b")
    with caplog.at_level(logging.INFO, "m2serve.hooks"):
        do("print:hello there")
        do("safeexec:exit 3")
        do("unix_signal:15 kill_them_all")
        do("mount:proc none /proc")
    assert [record.getMessage() for record in caplog.records] == ["hello there", "safeexec:exit 3: exit code 3"]


def test_a_command_and_its_end(tmp_path: Path) -> None:
    run(f"echo here > {tmp_path}/out; cat < /dev/stdin", SECONDS)
    assert (tmp_path / "out").read_text() == "here\n"
    with pytest.raises(ConfigError, match=r"^exit code 3$"):
        run("exit 3", SECONDS)
    with pytest.raises(ConfigError, match=r"^killed by signal 15$"):
        run("kill $$", SECONDS)


def test_a_command_without_end_is_killed_with_all_it_has_started(tmp_path: Path) -> None:
    started = time.monotonic()
    with pytest.raises(ConfigError, match=r"^killed after 0\.3 s$"):
        run(f"(sleep 100; touch {tmp_path}/late) & sleep 100; touch {tmp_path}/late", Seconds(0.3))
    assert time.monotonic() - started < 30
    assert not (tmp_path / "late").exists()


def settings(**changes: Any) -> Any:
    return SimpleNamespace(hook_timeout=SECONDS, **changes)


def test_in_order_and_up_to_the_first_failure(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    given = settings(
        hook_as_root=(
            Deed.parse(f"write:{tmp_path}/f a"),
            Deed.parse("mount:x y z"),
            Deed.parse(f"append:{tmp_path}/f b"),
        ),
        exec_as_root=(f"printf c >> {tmp_path}/f", "exit 3", f"touch {tmp_path}/never"),
        origins={"hook_as_root": ("a.ini:1", "a.ini:2", "a.ini:3"), "exec_as_root": ("a.ini:4", "command line", "x")},
    )
    with pytest.raises(ConfigError, match=r"^command line: exec-as-root = exit 3: exit code 3$"):
        perform_all(given, "as_root")
    assert (tmp_path / "f").read_text() == "abc"
    assert not (tmp_path / "never").exists()
    with caplog.at_level(logging.INFO, "m2serve.hooks"):
        try_all(given, "as_root")
        perform_all(settings(origins={}), "as_user")
    assert caplog.records[0].getMessage() == f"a.ini:1: hook-as-root = write:{tmp_path}/f a"
    assert caplog.records[-1].getMessage() == "failed: command line: exec-as-root = exit 3: exit code 3"


def test_what_the_system_refuses_is_told(tmp_path: Path) -> None:
    given = settings(
        hook_asap=(Deed.parse(f"chown:{tmp_path} no-such-user no-such-group"),),
        exec_asap=(),
        origins={"hook_asap": ("a.ini:1",)},
    )
    with pytest.raises(ConfigError, match=r"^a\.ini:1: hook-asap = chown:.*: no such user"):
        perform_all(given, "asap")
