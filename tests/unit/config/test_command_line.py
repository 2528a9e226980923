"""Arguments to entries."""

from __future__ import annotations

import pytest

from m2serve.config.cli import Information, parse


@pytest.mark.parametrize(
    ("argv", "expected"),
    [
        ("--processes 4", [("processes", "4")]),
        ("--processes=4", [("processes", "4")]),
        ("--processes=", [("processes", "")]),
        ("-p 4", [("processes", "4")]),
        ("-p4", [("processes", "4")]),
        ("-Mp 4 -T", [("master", ""), ("processes", "4"), ("enable-threads", "")]),
        ("--workers -1", [("processes", "-1")]),
        ("--master --threads 2", [("master", ""), ("threads", "2")]),
        ("--master=false", [("master", "false")]),
        ("-w shop:app", [("module", "shop:app")]),
        ("--env A=b --env=C=d", [("env", "A=b"), ("env", "C=d")]),
        ("--set threads=2 --set-ph=x=y -Sa=b", [("set", "threads=2"), ("set-ph", "x=y"), ("set", "a=b")]),
        ("app.ini -p 4 o.yaml:dev", [("include", "app.ini"), ("processes", "4"), ("include", "o.yaml:dev")]),
        ("--ini conf/any.conf --json x -y z", [("ini", "conf/any.conf"), ("json", "x"), ("yaml", "z")]),
        ("-- --odd.ini", [("include", "--odd.ini")]),
        (
            "[uWSGI-worker] -s :3031 -t30 --http-keepalive",
            [("socket", ":3031"), ("harakiri", "30"), ("http-keepalive", "")],
        ),
        ("--log-date app.ini", [("log-date", ""), ("include", "app.ini")]),
        ("--log-date --master --log-date %Y", [("log-date", ""), ("master", ""), ("log-date", "%Y")]),
    ],
)
def test_reads(argv: str, expected: list[tuple[str, str]]) -> None:
    line = parse(argv.split())
    assert line.problems == []
    assert [(entry.key, entry.value) for entry in line.entries] == expected
    assert all(entry.origin == "command line" for entry in line.entries)


POSITIONAL = "expected an option or a file (app.ini, app.ini:section; also .yaml, .json, .toml)"


@pytest.mark.parametrize(
    ("argv", "expected"),
    [
        ("--proceses 4", "--proceses: unknown option; did you mean --processes?"),
        ("--proceses=4", "--proceses: unknown option; did you mean --processes?"),
        ("--qqq --master", "--qqq: unknown option"),
        ("--qqq app.ini", "--qqq: unknown option"),
        ("--p 4", "--p: unknown option"),
        ("-Mx", "-x: unknown option"),
        ("--processes", "--processes: expected a value (N)"),
        ("-p", "-p: expected a value (N)"),
        ("--zmq", "--zmq: expected a value (SEND,RECV)"),
        ("--ini", "--ini: expected a value (FILE[:SECTION])"),
        ("app.txt", f"app.txt: {POSITIONAL}"),
        ("-", f"-: {POSITIONAL}"),
        ("--if-env X --master", "--if-env: expected it in a file only"),
    ],
)
def test_says_what_is_wrong_once(argv: str, expected: str) -> None:
    assert parse(argv.split()).problems == [f"command line: {expected}"]


def test_all_mistakes_are_found() -> None:
    assert len(parse("--a 1 --b=2 -Z c.txt".split()).problems) == 4


@pytest.mark.parametrize(
    ("argument", "wants"),
    [("-h", Information.HELP), ("--help", Information.HELP), ("--version", Information.VERSION)],
)
def test_questions(argument: str, wants: Information) -> None:
    assert parse(["--master", argument, "--nonsense"]).wants is wants
    assert parse(["--master"]).wants is None


def test_switches() -> None:
    line = parse(["--check", "app.ini", "--allow-exec"])
    assert (line.check, line.allow_exec) == (True, True)
    assert not parse(["app.ini"]).check
