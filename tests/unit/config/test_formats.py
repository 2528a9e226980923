"""YAML, JSON and TOML: the same keys as in an ini file, with their lines."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from m2serve.config.formats import ini, json, toml, yaml

if TYPE_CHECKING:
    from m2serve.config.formats.content import Content

WANTED = ("uwsgi", "m2serve")
YAML = """\
# a comment
---
uwsgi:
  module: "shop:app"   # behind a value
  processes: 4
  chmod-socket: 0660
  vacuum: on
  env:
    - A=1
    - 'B=#2'
  mount:
  - /a=b
  need-app:
  plugins: [python3, "http"]
  time: 1:30

other:
  processes: 5
"""
JSON = """\
{"uwsgi": {
   "module": "shop:app", "processes": 4,
   "vacuum": true, "master": false, "x": null,
   "env": ["A=1", "B=\\u0032"],
   "ratio": 1.5
 },
 "other": {"processes": 5}
}
"""
TOML = """\
title = "x"
[other]
processes = 5
[uwsgi]  # ours
module = "shop:app"
"processes" = 4
vacuum = true
env = ["A=1",
       "B=2"]
"""

needs_toml = pytest.mark.skipif(sys.version_info < (3, 11), reason="tomllib comes with Python 3.11")


def triples(content: Content) -> list[tuple[str, str, int]]:
    assert content.problems == []
    assert content.found
    return [tuple(line) for line in content.lines]


def test_yaml() -> None:
    assert triples(yaml.read(YAML, WANTED)) == [
        ("module", "shop:app", 4),
        ("processes", "4", 5),
        ("chmod-socket", "0660", 6),
        ("vacuum", "on", 7),
        ("env", "A=1", 9),
        ("env", "B=#2", 10),
        ("mount", "/a=b", 12),
        ("need-app", "", 13),
        ("plugins", "python3", 14),
        ("plugins", "http", 14),
        ("time", "1:30", 15),
    ]
    assert triples(yaml.read(YAML, ("other",))) == [("processes", "5", 18)]


def test_json() -> None:
    assert triples(json.read(JSON, WANTED)) == [
        ("module", "shop:app", 2),
        ("processes", "4", 2),
        ("vacuum", "true", 3),
        ("master", "false", 3),
        ("x", "false", 3),
        ("env", "A=1", 4),
        ("env", "B=2", 4),
        ("ratio", "1.5", 5),
    ]
    assert triples(json.read(JSON, ("other",))) == [("processes", "5", 7)]


@needs_toml
def test_toml() -> None:
    assert triples(toml.read(TOML, WANTED)) == [
        ("module", "shop:app", 5),
        ("processes", "4", 6),
        ("vacuum", "true", 7),
        ("env", "A=1", 8),
        ("env", "B=2", 8),
    ]


@pytest.mark.parametrize(
    ("text", "number", "words"),
    [
        ("uwsgi:\n  a: 1\n   b: 2\n", 3, "expected all keys in one column"),
        ("uwsgi:\n  a: |\n", 2, "a text of several lines"),
        ("uwsgi:\n  a: {b: c}\n", 2, "a mapping in braces"),
        ("uwsgi:\n  a: &x b\n", 2, "an anchor"),
        ("uwsgi:\n  a: [b,\n", 2, "a list of several lines"),
        ("uwsgi:\n  - a\n", 2, "expected a key in front of the list"),
        ("uwsgi:\n\ta: 1\n", 2, "YAML knows no tabs"),
        ("uwsgi:\n  just text\n", 2, "expected 'key: value'"),
        ("uwsgi: x\n", 1, "on lines of their own"),
        ("- a\nuwsgi:\n", 1, "expected a section first"),
        ("what\nuwsgi:\n", 1, "expected 'section:'"),
    ],
)
def test_yaml_that_is_not_read(text: str, number: int, words: str) -> None:
    ((place, problem),) = yaml.read(text, WANTED).problems
    assert (place, words in problem) == (number, True), problem


@pytest.mark.parametrize(
    ("text", "number", "words"),
    [
        ("", 1, "expected '{'"),
        ('{"uwsgi": {"a": 1,\n "b" 2}}', 2, "delimiter"),
        ('{"uwsgi": {"a": 1\n "b": 2}}', 2, "delimiter"),
        ('{"uwsgi": {"a": {"b": 1}}}', 1, "a: expected text, a number"),
        ('{"uwsgi": {"a": [[1]]}}', 1, "a: expected text, a number"),
        ('{"uwsgi": {"a": "\\ud800"}}', 1, "a: expected text, a number"),
        ('{"uwsgi": 5}', 1, "expected an object"),
        ('{"uwsgi": {}}\n}', 2, "expected nothing after"),
        ("{a: 1}", 1, "expected a key"),
        ('{"a" 1}', 1, "expected ':' after 'a'"),
        ('{"a": 1\n"b": 2}', 2, "expected ',' or '}' after the value of 'a'"),
        ('{"a": "\n"}', 1, "invalid control character"),
        ('{"uwsgi": {"a": ' + "9" * 5000 + "}}", 1, "expected"),
        ('{"uwsgi": {"a": ' + "[" * 100000 + "}}", 1, "too deep"),
    ],
    ids=lambda value: value[:30] if isinstance(value, str) else "",
)
def test_json_that_is_not_read(text: str, number: int, words: str) -> None:
    ((place, problem),) = json.read(text, WANTED).problems
    assert (place, words in problem) == (number, True), problem


@needs_toml
@pytest.mark.parametrize(
    ("text", "number", "words"),
    [
        ("[uwsgi]\na = 1\nb = x\n", 3, "expected TOML: invalid value"),
        ("uwsgi = 1\n", 1, "expected a table [uwsgi]"),
        ("[uwsgi]\n\na = {b = 1}\n", 3, "a: expected text, a number"),
        ("[uwsgi]\na = 2020-01-01\n", 2, "a: expected text, a number"),
        ("[uwsgi.x]\na = 1\n", 0, "x: expected text, a number"),
    ],
)
def test_toml_that_is_not_read(text: str, number: int, words: str) -> None:
    ((place, problem),) = toml.read(text, WANTED).problems
    assert (place, words in problem) == (number, True), problem


def test_a_section_that_is_not_there() -> None:
    assert not any(read("", ("dev",)).found for read in (ini.read, yaml.read))
    assert not json.read("{}", ("dev",)).found


PIECES = st.sampled_from(
    ["uwsgi:", "  a: 1", "  b:", "   - c", "'", '"', "{", "}", "[uwsgi]", "a = 1", "#", "\t", ": "]
)


@given(st.one_of(st.text(), st.lists(PIECES).map("\n".join), st.lists(PIECES).map("".join)))
def test_any_text_gives_lines_or_problems(text: str) -> None:
    for read in (ini.read, yaml.read, json.read, toml.read):
        content = read(text, WANTED)
        assert all(0 <= line.number <= text.count("\n") + 1 for line in content.lines)
        assert all(problem for _, problem in content.problems)
