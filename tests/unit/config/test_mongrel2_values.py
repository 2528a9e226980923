"""Options about Mongrel2 that have parts."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from m2serve.config.mongrel2_values import ChrootOption, FrontSetting
from m2serve.config.settings import load
from m2serve.endpoint import Endpoint
from m2serve.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path

PAIR = "tcp://127.0.0.1:9997,tcp://127.0.0.1:9996"


@pytest.mark.parametrize(
    ("text", "endpoint", "directory"),
    [
        ("/srv/m2", None, "/srv/m2"),
        ("rel=ative", None, "rel=ative"),
        ("tcp://127.0.0.1:9997=/srv/m2", "tcp://127.0.0.1:9997", "/srv/m2"),
        ("tcp://[::1]:9997=/srv/a=b", "tcp://[::1]:9997", "/srv/a=b"),
        ("ipc:///run/app=/srv/m2", "ipc:///run/app", "/srv/m2"),
    ],
)
def test_a_chroot(text: str, endpoint: str | None, directory: str) -> None:
    value = ChrootOption.parse(text)
    assert value == ChrootOption(None if endpoint is None else Endpoint.parse(endpoint), directory)
    assert str(value) == text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "expected a directory"),
        ("/srv\0", "expected a directory"),
        ("tcp://127.0.0.1:9997", "expected DIR, or ENDPOINT=DIR"),
        ("tcp://127.0.0.1:9997=", "expected a directory"),
        ("tcp://127.0.0.1=/srv", "has no port"),
    ],
)
def test_no_chroot(text: str, expected: str) -> None:
    with pytest.raises(ConfigError, match=expected):
        ChrootOption.parse(text)


def test_a_relative_chroot_starts_where_m2serve_does(tmp_path: Path) -> None:
    (tmp_path / "m2").mkdir()
    chroots = ("--mongrel2-chroot", "./m2/", "--mongrel2-chroot", "ipc://run/app=m2")
    settings = load(["--module", "a", "--zmq", PAIR, *chroots], {}, directory=str(tmp_path))
    assert [str(value) for value in settings.mongrel2_chroot] == [
        f"{tmp_path}/m2",
        f"ipc://{tmp_path}/run/app={tmp_path}/m2",
    ]


@pytest.mark.parametrize(
    ("text", "key", "value"),
    [
        ("limits.content_length=65536", "limits.content_length", "65536"),
        (" upload.stream = 1 ", "upload.stream", "1"),
        ("upload.temp_store=/a=b/up.XXXXXX", "upload.temp_store", "/a=b/up.XXXXXX"),
        ("upload.temp_store_mode=0640", "upload.temp_store_mode", "0640"),
        ("no_clobber_xff=1", "no_clobber_xff", "1"),
    ],
)
def test_a_setting(text: str, key: str, value: str) -> None:
    assert FrontSetting.parse(text) == (key, value)
    assert str(FrontSetting(key, value)) == f"{key}={value}"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("upload.stream", "expected KEY=VALUE"),
        ("upload.stream=", "expected KEY=VALUE"),
        ("=1", "expected KEY=VALUE"),
        ("'a'=1", "expected KEY=VALUE"),
        ("upload stream=1", "expected KEY=VALUE"),
        ("upload.stream=yes", "expected 0 or 1 for upload.stream"),
        ("download.flow_control=2", "expected 0 or 1"),
        ("limits.content_length=64K", "expected a number of bytes"),
        ("limits.content_length=0", "expected a number of bytes"),
        ("limits.buffer_size=2147483648", "expected a number of bytes"),
        ("upload.temp_store=/tmp/uploads", "ends in XXXXXX"),
    ],
)
def test_no_setting(text: str, expected: str) -> None:
    with pytest.raises(ConfigError, match=expected):
        FrontSetting.parse(text)


# --- with each other ------------------------------------------------------------------


def mistakes(*argv: str, ini: str = "", directory: str = "/") -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load(["--module", "a", "app.ini", *argv], {}, lambda path: f"[uwsgi]\n{ini}", directory)
    return str(caught.value).split("\n")


def test_a_value_is_told_with_its_file_and_line() -> None:
    assert mistakes("--zmq", PAIR, ini="\nmongrel2-setting = upload.stream=maybe\nmongrel2-chroot = tcp://a:1\n") == [
        "app.ini:3: mongrel2-setting = upload.stream=maybe: expected 0 or 1 for upload.stream",
        "app.ini:4: mongrel2-chroot = tcp://a:1: "
        "expected DIR, or ENDPOINT=DIR as in tcp://127.0.0.1:9997=/srv/mongrel2",
    ]


def test_the_database_must_exist(tmp_path: Path) -> None:
    assert mistakes("--mongrel2-config", "none.sqlite", directory=str(tmp_path)) == [
        "command line: mongrel2-config: 'none.sqlite': expected an existing file, the database of m2sh load"
    ]
    (tmp_path / "some.sqlite").touch()
    found = load(["--module", "a", "--mongrel2-config", "some.sqlite"], {}, directory=str(tmp_path))
    assert found.zeromq == ()


def test_handler_needs_a_database_and_names_one_pair(tmp_path: Path) -> None:
    assert mistakes("--zmq", PAIR, ini="handler = app\n") == [
        "app.ini:2: handler: 'app': expected mongrel2-config too, the database where it is found"
    ]
    (tmp_path / "db").touch()
    pairs = ("--zmq", PAIR, "--zmq", "ipc:///a,ipc:///b")
    assert mistakes("--mongrel2-config", "db", *pairs, ini="handler = app\n", directory=str(tmp_path)) == [
        "app.ini:2: handler: 'app': expected one zeromq at most beside it, not 2"
    ]


def test_a_mongrel2_of_our_own_has_no_other_configuration(tmp_path: Path) -> None:
    (tmp_path / "db").touch()
    own = ("--with-mongrel2", ":8080")
    assert mistakes(*own, ini="mongrel2-config = db\n", directory=str(tmp_path)) == [
        "app.ini:2: mongrel2-config: expected one of mongrel2-config and with-mongrel2, which makes its own; "
        "the other is at command line"
    ]
    assert mistakes(*own, ini="mongrel2-chroot = /\n") == [
        "app.ini:2: mongrel2-chroot: expected ENDPOINT=DIR of another Mongrel2: the one of with-mongrel2 has no chroot"
    ]


def test_chroots_exist_and_are_given_once(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    ini = "mongrel2-chroot = a\nmongrel2-chroot = b\nmongrel2-chroot = tcp://x:1=a\nmongrel2-chroot = tcp://x:1=a\n"
    places = "app.ini:2, app.ini:3, app.ini:4, app.ini:5"
    assert mistakes("--zmq", PAIR, ini=ini, directory=str(tmp_path)) == [
        f"{places}: mongrel2-chroot: given 2 times; expected one directory each",
        f"{places}: mongrel2-chroot: given 2 times for tcp://x:1; expected one directory each",
        f"{places}: mongrel2-chroot: '{tmp_path}/b': expected an existing directory",
    ]
