"""Which lines go where."""

from __future__ import annotations

import logging
import socket
import sys
import threading
from typing import TYPE_CHECKING

import pytest

from m2serve.config.log_values import LogEncoder, LogRoute, LogTarget
from m2serve.config.settings import Settings, load
from m2serve.config.static_values import Pattern
from m2serve.observe import log, printed, push, shape
from m2serve.observe.lines import Lines, Outlet
from m2serve.observe.sinks import EachProcess
from m2serve.wire.zmtp import GREETING, ready

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


class Kept:
    """A sink."""

    def __init__(self) -> None:
        self.lines: list[bytes] = []
        self.words: list[str] = []

    def write(self, line: bytes) -> None:
        self.lines.append(line)

    def reopen(self) -> None:
        self.words.append("reopen")

    def forget(self) -> None:
        self.words.append("forget")

    def close(self) -> None:
        self.words.append("close")


def settings(*options: str) -> Settings:
    return load(["--zeromq", "tcp://127.0.0.1:1,tcp://127.0.0.1:2", "--module", "app", *options], {})


def test_routes_filters_and_drains() -> None:
    all_of_them, audit = Kept(), Kept()
    lines = Lines(
        [Outlet(None, all_of_them, ()), Outlet(LogTarget.parse("audit file:x"), audit, ())],
        [LogRoute.parse("audit login"), LogRoute.parse("audit logout$")],
        [Pattern.parse("log"), Pattern.parse("^GET")],
        [Pattern.parse("health")],
    )
    for text in (b"login ann", b"GET /health", b"GET /", b"POST /", b"a log", b"logout"):
        lines.write(text + b"\n")
    assert all_of_them.lines == [b"GET /\n", b"a log\n"]
    assert audit.lines == [b"login ann\n", b"logout\n"]


def test_encoders_of_one_logger_and_of_all() -> None:
    log_, audit, socket = Kept(), Kept(), Kept()
    encoders = [LogEncoder.parse("format (${msg})"), LogEncoder.parse("prefix:audit !")]
    lines = Lines(
        [
            Outlet(None, log_, encoders),
            Outlet(LogTarget.parse("audit file:x"), audit, encoders),
            Outlet(LogTarget.parse("socket:/x"), socket, encoders),
        ],
        [LogRoute.parse("audit login")],
    )
    lines.write(b"login\n")
    lines.write(b"else\n")
    assert log_.lines == [b"(else)\n"], "a file has lines"
    assert audit.lines == [b"!(login)\n"]
    assert socket.lines == [b"(else)"], "a message is what the encoders make"


def test_what_is_no_text_gets_no_newline_and_loses_none(tmp_path: Path) -> None:
    kept, encoders = Kept(), [LogEncoder.parse("msgpack int:10"), LogEncoder.parse("nl:audit")]
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as heard:
        heard.settimeout(10)
        heard.bind(str(tmp_path / "heard"))
        targets = [LogTarget.parse(text) for text in (f"socket:{tmp_path}/heard", f"audit file:{tmp_path}/audit")]
        others = [Outlet(target, EachProcess(target), encoders) for target in targets]
        lines = Lines([Outlet(None, kept, encoders), *others], [LogRoute.parse("audit two")])
        lines.write(b"one\n")
        lines.write(b"two\n")
        lines.write(b"two\n")
        assert heard.recv(100) == b"\n"
        lines.close()
    assert kept.lines == [b"\n"]
    assert (tmp_path / "audit").read_bytes() == b"\n\n" * 2


def test_what_concerns_the_sinks_is_handed_on() -> None:
    kept = Kept()
    lines = Lines([Outlet(None, kept, ())])
    lines.reopen()
    lines.forget()
    lines.close()
    assert kept.words == ["reopen", "forget", "close"]


