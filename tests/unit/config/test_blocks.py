"""``for`` and ``if`` in files."""

from __future__ import annotations

import pytest

from m2serve.config.entry import COMMAND_LINE, Entry
from m2serve.config.expander import Expander
from m2serve.config.outside import Outside
from m2serve.config.reader import Reader
from m2serve.config.table import TABLE
from m2serve.errors import ConfigError

FILES = {"/srv/words": "one\ntwo three\n", "/srv/inc.ini": "[uwsgi]\ninside = %(_)!\n"}


def reading(text: str, **env: str) -> tuple[Reader, Expander]:
    """Read a file ``a.ini`` on a machine called web1."""
    contents = {"/srv/a.ini": f"[uwsgi]\n{text}", **FILES}

    def read_file(path: str) -> str:
        if path not in contents:
            raise FileNotFoundError(2, "No such file or directory")
        return contents[path]

    world = Outside(
        read_file=read_file,
        exists=lambda path: path in (*contents, "/srv/d"),
        is_file=lambda path: path in contents,
        is_dir=lambda path: path == "/srv/d",
        glob=lambda pattern: ["/srv/x.conf", "/srv/y.conf"] if pattern == "/srv/*.conf" else [],
        inode=lambda path: 1,
    )
    expander = Expander(env, lambda source: world.fetch(source, "/srv"))
    reader = Reader(world, "/srv", env, {"h": "web1"}, expander, TABLE.is_option)
    reader.take([Entry("include", "a.ini", COMMAND_LINE)])
    return reader, expander


def values(text: str, **env: str) -> list[tuple[str, str]]:
    reader, expander = reading(text, **env)
    assert reader.findings.problems == []
    return [(entry.key, expander.expand(entry)) for entry in reader.findings.entries]


@pytest.mark.parametrize(
    ("opener", "items"),
    [
        ("for = a  b", ["a", "b"]),
        ("for =", []),
        ("for = %(list)", ["p", "q"]),
        ("for-times = 3", ["1", "2", "3"]),
        ("for-times = many", []),
        ("for-glob = *.conf", ["x.conf", "y.conf"]),
        ("for-glob = /srv/*.conf", ["/srv/x.conf", "/srv/y.conf"]),
        ("for-glob = *.none", []),
        ("for-readline = words", ["one", "two three"]),
    ],
)
@pytest.mark.parametrize("closer", ["endfor", "end-for =", "end", "endif"])
def test_loops(opener: str, items: list[str], closer: str) -> None:
    found = values(f"set-ph = list=p q\n{opener}\nenv = X=%(_)\n{closer}\nafter = 1\n")
    assert found[1:] == [*(("env", f"X={item}") for item in items), ("after", "1")]


def test_each_line_is_taken_for_all_items_before_the_next_line() -> None:
    assert values("for = 1 2\na = %(_)\nb = %(_ + 1)\nendfor\n") == [("a", "1"), ("a", "2"), ("b", "2"), ("b", "3")]


def test_a_name_keeps_the_item_of_its_line() -> None:
    assert values("for = 1 2\na = <%(_)>\nendfor\nb = %(a)\nc = %(_)\n")[2:] == [("b", "<1>"), ("c", "%(_)")]


def test_a_file_that_is_included_in_a_loop_knows_the_item() -> None:
    assert values("for = 1 2\ninclude = inc.ini\nendfor\n") == [("inside", "1!"), ("inside", "2!")]


