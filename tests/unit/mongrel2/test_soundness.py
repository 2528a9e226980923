"""Mistakes that show before the first request."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from m2serve.config.settings import Settings, load
from m2serve.endpoint import ZmqPair
from m2serve.errors import ConfigError
from m2serve.front import Front
from m2serve.mongrel2 import soundness

if TYPE_CHECKING:
    from pathlib import Path

PAIR = ZmqPair.parse("tcp://127.0.0.1:9997,tcp://127.0.0.1:9996")


def settings(*argv: str) -> Settings:
    return load(["--module", "shop", "--zmq", str(PAIR), *argv], {})


@pytest.fixture
def told(caplog: pytest.LogCaptureFixture):
    def examine(front: Front, *argv: str) -> list[str]:
        caplog.clear()
        soundness.examine(settings(*argv), [front])
        return [record.getMessage() for record in caplog.records]

    return examine


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "uploads").mkdir()
    return tmp_path


def test_nothing_to_say(told, root: Path) -> None:
    assert told(Front(PAIR)) == []
    assert told(Front(PAIR, chroot=str(root), temp_store="/uploads/up.XXXXXX")) == []
    assert told(Front(PAIR, chroot="/", directory=str(root), temp_store="uploads/up.XXXXXX")) == []
    # in test mode, as Mongrel2 calls it, a chroot is configured but did not happen
    assert told(Front(PAIR, chroot=str(root / "uploads"), temp_store=f"{root}/uploads/up.XXXXXX")) == []
    assert told(Front(PAIR, temp_store="/nonexistent/up.XXXXXX", stream=True)) == []
    assert told(Front(PAIR, flow_control=True)) == []


def test_a_chroot_that_is_not_here(told) -> None:
    assert told(Front(PAIR, chroot="/nonexistent/m2", temp_store="/uploads/up.XXXXXX")) == [
        f"mongrel2 at {PAIR.send}: its chroot /nonexistent/m2 does not exist here: "
        "set mongrel2-chroot to where the / of that Mongrel2 lies"
    ]


def test_directories_that_are_closed_to_us(told, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    closed: set[str] = set()
    monkeypatch.setattr(soundness.os, "access", lambda path, mode: path not in closed)
    front = Front(PAIR, chroot=str(root), temp_store="/uploads/up.XXXXXX")
    closed.add(f"{root}/uploads")
    assert [line.partition(" by user")[0] for line in told(front)] == [
        f"mongrel2 at {PAIR.send}: uploads in {root}/uploads cannot be removed"
    ]
    closed.add(str(root))
    assert [line.partition(" to user")[0] for line in told(front)] == [
        f"mongrel2 at {PAIR.send}: its chroot {root} is not open"
    ]


def test_no_directory_for_uploads(told, root: Path) -> None:
    front = Front(PAIR, chroot=str(root), temp_store="/tmp-of-m2/up.XXXXXX")
    (line,) = told(front)
    assert f"is /tmp-of-m2/up.XXXXXX, but there is no directory {root}/tmp-of-m2 nor /tmp-of-m2: uploads will" in line
    assert line.endswith("lies, or mongrel2-setting upload.temp_store")


def test_a_chroot_that_an_option_names_must_be_the_right_one(root: Path) -> None:
    front = Front(PAIR, chroot=str(root), temp_store="/tmp-of-m2/up.XXXXXX")
    with pytest.raises(ConfigError) as caught:
        soundness.examine(settings("--mongrel2-chroot", str(root)), [front])
    assert str(caught.value).startswith("command line: mongrel2-chroot: upload.temp_store is /tmp-of-m2/up.XXXXXX, but")


def test_requests_larger_than_our_buffer(told) -> None:
    (line,) = told(Front(PAIR, content_length=65536), "--request-buffer", "128K")
    assert "a request of more than 65536 bytes is refused" in line
    assert told(Front(PAIR, content_length=65536), "--request-buffer", "256K") == []


def test_flow_control_needs_the_dispatcher() -> None:
    with pytest.raises(ConfigError, match=r"command line: zeromq-direct: .* has download.flow_control=1, which only"):
        soundness.examine(settings("--zeromq-direct"), [Front(PAIR, flow_control=True)])
    soundness.examine(settings("--zeromq-direct"), [Front(PAIR)])


def test_settings_that_mongrel2_does_not_have(told) -> None:
    keys = ("limits.content_lenght=1", "x=1", "limits.content_length=1")
    assert told(Front(PAIR), *(word for key in keys for word in ("--mongrel2-setting", key))) == [
        "command line: mongrel2-setting: limits.content_lenght=1: no setting that Mongrel2 is known to have; "
        "did you mean limits.content_length?",
        "command line: mongrel2-setting: x=1: no setting that Mongrel2 is known to have",
    ]