def test_connections_are_given_up_until_the_next_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(push, "_PATIENCE", 20.0)  # threads of a busy machine may take their time
    path = tmp_path / "pull"
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
        server.listen()
        served: list[socket.socket] = []

        def shake() -> None:
            for _ in range(2):
                peer, _ = server.accept()
                served.append(peer)
                peer.sendall(GREETING + ready(b"PULL"))

        thread = threading.Thread(target=shake)
        thread.start()
        target = LogTarget.parse(f"zeromq:ipc://{path}")
        lines = Lines([Outlet(target, EachProcess(target), ())])
        lines.write(b"one\n")
        lines.rest()
        lines.rest()
        lines.write(b"two\n")
        thread.join(20)
        assert len(served) == 2
        lines.close()
        for peer in served:
            peer.close()


def test_prints_become_lines() -> None:
    got: list[bytes] = []
    stream = printed.stream(1, got.append)
    print("one", 2, "drei ä", file=stream)
    stream.write("begun ")
    stream.write("and ended\nopen")
    stream.flush()
    assert got == ["one 2 drei ä\n".encode(), b"begun and ended\n"]
    assert stream.fileno() == 1
    stream.close()
    assert got[-1] == b"open\n"


def test_a_print_without_an_end_is_not_kept_for_ever() -> None:
    got: list[bytes] = []
    stream = printed.stream(1, got.append)
    stream.write("x" * 1_100_000)
    stream.flush()
    assert len(got) == 1
    stream.close()


@pytest.mark.parametrize(
    "options",
    [(), ("--logger", "stdio"), ("--logger", "file:/var/log/x"), ("--logger", "file:/var/log/x", "--logto", "/log")],
)
def test_settings_that_ask_for_nothing_special(options: tuple[str, ...]) -> None:
    made = settings(*options)
    first = shape.log_file(made)
    path = first.argument if first is not None else None
    assert shape.log_lines(made, path) is None
    assert not shape.shapes_requests(made)


def test_every_kind_of_logger_makes_lines(tmp_path: Path) -> None:
    for option in (
        ("--log-syslog", "shop"),
        ("--log-socket", "/nowhere"),
        ("--log-zeromq", "ipc:///nowhere"),
        ("--log-rsyslog", "127.0.0.1"),
        ("--logger", f"name file:{tmp_path}/x"),
        ("--log-drain", "x"),
        ("--log-filter", "x"),
        ("--log-encoder", "nl"),
    ):
        lines = shape.log_lines(settings(*option), None)
        assert lines is not None, option
        lines.close()


def test_a_second_file_gets_the_lines_too(tmp_path: Path) -> None:
    made = settings("--logger", f"file:{tmp_path}/a", "--logger", f"file:{tmp_path}/b")
    lines = shape.log_lines(made, f"{tmp_path}/a")
    assert lines is not None
    lines.write(b"hello\n")
    lines.close()
    assert (tmp_path / "b").read_text() == "hello\n"
    assert not (tmp_path / "a").exists(), "that is standard error's"


@pytest.fixture
def _restored() -> Iterator[None]:
    root = logging.getLogger("m2serve")
    kept = (root.handlers[:], root.level, root.propagate, logging.raiseExceptions)
    streams, known, reopened = (sys.stdout, sys.stderr), log._lines, log._reopened[:]
    yield
    root.handlers[:], _, root.propagate, logging.raiseExceptions = kept
    root.setLevel(kept[1])
    (sys.stdout, sys.stderr), log._lines = streams, known
    log._reopened[:] = reopened


@pytest.mark.usefixtures("_restored")
def test_the_log_goes_through_them() -> None:
    kept = Kept()
    lines = Lines([Outlet(None, kept, [LogEncoder.parse("format ${level} ${logger} ${text}")])], source="print")
    log.setup(lines=lines)
    assert log.lines() is lines
    logging.getLogger("m2serve.worker.3").warning("slow %d", 7)
    print("printed")
    print("to the other", file=sys.stderr)
    logging.getLogger("m2serve.worker").error("%d", "text")  # cannot be formatted, and hurts nobody
    assert kept.lines == [b"WARNING worker.3 slow 7\n", b"INFO print printed\n", b"INFO print to the other\n"]
    log.reopen()
    assert kept.words == ["reopen"]
