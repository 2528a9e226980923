"""Request lines in a form of one's own, which requests have one, and where they go."""

from __future__ import annotations

import json
import os
import socket
import time
from typing import TYPE_CHECKING, Any

import pytest

from m2serve.config.log_values import LogTarget
from m2serve.config.values import Slowness
from m2serve.errors import ConfigError
from m2serve.gateways.base import READ_ERROR, WRITE_ERROR, Outcome
from m2serve.message import Request
from m2serve.observe.access import AccessLog, Choice, ChosenLog, TemplateLog, memory_of_this_process
from m2serve.observe.facts import Facts
from m2serve.observe.sinks import EachProcess, sink
from m2serve.observe.template import Template

if TYPE_CHECKING:
    from pathlib import Path

HEADERS: dict[bytes, bytes | list[bytes]] = {
    b"METHOD": b"POST",
    b"URI": b"/a?b=c",
    b"PATH": b"/a",
    b"QUERY": b"b=c",
    b"VERSION": b"HTTP/1.1",
    b"REMOTE_ADDR": b"10.0.0.9",
    b"host": b"example.org",
    b"user-agent": b'evil" \x1b[31m\n\xff\\',
    b"x-forwarded-for": b"1.2.3.4, 10.0.0.9",
    b"x-many": [b"one", b"two"],
    b"content-length": b"5",
}
OUTCOME = Outcome(404, 41, 3, 100, False, None, 0)


@pytest.fixture(autouse=True)
def zone(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv("TZ", "XYZ-5:30")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def line(text: str, outcome: Outcome = OUTCOME, **more: Any) -> str:
    template = Template(text, 28119, 3, **more)
    facts = Facts(Request(b"s", b"7", b"/a", HEADERS, b"hello"), outcome, 2, 1795182369.25, 1.0625, (4 << 20, 8 << 20))
    return template.line(facts).decode("latin-1")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("%(method) %(uri) %(proto) %(status)", "POST /a?b=c HTTP/1.1 404"),
        ("%(size) %(rsize) %(hsize) %(headers) %(cl)", "141 41 100 3 5"),
        ("%(micros) %(msecs) %(secs)", "1062500 1062 1"),
        ("%(time) %(tmsecs) %(tmicros)", "1795182369 1795182369250 1795182369250000"),
        ("[%(ltime)] %(ctime)", "[20/Nov/2026:19:16:09 +0530] Fri Nov 20 19:16:09 2026"),
        ("%(pid) %(wid) %(core) %(switches) %(vars)", "28119 3 2 1 11"),
        ("%(addr) %(host) %(user) %(referer)", "10.0.0.9 example.org - -"),
        ("%(var.HTTP_X_MANY) %(var.QUERY_STRING) %(var.NOTHING)", "one, two b=c -"),
        ("%(rss) %(rssM) %(vszM)", "4194304 4 8"),
        ("%(nothing) %(metric.x) 100% (x)", "- - 100% (x)"),
        ('"%(uagent)"', '"evil\\x22 \\x1B[31m\\x0A\\xFF\\x5C"'),
    ],
)
def test_fields(text: str, expected: str) -> None:
    assert line(text) == expected + "\n"


def test_a_json_template_gives_json_whatever_the_client_says() -> None:
    said = json.loads(line('{"agent": "%(uagent)", "uri": "%(uri)", "status": %(status)}'))
    assert said == {"agent": 'evil" \x1b[31m\nÿ\\', "uri": "/a?b=c", "status": 404}


def test_the_text_between_may_be_for_strftime_but_what_the_client_said_is_not() -> None:
    assert line("%Y-%m-%d %(var.HTTP_HOST)", strftime=True) == "2026-11-20 example.org\n"
    HEADERS[b"host"] = b"%Y%n"
    try:
        assert line("%H:%M %(host)", strftime=True) == "19:16 %Y%n\n"
    finally:
        HEADERS[b"host"] = b"example.org"


def test_a_forwarded_address_where_that_is_asked_for() -> None:
    assert line("%(addr)", forwarded=True) == "1.2.3.4, 10.0.0.9\n"


def test_no_line_is_longer_than_what_is_written_in_one_piece() -> None:
    HEADERS[b"referer"] = b"\xff" * 5000
    try:
        assert len(line("%(referer) %(referer)")) == 4096
    finally:
        del HEADERS[b"referer"]


