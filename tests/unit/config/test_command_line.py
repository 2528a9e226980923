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
        ("--set threads=2 --set-ph=x=y", [("threads", "2"), ("x", "y")]),
    ],
)
def test_reads(argv: str, expected: list[tuple[str, str]]) -> None:
    line = parse(argv.split())
    assert line.problems == []
    assert [(entry.key, entry.value) for entry in line.entries] == expected
    assert all(entry.origin == "command line" for entry in line.entries)


def test_files() -> None:
    line = parse("app.ini --master other.ini:dev --ini conf/any.conf --include=x.ini -- --odd.ini".split())
    assert line.files == ["app.ini", "other.ini:dev", "conf/any.conf", "x.ini", "--odd.ini"]
    assert line.problems == []


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
        ("app.yaml", "app.yaml: expected an option or an ini file (app.ini, app.ini:section)"),
        ("-", "-: expected an option or an ini file (app.ini, app.ini:section)"),
    ],
)
def test_says_what_is_wrong_once(argv: str, expected: str) -> None:
    assert parse(argv.split()).problems == [f"command line: {expected}"]


def test_all_mistakes_are_found() -> None:
    assert len(parse("--a 1 --b=2 -z c.txt".split()).problems) == 4


@pytest.mark.parametrize(
    ("argument", "wants"),
    [("-h", Information.HELP), ("--help", Information.HELP), ("--version", Information.VERSION)],
)
def test_questions(argument: str, wants: Information) -> None:
    assert parse(["--master", argument, "--nonsense"]).wants is wants
    assert parse(["--master"]).wants is None
