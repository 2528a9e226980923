"""The configuration of an attached Mongrel2, compiled by its own tool."""

from __future__ import annotations

import os
import shutil
import socket
import sqlite3
from types import SimpleNamespace

import pytest

from m2serve.endpoint import ListenAddress, ZmqPair
from m2serve.errors import ConfigError
from m2serve.mongrel2.configdb import prepare

pytestmark = pytest.mark.skipif(not (shutil.which("mongrel2") and shutil.which("m2sh")), reason="no mongrel2")


@pytest.fixture
def settings():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    return SimpleNamespace(
        with_mongrel2=ListenAddress("127.0.0.1", port),
        mongrel2_binary="mongrel2",
        mongrel2_dir=None,
        mongrel2_protocol="tnetstring",
        zeromq=(),
        mongrel2_setting=(),
        request_buffer=16 * 1024 * 1024,
    )


def rows(directory):
    connection = sqlite3.connect(os.path.join(directory, "config.sqlite"))
    try:
        return connection.execute(
            "SELECT send_spec, recv_spec, send_ident = recv_ident, protocol FROM handler"
        ).fetchall()
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