@pytest.mark.parametrize(
    ("condition", "tested"),
    [
        ("if-env = STAGE", "dev"),
        ("if-env = STAGE=dev", "dev"),
        ("if-not-env = NOPE", "%(_)"),
        ("if-not-env = STAGE=prod", "dev"),
        ("ifenv = EMPTY", ""),
        ("if-opt = known", "5"),
        ("if-opt = known=5", "5"),
        ("if-not-opt = unknown", "%(_)"),
        ("if-not-opt = later", "%(_)"),
        ("if-file = words", "words"),
        ("if-not-file = d", "d"),
        ("if-dir = d", "d"),
        ("if-directory = $(DIR)", "d"),
        ("ifdir = d", "d"),
        ("if-not-dir = words", "words"),
        ("if-exists = /srv/d", "/srv/d"),
        ("ifexists = words", "words"),
        ("if-not-exists = nope", "nope"),
        ("if-plugin = python3", "python3"),
        ("if-not-plugin = php", "php"),
        ("if-hostname = web1", "web1"),
        ("if-not-hostname = web2", "web2"),
        ("if-hostname-match = ^web[0-9]$", "^web[0-9]$"),
        ("if-not-hostname-match = ^db", "^db"),
        ("if-not-reload =", ""),
    ],
)
def test_conditions(condition: str, tested: str) -> None:
    env = {"STAGE": "dev", "EMPTY": "", "DIR": "d"}
    assert values(f"known = 5\n{condition}\nx = %(_)\nendif\nlater = 1\n", **env)[1:-1] == [("x", tested)]
    key, separator, value = condition.partition(" ")
    contrary = (
        key.replace("-not", "") if "-not" in key else key.replace("if-", "if-not-").replace("ifenv", "if-not-env")
    )
    if contrary != key:
        assert values(f"known = 5\n{contrary}{separator}{value}\nx = 1\nendif\nlater = 1\n", **env)[1:-1] == []


def test_else_takes_the_other_branch() -> None:
    text = "if-env = STAGE\na = 1\nelse\na = 2\nendif\n"
    assert values(text, STAGE="dev") == [("a", "1")]
    assert values(text) == [("a", "2")]
    assert "2.0 takes both" in reading(text)[0].findings.warnings[0]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("if-env = A\nif-env = B\nx = 1\nendif\n", "a.ini:3: if-env = B: blocks cannot be nested"),
        ("for-readline = nope\nx = 1\nendfor\n", "a.ini:2: for-readline = nope: cannot read 'nope': No such file"),
        ("for-times = 999999999\nx = 1\nendfor\n", "a.ini:2: for-times = 999999999: expected at most"),
        ("if-hostname-match = (\nendif\n", "a.ini:2: if-hostname-match = (: expected a regular expression"),
        ("if-file =\nendif\n", "a.ini:2: if-file =: expected something to test"),
        ("else\n", "a.ini:2: else =: expected it inside an if"),
        ("for = a\nelse\nendfor\n", "a.ini:3: else =: expected it inside an if"),
        ("if-exists = a\0b\nendif\n", "expected a path without NUL"),
        ("if-not-file = none\nexit\nendif\n", "a.ini:3: exit =: the file itself ends the start here"),
    ],
)
def test_says_what_is_wrong(text: str, problem: str) -> None:
    (found,) = reading(text)[0].findings.problems
    assert problem in found


def test_warns_of_blocks_without_an_end_and_ends_without_a_block() -> None:
    assert reading("if-file = words\nx = 1\n")[0].findings.warnings == [
        "a.ini:2: if-file = words: expected an end; it reaches to the file's"
    ]
    assert reading("endif\n")[0].findings.warnings == ["a.ini:2: endif =: there is no block to end"]


def test_what_a_block_leaves_out_still_counts_as_a_use_of_its_names() -> None:
    expander = reading("base = /srv\nif-env = NOPE\nchdir = %(base)\nendif\n")[1]
    assert "base" in expander.referenced


def test_programs_and_addresses() -> None:
    with pytest.raises(ConfigError, match="--allow-exec"):
        Outside().fetch("exec://echo hi", "/")
    for source in ("http://h/x", "https://h/x", "sym://x", "call://f"):
        with pytest.raises(ConfigError, match="expected a file"):
            Outside().fetch(source, "/")
    world = Outside(read_file=lambda path: path, run=lambda command: f"ran {command}")
    assert world.fetch("exec://echo hi", "/") == "ran echo hi"
    assert world.fetch("file:///a/b", "/srv") == "/a/b"
    assert world.fetch("fd://3", "/srv") == "/dev/fd/3"
    assert world.fetch("-", "/srv") == "/dev/fd/0"
    assert world.fetch("a", "/srv") == "/srv/a"
