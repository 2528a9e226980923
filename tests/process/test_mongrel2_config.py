"""The configuration of an attached Mongrel2, compiled by its own tool."""

from __future__ import annotations

import os
import shutil
import sqlite3
from types import SimpleNamespace

import pytest
from support.ports import free_ports

from m2serve.config.mongrel2_values import FrontSetting
from m2serve.endpoint import Endpoint, ListenAddress, ZmqPair
from m2serve.errors import ConfigError
from m2serve.front import Front
from m2serve.mongrel2.configdb import prepare

pytestmark = pytest.mark.skipif(not (shutil.which("mongrel2") and shutil.which("m2sh")), reason="no mongrel2")


@pytest.fixture
def settings():
    return SimpleNamespace(
        with_mongrel2=ListenAddress("127.0.0.1", free_ports(1)[0]),
        mongrel2_binary="mongrel2",
        mongrel2_dir=None,
        mongrel2_protocol="tnetstring",
        zeromq=(),
        mongrel2_setting=(),
        request_buffer=16 * 1024 * 1024,
        zeromq_direct=False,
    )


def rows(directory):
    connection = sqlite3.connect(os.path.join(directory, "config.sqlite"))
    try:
        return connection.execute(
            "SELECT send_spec, recv_spec, send_ident = recv_ident, protocol FROM handler"
        ).fetchall()
    finally:
        connection.close()


def stored(directory):
    connection = sqlite3.connect(os.path.join(directory, "config.sqlite"))
    try:
        return dict(connection.execute("SELECT key, value FROM setting").fetchall())
    finally:
        connection.close()


def test_a_private_directory(settings):
    front, spec = prepare(settings)
    assert spec.own_directory == spec.directory
    assert rows(spec.directory) == [(str(front.pair.send), str(front.pair.recv), 1, "tnetstring")]
    assert os.stat(spec.directory).st_mode & 0o077 == 0
    os.close(spec.lock_fd)
    assert spec.environment["LOGNAME"]
    shutil.rmtree(spec.directory)


def test_a_given_directory_and_given_sockets(settings, tmp_path):
    settings.mongrel2_dir = str(tmp_path / "m2")
    settings.zeromq = (ZmqPair.parse("tcp://127.0.0.1:9997,tcp://127.0.0.1:9996"),)
    settings.mongrel2_protocol = "json"
    for _ in range(2):
        front, spec = prepare(settings)
        assert spec.own_directory is None
        assert (front.pair,) == settings.zeromq
        assert rows(tmp_path / "m2") == [("tcp://127.0.0.1:9997", "tcp://127.0.0.1:9996", 1, "json")]
        os.close(spec.lock_fd)


def test_a_refusal_is_seen_although_m2sh_leaves_with_0(settings, tmp_path, monkeypatch):
    settings.mongrel2_dir = str(tmp_path)
    monkeypatch.setattr("m2serve.mongrel2.configdb.configuration", lambda *_: "nonsense (\n")
    with pytest.raises(ConfigError, match="m2sh cannot compile"):
        prepare(settings)


def test_a_directory_in_use_is_refused(settings, tmp_path):
    settings.mongrel2_dir = str(tmp_path)
    _, spec = prepare(settings)
    with pytest.raises(ConfigError, match="another m2serve uses"):
        prepare(settings)
    os.close(spec.lock_fd)


def test_a_directory_that_cannot_be_made(settings, tmp_path):
    (tmp_path / "file").touch()
    settings.mongrel2_dir = str(tmp_path / "file" / "m2")
    with pytest.raises(ConfigError, match="mongrel2-dir"):
        prepare(settings)


def test_it_sets_what_bodies_of_any_size_need_and_says_so(settings, tmp_path):
    settings.mongrel2_dir = str(tmp_path)
    front, spec = prepare(settings)
    os.close(spec.lock_fd)
    assert stored(tmp_path) == {
        "server.daemonize": "0",
        "disable.access_logging": "1",
        "limits.buffer_size": "16384",
        "limits.client_read_retries": "20",
        "limits.content_length": "65536",
        "upload.temp_store": f"{tmp_path}/upload.XXXXXX",
        "upload.temp_store_mode": "0600",
        "download.flow_control": "1",
    }
    assert front == Front(
        front.pair,
        directory=str(tmp_path),
        temp_store=f"{tmp_path}/upload.XXXXXX",
        content_length=65536,
        flow_control=True,
        control=Endpoint("ipc", path=f"{tmp_path}/control"),
    )


def test_without_a_dispatcher_there_is_no_flow_control(settings, tmp_path):
    settings.mongrel2_dir = str(tmp_path)
    settings.zeromq_direct = True
    front, spec = prepare(settings)
    os.close(spec.lock_fd)
    assert (front.flow_control, stored(tmp_path)["download.flow_control"]) == (False, "0")


def test_what_is_told_to_set_wins(settings, tmp_path):
    settings.mongrel2_dir = str(tmp_path)
    settings.mongrel2_setting = tuple(
        map(
            FrontSetting.parse,
            (
                "limits.content_length=20480",
                "limits.content_length=30000",
                "upload.stream=1",
                "upload.temp_store_mode=0640",
                "limits.min_ping=0",
                "upload.temp_store=up/XXXXXX",
            ),
        )
    )
    front, spec = prepare(settings)
    os.close(spec.lock_fd)
    found = stored(tmp_path)
    assert found["limits.content_length"] == "30000"
    assert found["upload.temp_store_mode"] == "0640"
    assert found["limits.min_ping"] == "0"
    assert (front.content_length, front.stream) == (30000, True)
    assert front.paths(str(front.temp_store)) == (f"{tmp_path}/up/XXXXXX",)


def test_a_small_buffer_of_ours_lowers_the_limit(settings, tmp_path):
    settings.mongrel2_dir = str(tmp_path)
    settings.request_buffer = 64 * 1024
    front, spec = prepare(settings)
    os.close(spec.lock_fd)
    assert stored(tmp_path)["limits.content_length"] == str(front.content_length) == "16384"


@pytest.mark.parametrize(
    ("setting", "expected"),
    [
        ("server.daemonize=1", "server.daemonize: expected 0"),
        ("limits.content_length=16383", "limits.content_length: 16383: expected limits.buffer_size, 16384, or more"),
        ("limits.buffer_size=65537", "limits.content_length: 65536: expected limits.buffer_size, 65537, or more"),
        ("certdir=it's", "expected no quotes"),
    ],
)
def test_settings_that_would_break_it_are_refused(settings, tmp_path, setting, expected):
    settings.mongrel2_dir = str(tmp_path)
    settings.mongrel2_setting = (FrontSetting.parse(setting),)
    with pytest.raises(ConfigError, match=expected):
        prepare(settings)


def test_uploads_of_one_that_was_killed_are_removed(settings, tmp_path):
    settings.mongrel2_dir = str(tmp_path)
    for name in ("upload.a1B2c3", "upload.a1B2c3d", "uploads", "xupload.a1B2c3"):
        (tmp_path / name).touch()
    _, spec = prepare(settings)
    os.close(spec.lock_fd)
    left = {path.name for path in tmp_path.iterdir()} - {"mongrel2.conf", "config.sqlite"}
    assert left == {"upload.a1B2c3d", "uploads", "xupload.a1B2c3"}
