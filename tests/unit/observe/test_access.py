"""The request log."""

from __future__ import annotations

import re
import time
from typing import Any

import pytest
from support.channel import make_request

from m2serve.gateways.base import Outcome
from m2serve.message import Request
from m2serve.observe.access import AccessLog
from m2serve.observe.facts import Facts

UWSGI = re.compile(
    rb"\[pid: (\d+)\|app: (-?\d+)\|req: (\d+)/(\d+)\] (\S+) \(\) \{(\d+) vars in (\d+) bytes\} "
    rb"\[(\w{3} \w{3} [ \d]\d \d\d:\d\d:\d\d \d{4})\] (\S+) (\S+) => generated (\d+) bytes in (\d+) msecs "
    rb"\((\S+) (\d+)\) (\d+) headers in (\d+) bytes \(1 switches on core (\d+)\)\n"
)


@pytest.fixture(autouse=True)
def utc(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def record(request: Request, outcome: Outcome | None = None, **more: Any) -> bytes:
    lines: list[bytes] = []
    facts: dict[str, Any] = {
        "core": 0,
        "started": 1795182369.9,
        "elapsed": 0.0004,
        "served_by_worker": 1,
        "served_total": 1,
        **more,
    }
    AccessLog(lines.append, 28119).record(Facts(request, outcome or Outcome(200, 41, 1, 45, False, None, 0), **facts))
    (line,) = lines
    assert UWSGI.fullmatch(line), line
    return line


def test_the_line_of_uwsgi() -> None:
    request = Request(
        b"app-1",
        b"7",
        b"/",
        {b"REMOTE_ADDR": b"127.0.0.1", b"METHOD": b"GET", b"URI": b"/", b"VERSION": b"HTTP/1.1", b"x": [b"1", b"22"]},
        b"",
    )
    # five variables: 28 bytes of names, 24 of values, four for the two lengths of each
    assert record(request) == (
        b"[pid: 28119|app: 0|req: 1/1] 127.0.0.1 () {5 vars in 72 bytes} [Fri Nov 20 13:46:09 2026] GET / => "
        b"generated 41 bytes in 0 msecs (HTTP/1.1 200) 1 headers in 45 bytes (1 switches on core 0)\n"
    )


def test_all_the_numbers() -> None:
    outcome = Outcome(404, 9, 3, 120, True, "error", -1)
    line = record(make_request("POST", "/x?y"), outcome, core=3, elapsed=1.5, served_by_worker=7, served_total=99)
    match = UWSGI.fullmatch(line)
    assert match is not None
    assert match.group(1, 2, 3, 4) == (b"28119", b"-1", b"7", b"99")
    assert match.group(9, 10, 11, 12) == (b"POST", b"/x?y", b"9", b"1500")
    assert match.group(13, 14, 15, 16, 17) == (b"HTTP/1.1", b"404", b"3", b"120", b"3")


@pytest.mark.parametrize(
    ("uri", "shown"),
    [
        ("/a\nb", rb"/a\x0Ab"),
        ("/a\r\n[pid: 1|", rb"/a\x0D\x0A[pid:\x201|"),
        ('/"\\', rb"/\x22\x5C"),
        ("/\x1b[31m\x00\x7f\xe9", rb"/\x1B[31m\x00\x7F\xE9"),
        ("", b"-"),
    ],
)
def test_nobody_writes_a_field_of_his_own(uri: str, shown: bytes) -> None:
    match = UWSGI.fullmatch(record(make_request(own={"URI": uri})))
    assert match is not None
    assert match[10] == shown


def test_fields_are_escaped_everywhere() -> None:
    line = record(make_request(own={"METHOD": "A\nB", "VERSION": "H\nT", "REMOTE_ADDR": "1\n2"}))
    assert line.count(b"\n") == 1


@pytest.mark.parametrize("character", ["x", "\xff"])
def test_a_line_fits_a_pipe(character: str) -> None:
    line = record(make_request(own={"URI": "/" + character * 100_000}))
    assert len(line) < 4096
    assert b"... => generated" in line


def test_requests_of_other_kinds() -> None:
    part = Request(b"app-1", b"7", b"/up", {b"UPLOAD_STREAM": b"1"}, b"")
    assert b"- () {1 vars in 18 bytes}" in record(part)
    assert b"] - /up => generated" in record(part)
    assert b"{0 vars in 0 bytes}" in record(part._replace(headers={}))


def test_the_time_changes_with_the_second() -> None:
    lines: list[bytes] = []
    log = AccessLog(lines.append, 1)
    for wall in (0.0, 0.9, 1.0):
        log.record(Facts(make_request(), Outcome(200), 0, wall, 0, served_by_worker=1, served_total=1))
    assert [line.count(b"Thu Jan  1 00:00:00 1970") for line in lines] == [1, 1, 0]
