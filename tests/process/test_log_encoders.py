"""Encoders, routes, filters and loggers of the log, through real processes."""

from __future__ import annotations

import gzip
import json
import re
import signal
from functools import partial
from typing import TYPE_CHECKING

import zmq
from support.http import get
from support.server import APPS, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from support.mongrel2 import Mongrel2
    from support.server import Server


def records(text: str) -> list[dict[str, str]]:
    """Every whole line of a log that consists of JSON."""
    return [json.loads(line) for line in text.splitlines(keepends=True) if line.endswith("\n")]


def test_a_log_of_json_for_files_and_for_zeromq(
    mongrel2: Mongrel2, serve: Callable[..., Server], tmp_path: Path
) -> None:
    audit = tmp_path / "audit.log"
    (tmp_path / "loud.py").write_text("print('the application is loaded')\n")
    options = [
        ("pythonpath", str(tmp_path)),
        ("pyimport", "loud"),
        ("logger", f"zeromq:ipc://{tmp_path}/pull"),
        ("logger", f"audit file:{audit}"),
        ("log-route", "audit GET /pid"),
        ("log-drain", "GET /echo"),
        ("log-encoder", 'json {"level": "${level}", "from": "${logger}", "text": "${text}", "line": "${msg}"}'),
        ("log-encoder", "nl"),
        ("log-encoder", "prefix:audit //"),
    ]
    with zmq.Context() as context, context.socket(zmq.PULL) as pull:
        pull.bind(f"ipc://{tmp_path}/pull")
        server = serve(mongrel2, options=tuple(word for name, value in options for word in (f"--{name}", value)))
        for path in ("/echo", "/pid", "/slow/0/%22quoted%22"):
            assert get(mongrel2.address, path).status == 200
        wait_until(lambda: "GET /slow" in server.log, 10, "the line of the request")
        wait_until(lambda: audit.exists() and audit.read_text().endswith("}\n"), 10, "a line of the other logger")
        assert "GET /echo" not in server.log
        assert "descriptor" not in server.log, "a connection of the log keeps nobody from being forked"
        assert "GET /pid" not in server.log
        assert audit.read_text().startswith('//{"level": "INFO", "from": "request", "text": "[pid: ')
        assert audit.read_text().count("\n") == 1

        messages: list[bytes] = []

        def heard(text: str, again: Callable[[], object]) -> bool:
            """Whoever found nobody at his first attempt tries again with a later line."""
            if pull.poll(500):
                messages.append(pull.recv())
            else:
                again()
            return any(text in message.decode() for message in messages)

        wait_until(lambda: heard("GET /slow", lambda: get(mongrel2.address, "/slow/0/")), 20, "a line of a request")
        table = partial(server.signal, signal.SIGUSR1)
        wait_until(lambda: heard("workers ready", table), 20, "a line of the master")
        assert all(message.endswith(b"}\n") for message in messages)
        assert server.stop() == 0
    printed = [one for one in records(server.log) if one["text"].startswith("begun /slow/0")]
    assert [one["text"] for one in printed[:1]] == ['begun /slow/0/"quoted"'], (
        "what the application prints is a record, too"
    )
    ready = [one for one in records(server.log) if "workers ready" in one["text"]]
    assert ready[0]["line"].endswith(f"INFO {ready[0]['from']}: {ready[0]['text']}")


def test_the_time_in_a_form_of_ones_own(
    mongrel2: Mongrel2, start_server: Callable[..., Server], tmp_path: Path
) -> None:
    """The nursery, the workers, the dispatcher and a daemon begin their lines with it; requests have a time already."""
    ini = tmp_path / "app.ini"
    ini.write_text(
        f"[uwsgi]\nmodule = probe\npythonpath = {APPS}\nzeromq = {mongrel2.pair}\nprocesses = 2\n"
        "log-date = %%d.%%m.%%Y, %%H:%%M\nattach-daemon = echo from a daemon; exec sleep 1000\n"
    )
    server = start_server(str(ini)).wait_ready(2)
    assert get(mongrel2.address, "/pid").status == 200
    server.wait_log("GET /pid")
    server.wait_log("from a daemon")
    assert server.stop() == 0
    dated = re.compile(r"\d\d\.\d\d\.\d{4}, \d\d:\d\d - \[\d+\] [A-Z]+ [^:]+: ")
    others = [line for line in server.log.splitlines() if dated.match(line) is None]
    assert [line.partition("|")[0].rstrip("0123456789") for line in others] == ["[pid: "], others


def test_lines_for_requests_alone(mongrel2: Mongrel2, serve: Callable[..., Server], tmp_path: Path) -> None:
    good, bad = tmp_path / "good.log", tmp_path / "bad.log"
    options = [
        ("log-format", "%(status) %(uri)"),
        ("req-logger", f"file:{good}"),
        ("req-logger", f"bad file:{bad}"),
        ("log-req-route", "bad ^[45]"),
        ("log-req-encoder", "format ${strftime:%%}${msg}|"),
    ]
    server = serve(mongrel2, options=tuple(word for name, value in options for word in (f"--{name}", value)))
    for path, status in (("/pid", 200), ("/status/404", 404), ("/pid", 200)):
        assert get(mongrel2.address, path).status == status
    wait_until(lambda: good.exists() and good.read_text() == "%200 /pid|\n" * 2, 10, "two lines")
    wait_until(lambda: bad.exists() and bad.read_text() == "%404 /status/404|\n", 10, "one line")
    assert "/status/404" not in server.log


def test_lines_that_are_no_text(mongrel2: Mongrel2, serve: Callable[..., Server], tmp_path: Path) -> None:
    packed, zipped = tmp_path / "requests.msgpack", tmp_path / "slow.gz"
    options = [
        ("log-format", "%(status) %(uri)"),
        ("req-logger", f"file:{packed}"),
        ("log-req-encoder", "msgpack map:2|str:at|unix|str:line|msg"),
        ("logger", f"slow file:{zipped}"),
        ("log-route", "slow ^begun /slow"),
        ("log-encoder", "gzip:slow"),
    ]
    server = serve(mongrel2, options=tuple(word for name, value in options for word in (f"--{name}", value)))
    for path in ("/slow/0/a", "/slow/0/b"):
        assert get(mongrel2.address, path).status == 200
    one = rb"\x82\xa2at\xd2....\xa4line\xad200 /slow/0/[ab]"
    wait_until(lambda: packed.exists() and re.fullmatch(one * 2, packed.read_bytes(), re.DOTALL), 10, "two requests")
    wait_until(lambda: zipped.exists() and gzip.decompress(zipped.read_bytes()).count(b"\n") == 2, 10, "two prints")
    assert gzip.decompress(zipped.read_bytes()) == b"begun /slow/0/a\nbegun /slow/0/b\n"
    assert "begun /slow" not in server.log
