"""What ``--doctor`` says of a database and of settings; nobody runs behind the addresses."""

from __future__ import annotations

import contextlib
import socket
import threading
from typing import TYPE_CHECKING

import pytest

from m2serve.config.outside import Outside
from m2serve.config.settings import examine
from m2serve.mongrel2.doctor import Level, diagnose, is_ill, report
from m2serve.wire import zmtp

if TYPE_CHECKING:
    from written import Written


def findings(written: Written | None, *arguments: str) -> dict[str, list[str]]:
    """The texts by level, without what concerns addresses."""
    argv = [*arguments, *(() if written is None else ("--mongrel2-config", str(written)))]
    examined = examine(argv, {}, Outside())
    found: dict[str, list[str]] = {level.value: [] for level in Level}
    for _, some in diagnose(examined.settings, examined.problems):
        for one in some:
            if "_spec tcp" not in one.text and "_spec ipc" not in one.text:
                found[one.level.value].append(one.text)
    return found


def has(texts: list[str], *words: str) -> bool:
    return any(all(word in text for word in words) for text in texts)


@pytest.fixture
def sound(written: Written) -> Written:
    """A database against which nothing is to be said."""
    written.server()
    written.handler()
    for key, value in (
        ("upload.temp_store", f"{written.path.parent}/up.XXXXXX"),
        ("download.flow_control", "1"),
        ("limits.buffer_size", "16384"),
        ("limits.client_read_retries", "20"),
    ):
        written.setting(key, value)
    return written


def test_nothing_is_said_against_what_is_sound(sound: Written) -> None:
    found = findings(sound, "--module", "app")
    assert (found["problem"], found["warning"]) == ([], [])
    assert not has(found["advice"], "protocol") and not has(found["advice"], "limits")


@pytest.mark.parametrize(
    ("statement", "level", "words"),
    [
        ("UPDATE handler SET recv_ident = ''", "warning", ("recv_ident is empty", "recv_ident='app'")),
        ("UPDATE handler SET recv_ident = 'ap'", "warning", ("recv_ident 'ap'", "other handlers")),
        ("UPDATE handler SET recv_ident = 'other'", "problem", ("recv_ident 'other'", "none of our answers")),
        ("UPDATE handler SET protocol = 'json'", "advice", ("protocol is json", "tnetstring")),
        ("DELETE FROM route", "warning", ("no route",)),
        ("DELETE FROM setting WHERE key = 'upload.temp_store'", "problem", ("upload.temp_store is not set",)),
        ("UPDATE setting SET value = '/nowhere/up.XXXXXX' WHERE key = 'upload.temp_store'", "warning", ("/nowhere",)),
        ("UPDATE setting SET value = 0 WHERE key = 'download.flow_control'", "warning", ("download.flow_control is",)),
        ("UPDATE setting SET value = 4096 WHERE key = 'limits.buffer_size'", "advice", ("limits.buffer_size",)),
        ("DELETE FROM setting WHERE key = 'limits.client_read_retries'", "advice", ("limits.client_read_retries",)),
        ("INSERT INTO setting (key, value) VALUES ('limits.min_ping', 60)", "warning", ("60 s", "keep-alive-interval")),
        ("INSERT INTO setting (key, value) VALUES ('upload.stream', 1)", "advice", ("upload.stream is on",)),
        ("UPDATE server SET chroot = '/nowhere'", "warning", ("/nowhere",)),
        (
            "INSERT INTO setting (key, value) VALUES ('limits.content_length', 1000)",
            "warning",
            ("limits.content_length is 1000", "limits.buffer_size"),
        ),
    ],
)
def test_what_will_hurt_is_named(sound: Written, statement: str, level: str, words: tuple[str, ...]) -> None:
    sound.execute(statement)
    found = findings(sound)
    assert has(found[level], *words), found


def test_several_servers(sound: Written) -> None:
    second = sound.server("second")
    sound.handler("app2", "tcp://127.0.0.1:9995", "tcp://127.0.0.1:9994", (second,))
    sound.execute("UPDATE handler SET recv_ident = '' WHERE send_ident = 'app'")
    assert has(findings(sound, "--handler", "app")["problem"], "recv_ident is empty")
    sound.execute("UPDATE handler SET recv_ident = 'app' WHERE send_ident = 'app'")
    assert has(findings(sound, "--handler", "app")["warning"], "beginning of app2", "blank")
    sound.execute("UPDATE handler SET recv_ident = 'app ' WHERE send_ident = 'app'")
    found = findings(sound, "--handler", "app")
    assert (found["problem"], found["warning"]) == ([], [])
    sound.execute("INSERT INTO route (path, host_id, target_id, target_type) VALUES ('/', 2, 1, 'handler')")
    assert has(findings(sound, "--handler", "app")["problem"], "several servers", "main, second")


def test_the_settings_of_our_own(sound: Written) -> None:
    found = findings(sound, "--keep-alive-interval", "0", "--mongrel2-setting", "upload.temp_stor=/x")
    assert has(found["warning"], "keep-alive-interval is 0")
    assert has(found["warning"], "upload.temp_stor", "did you mean")
    pair = "tcp://127.0.0.1:1,tcp://127.0.0.1:2"
    assert has(findings(None, "--zeromq", pair, "--zeromq", pair)["problem"], "used 2 times")
    assert has(findings(None, "--zeromq", pair)["advice"], "mongrel2-config")
    assert has(findings(None, "--zeromq", "tcp://127.0.0.1:1")["problem"], "zeromq")
    assert has(findings(None, "--with-mongrel2", ":8080")["good"], "with-mongrel2")
    sound.execute("DELETE FROM handler")
    assert has(findings(sound)["problem"], "no handler")


class Peer:
    """Says something to whoever connects, and keeps what it is told."""

    def __init__(self, said: bytes) -> None:
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"tcp://127.0.0.1:{self.listener.getsockname()[1]}"
        self.heard = b""
        self._said = said
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        sock, _ = self.listener.accept()
        # he may leave with something unread
        with sock, contextlib.suppress(ConnectionError):
            if self._said:
                sock.sendall(self._said)
            while data := sock.recv(1000):
                self.heard += data

    def close(self) -> None:
        self._thread.join(10)
        self.listener.close()


@pytest.mark.parametrize(
    ("push", "sub", "words"),
    [
        (zmtp.GREETING + zmtp.ready(b"PUSH"), zmtp.GREETING + zmtp.ready(b"SUB"), ()),
        (zmtp.GREETING + zmtp.ready(b"SUB"), zmtp.GREETING + zmtp.ready(b"PUSH"), ("swapped",)),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n" + bytes(50), zmtp.GREETING + zmtp.ready(b"SUB"), ("does not speak ZMTP",)),
        (b"", zmtp.GREETING + zmtp.ready(b"SUB"), ("no answer",)),
    ],
    ids=["right", "swapped", "http", "silent"],
)
def test_who_answers(monkeypatch: pytest.MonkeyPatch, push: bytes, sub: bytes, words: tuple[str, ...]) -> None:
    monkeypatch.setattr("m2serve.mongrel2.doctor._PATIENCE", 0.2 if not push else 10.0)
    peers = Peer(push), Peer(sub)
    examined = examine(["--zeromq", ",".join(peer.address for peer in peers), "--module", "app"], {}, Outside())
    sections = diagnose(examined.settings, examined.problems)
    for peer in peers:
        peer.close()
        assert b"READY" not in peer.heard, "a PUSH would deal us requests"
    text = report(sections)
    assert is_ill(sections) == bool(words)
    assert all(word in text for word in words)
    if not words:
        assert "a PUSH socket answers" in text and "a SUB socket answers" in text
