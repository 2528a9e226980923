"""Where lines go and how they look."""

from __future__ import annotations

import logging
import logging.config
import os
import re
import sys
from typing import TYPE_CHECKING

import pytest

from m2serve.config.log_values import LogDate
from m2serve.errors import ConfigError
from m2serve.observe import log
from m2serve.observe.lines import Lines, Outlet
from m2serve.observe.sinks import StandardError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

LINE = re.compile(r"\[\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3}\] \[(\d+)\] ([A-Z]+) ([a-z.0-9-]+): (.*)", re.DOTALL)


@pytest.fixture(autouse=True)
def _restored() -> Iterator[None]:
    root = logging.getLogger("m2serve")
    kept = (root.handlers[:], root.level, root.propagate, logging.raiseExceptions)
    descriptors = [os.dup(number) for number in (1, 2)]
    yield
    for number, copy in enumerate(descriptors, start=1):
        os.dup2(copy, number)
        os.close(copy)
    root.handlers[:], root.level, root.propagate, logging.raiseExceptions = kept
    root.setLevel(kept[1])


def test_a_line(capfd: pytest.CaptureFixture[str]) -> None:
    log.setup()
    logging.getLogger("m2serve.worker.3").info("worker %d: %s", 3, "READY")
    match = LINE.fullmatch(capfd.readouterr().err)
    assert match is not None
    assert match.groups() == (str(os.getpid()), "INFO", "worker.3", "worker 3: READY\n")


@pytest.mark.parametrize(
    ("date", "expected"),
    [("true", r"\w{3} \w{3} [ \d]\d \d\d:\d\d:\d\d \d{4}"), ("%Y/%m|", r"\d{4}/\d\d\|"), ("false", r"\[\d{4}-.*\]")],
)
@pytest.mark.parametrize("driven", [False, True])
def test_another_date(
    date: str, expected: str, driven: bool, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for where, name in ((sys, "stdout"), (sys, "stderr"), (log, "_lines"), (log, "_reopened")):
        monkeypatch.setattr(where, name, getattr(where, name))  # put back at the end
    lines = Lines([Outlet(None, StandardError(), ())]) if driven else None
    log.setup(lines=lines, date=LogDate.parse(date))
    logging.getLogger("m2serve.master").info("said")
    hyphen = "" if date == "false" else " -"
    assert re.fullmatch(rf"{expected}{hyphen} \[{os.getpid()}\] INFO master: said\n", capfd.readouterr().err)


def test_a_traceback_follows_its_line(capfd: pytest.CaptureFixture[str]) -> None:
    log.setup()
    try:
        raise RuntimeError("no database")
    except RuntimeError:
        logging.getLogger("m2serve.worker").exception("the application failed")
    lines = capfd.readouterr().err.splitlines()
    assert lines[0].endswith("ERROR worker: the application failed")
    assert lines[-1] == "RuntimeError: no database"


def test_the_level_is_respected(capfd: pytest.CaptureFixture[str]) -> None:
    log.setup("warning")
    logging.getLogger("m2serve.master").info("unseen")
    logging.getLogger("m2serve.master").warning("seen")
    assert capfd.readouterr().err.count("\n") == 1


def test_setting_up_twice_doubles_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    log.setup()
    log.setup()
    logging.getLogger("m2serve.master").info("once")
    assert capfd.readouterr().err.count("once") == 1


def test_a_file_gets_the_log_and_all_prints(tmp_path: Path) -> None:
    path = tmp_path / "server.log"
    path.write_text("earlier\n")
    log.setup(logto=str(path))
    logging.getLogger("m2serve.master").info("from us")
    os.write(1, b"from the application\n")
    lines = path.read_text().splitlines()
    assert lines[0] == "earlier"
    assert lines[1].endswith("INFO master: from us")
    assert lines[2] == "from the application"
    assert os.get_inheritable(1)
    assert os.get_inheritable(2)


@pytest.mark.parametrize("name", ["", "no/such/dir/log", "a\0b"])
def test_a_file_that_cannot_be_opened(name: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be opened for writing"):
        log.setup(logto=str(tmp_path / name))


def test_a_log_that_cannot_be_written_hurts_nobody() -> None:
    log.setup(logto="/dev/full")
    logging.getLogger("m2serve.master").error("lost")
    os.close(2)
    logging.getLogger("m2serve.master").error("lost as well")


class Unprintable:
    def __str__(self) -> str:
        raise ValueError("broken")


def test_a_broken_message_hurts_nobody(capfd: pytest.CaptureFixture[str]) -> None:
    log.setup()
    logger = logging.getLogger("m2serve.worker")
    logger.error("%s", Unprintable())
    logger.error("%d", "text")
    logger.error("\udcff")
    assert capfd.readouterr().err.endswith("ERROR worker: \\udcff\n")


def test_the_applications_own_set_up_takes_nothing_away(capfd: pytest.CaptureFixture[str]) -> None:
    log.setup()
    logger = logging.getLogger("m2serve.worker")
    logging.config.dictConfig({"version": 1, "root": {"level": "CRITICAL"}})
    assert logger.disabled
    log.reclaim()
    logger.info("still here")
    assert capfd.readouterr().err.endswith("still here\n")


def test_a_renamed_file_is_opened_again_from_any_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log, "_file", None)
    assert not log.reopen(), "standard error has no name"
    monkeypatch.chdir(tmp_path)
    log.setup(logto="serve.log")
    monkeypatch.chdir("/")
    logging.getLogger("m2serve.master").info("before")
    (tmp_path / "serve.log").rename(tmp_path / "serve.log.1")
    assert log.reopen()
    logging.getLogger("m2serve.master").info("after")
    assert (tmp_path / "serve.log.1").read_text().endswith("before\n")
    assert (tmp_path / "serve.log").read_text().endswith("after\n")
    (tmp_path / "serve.log").unlink()
    (tmp_path / "serve.log").mkdir()
    assert not log.reopen(), "then it goes on where it was"
