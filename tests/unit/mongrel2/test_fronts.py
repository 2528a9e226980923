"""What is known of each Mongrel2, by source and in order of precedence."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from m2serve.config.settings import Settings, load
from m2serve.endpoint import Endpoint, ZmqPair
from m2serve.errors import ConfigError
from m2serve.front import Front
from m2serve.mongrel2.fronts import fronts

if TYPE_CHECKING:
    from pathlib import Path

    from written import Written

SPECS = ("tcp://127.0.0.1:9997", "tcp://127.0.0.1:9996")
PAIR = ZmqPair.parse(",".join(SPECS))
OTHER = ZmqPair.parse("tcp://127.0.0.1:8887,tcp://127.0.0.1:8886")


def settings(*argv: str) -> Settings:
    return load(["--module", "shop", *argv], {})


def known(*argv: str, attached: Front | None = None) -> tuple[Front, ...]:
    return fronts(settings(*argv), attached)


def mistake(*argv: str) -> str:
    with pytest.raises(ConfigError) as caught:
        known(*argv)
    return str(caught.value)


# --- options alone --------------------------------------------------------------------


def test_without_anything_mongrel2s_defaults_hold() -> None:
    (front,) = known("--zeromq", str(PAIR))
    assert front == Front(PAIR, directory=os.getcwd())


def test_settings_are_of_all_and_chroots_of_those_named(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    first, second = known(
        *("--zeromq", str(PAIR), "--zeromq", str(OTHER)),
        *("--mongrel2-chroot", str(tmp_path), "--mongrel2-chroot", f"{OTHER.send}={tmp_path}/other"),
        *("--mongrel2-setting", "upload.temp_store=/up/XXXXXX", "--mongrel2-setting", "limits.content_length=4096"),
        *("--mongrel2-setting", "download.flow_control=1", "--mongrel2-setting", "upload.stream=1"),
        *("--mongrel2-setting", "limits.content_length=65536", "--mongrel2-setting", "control_port=tcp://*:8985"),
    )
    assert first == Front(
        PAIR,
        chroot=str(tmp_path),
        directory=str(tmp_path),
        temp_store="/up/XXXXXX",
        content_length=65536,
        stream=True,
        flow_control=True,
        control=Endpoint.parse("tcp://127.0.0.1:8985"),
    )
    assert second == first._replace(pair=OTHER, chroot=f"{tmp_path}/other", directory=f"{tmp_path}/other")


def test_a_chroot_of_nobody_is_a_mistake(tmp_path: Path) -> None:
    text = mistake("--zeromq", str(PAIR), "--mongrel2-chroot", f"tcp://127.0.0.1:1={tmp_path}")
    assert text == f"command line: mongrel2-chroot: no Mongrel2 at tcp://127.0.0.1:1: expected one of {SPECS[0]}"


def test_an_attached_one_is_known_already() -> None:
    attached = Front(PAIR, directory="/run/m2", flow_control=True)
    assert known("--with-mongrel2", ":8080", attached=attached) == (attached,)
    pairs = ("--zeromq", str(PAIR), "--zeromq", str(OTHER))
    assert known("--with-mongrel2", ":8080", *pairs, attached=attached) == (
        attached,
        Front(OTHER, directory=os.getcwd()),
    )


# --- a database -----------------------------------------------------------------------


def test_a_database_is_enough(written: Written) -> None:
    written.server()
    written.handler()
    written.setting("upload.temp_store", "tmp/up.XXXXXX")
    written.setting("limits.content_length", "65536")
    written.setting("download.flow_control", "1")
    written.plugin("filter", "/usr/lib/mongrel2/filters/sendfile.so")
    home = str(written.path.parent)
    assert known("--mongrel2-config", str(written)) == (
        Front(
            PAIR,
            directory=home,
            temp_store="tmp/up.XXXXXX",
            content_length=65536,
            flow_control=True,
            control=Endpoint("ipc", path=f"{home}/run/control"),
            sendfile=True,
        ),
    )