@pytest.mark.parametrize(
    ("choice", "outcome", "elapsed", "has"),
    [
        (Choice(), Outcome(500, 1), 9.0, False),
        (Choice(errors_4xx=True), Outcome(404, 1), 0.0, True),
        (Choice(errors_4xx=True), Outcome(500, 1), 0.0, False),
        (Choice(errors_5xx=True), Outcome(500, 1), 0.0, True),
        (Choice(errors_5xx=True), Outcome(499, 1), 0.0, False),
        (Choice(slower_than=0.1), Outcome(200, 1), 0.1, True),
        (Choice(slower_than=0.1), Outcome(200, 1), 0.09, False),
        (Choice(larger_than=100), Outcome(200, 100), 0.0, True),
        (Choice(larger_than=100), Outcome(200, 99), 0.0, False),
        (Choice(empty=True), Outcome(200, 0), 0.0, True),
        (Choice(empty=True), Outcome(200, 1), 0.0, False),
        (Choice(io_errors=True), Outcome(200, 1, trouble=READ_ERROR), 0.0, True),
        (Choice(io_errors=True), Outcome(200, 1, trouble=WRITE_ERROR), 0.0, True),
        (Choice(io_errors=True), Outcome(200, 1), 0.0, False),
        (Choice(files=True), Outcome(200, 1, filed=True), 0.0, True),
        (Choice(files=True), Outcome(200, 0, filed=True), 0.0, False),
        (Choice(files=True), Outcome(200, 1), 0.0, False),
    ],
)
def test_who_has_a_line_all_the_same(choice: Choice, outcome: Outcome, elapsed: float, has: bool) -> None:
    lines: list[bytes] = []
    log = ChosenLog(choice, TemplateLog(lines.append, Template("%(status)", 1, 1), memory_of_this_process))
    request = Request(b"s", b"7", b"/", HEADERS, b"")
    log.record(Facts(request, outcome, 0, 1.0, elapsed, served_by_worker=1, served_total=1))
    assert bool(lines) == has


def test_the_usual_line_with_microseconds_and_memory() -> None:
    lines: list[bytes] = []
    log = AccessLog(lines.append, 5, micros=True, memory=lambda: (3 << 20, 9 << 20))
    request = Request(b"s", b"7", b"/", HEADERS, b"")
    log.record(Facts(request, OUTCOME, 0, 1.0, 0.25, served_by_worker=1, served_total=1))
    (one,) = lines
    assert one.startswith(b"{address space usage: 9437184 bytes/9MB} {rss usage: 3145728 bytes/3MB} [pid: 5|")
    assert b" in 250000 micros " in one


def test_memory_is_told() -> None:
    rss, vsz = memory_of_this_process()
    assert 1_000_000 < rss < vsz


@pytest.mark.parametrize(
    ("text", "driver", "argument"),
    [
        ("file:/var/log/x", "file", "/var/log/x"),
        ("req file:/var/log/x y", "file", "/var/log/x y"),
        ("syslog", "syslog", ""),
        ("syslog:app,local0", "syslog", "app,local0"),
        ("socket:10.0.0.1:514", "socket", "10.0.0.1:514"),
        ("stdio", "stdio", ""),
    ],
)
def test_targets(text: str, driver: str, argument: str) -> None:
    target = LogTarget.parse(text)
    assert (target.driver, target.argument, str(target)) == (driver, argument, text)


@pytest.mark.parametrize("text", ["", "file:", "socket", "redislog:x", "mongodblog:a", "/var/log/x"])
def test_targets_that_are_none(text: str) -> None:
    with pytest.raises(ConfigError, match="expected file:PATH"):
        LogTarget.parse(text)


def test_a_word_for_milliseconds_is_none() -> None:
    assert [Slowness.parse(text) for text in ("true", "250", "off")] == [0, 250, 0]
    with pytest.raises(ConfigError):
        Slowness.parse("soon")


def test_a_file_that_was_moved(tmp_path: Path) -> None:
    path = tmp_path / "requests.log"
    target = sink(LogTarget.parse(f"file:{path}"))
    target.write(b"one\n")
    path.rename(tmp_path / "old")
    target.write(b"two\n")
    target.reopen()
    target.write(b"three\n")
    assert (tmp_path / "old").read_text() == "one\ntwo\n"
    target.close()
    assert path.read_text() == "three\n"
    with pytest.raises(ConfigError, match="cannot be opened for writing"):
        sink(LogTarget.parse(f"file:{tmp_path}/nowhere/x"))


@pytest.mark.parametrize("family", ["udp", "unix"])
def test_datagrams_and_nobody_who_takes_them(tmp_path: Path, family: str) -> None:
    if family == "udp":
        server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        server.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{server.getsockname()[1]}"
    else:
        server = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        address = f"{tmp_path}/log"
        server.bind(address)
    with server:
        target = EachProcess(LogTarget.parse(f"socket:{address}"))
        target.write(b"a line\n")
        server.settimeout(10)
        assert server.recv(100) == b"a line"
    if family == "unix":
        os.unlink(address)
    target.write(b"nobody hears this\n")
    target.close()


@pytest.mark.parametrize("text", ["file:./log", "socket:./log", "zeromq:ipc://log"])
def test_a_relative_path_stays_where_it_is(text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    target = EachProcess(LogTarget.parse(text))
    assert f"{tmp_path}/log" in target._target.argument
    target.close()


def test_each_process_opens_its_own(tmp_path: Path) -> None:
    target = EachProcess(LogTarget.parse(f"file:{tmp_path}/log"))
    target.write(b"parent\n")
    pid = os.fork()
    if pid == 0:
        try:
            os.close(target._sink._fd)  # type: ignore[attr-defined]
            target.write(b"child\n")
        finally:
            os._exit(0)
    os.waitpid(pid, 0)
    target.write(b"parent again\n")
    target.close()
    assert (tmp_path / "log").read_text() == "parent\nchild\nparent again\n"


def test_variables_of_the_application() -> None:
    said = {"login": b'kate "k"'}
    assert line("%(login) %(other) %(status)", variables=said.get) == "kate \\x22k\\x22 - 404\n"
