"""Sources to entries: sections, included files, the order of lines."""

from __future__ import annotations

import sys

import pytest

from m2serve.config.entry import COMMAND_LINE, Entry
from m2serve.config.expander import Expander
from m2serve.config.outside import Outside
from m2serve.config.reader import Reader, split_section
from m2serve.config.table import TABLE


def read(name: str = "a.ini", *, env: dict[str, str] | None = None, **files: str) -> Reader:
    """Read a file of some that are named without ``.ini``."""
    contents = {f"/srv/{stem}.ini": text for stem, text in files.items()}

    def read_file(path: str) -> str:
        if path not in contents:
            raise FileNotFoundError(2, "No such file or directory", path)
        return contents[path]

    return reading(name, Outside(read_file=read_file, inode=lambda path: 7), {"STAGE": "dev", **(env or {})})


def reading(name: str, world: Outside, env: dict[str, str]) -> Reader:
    expander = Expander(env, lambda source: world.fetch(source, "/srv"))
    reader = Reader(world, "/srv", env, {"k": "8", "h": "web1"}, expander, TABLE.is_option)
    reader.take([Entry("include", name, COMMAND_LINE)])
    reader.finish()
    return reader


def pairs(reader: Reader) -> list[tuple[str, str]]:
    assert reader.findings.problems == []
    return [(entry.key, entry.value) for entry in reader.findings.entries]


@pytest.mark.parametrize(
    ("text", "expected"),
    [("a.ini", ("a.ini", "")), ("a.ini:dev", ("a.ini", "dev")), (":dev", ("", "dev")), ("c:/a.ini", ("c:/a.ini", ""))],
)
def test_splits_off_the_section(text: str, expected: tuple[str, str]) -> None:
    assert split_section(text) == expected


def test_lines_keep_their_order_and_repetition() -> None:
    text = "[uwsgi]\r\n; c\n  # c\n\na = 1\n\tb=x = y \nvacuum\na = 2\nempty =\nwith blanks = 3\n"
    expected = [("a", "1"), ("b", "x = y"), ("vacuum", ""), ("a", "2"), ("empty", ""), ("with blanks", "3")]
    assert pairs(read(a=text)) == expected


def test_letters_and_items_in_keys() -> None:
    text = "[uwsgi]\n%n-%% = 1\nset = %n=2\nfor = x y\nset-ph = k%(_)=%(_)\nendfor\n"
    expected = [("a-%", "1"), ("a", "2"), ("kx", "%(_)"), ("ky", "%(_)")]
    assert pairs(read(a=text)) == expected
    assert "a.ini:2: set = q: expected KEY=VALUE" in read(a="[uwsgi]\nset = q\n").findings.problems


def test_lines_know_where_they_stand() -> None:
    entry = read(a="[uwsgi]\n\nmodule = x\n").findings.entries[0]
    assert entry.origin == "a.ini:3"
    assert str(entry) == "a.ini:3: module = x"
    assert entry.magic["k"] == "8"
    assert entry.magic["p"] == "/srv/a.ini"


def test_our_section_and_uwsgis_are_merged_and_others_left_alone() -> None:
    text = "[uwsgi]\na=1\n[other]\nb=2\n[m2serve]\nc=3\n[uwsgi]\nd=4\n"
    assert pairs(read(a=text)) == [("a", "1"), ("c", "3"), ("d", "4")]


def test_a_named_section_is_the_only_one() -> None:
    text = "[uwsgi]\na=1\n[dev]\nb=2\n"
    reader = read("a.ini:dev", a=text)
    assert pairs(reader) == [("b", "2")]
    assert reader.findings.entries[0].magic["x"] == "dev"


def test_a_byte_order_mark_is_no_part_of_the_section() -> None:
    assert pairs(read(a="\ufeff[uwsgi]\na=1")) == [("a", "1")]


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("a.ini:prod", "[uwsgi]\n", "a.ini: expected a section [prod]"),
        ("a.ini", "a = 1\n", "a.ini: expected a section [uwsgi] or [m2serve]"),
        ("b.ini", "", "command line: b.ini: cannot read 'b.ini': No such file or directory"),
        ("a.ini", "[uwsgi\n[uwsgi]", "a.ini:1: [uwsgi: expected ']' after the name of the section"),
        ("a.ini", "[uwsgi] x\n", "a.ini:1: [uwsgi] x: expected nothing behind ']'"),
        ("a.ini", "[uwsgi]\nini = a.ini\n", "a.ini:2: ini = a.ini: a.ini includes itself"),
        (
            "a.ini",
            "[uwsgi]\nini = none.ini\n",
            "a.ini:2: ini = none.ini: cannot read 'none.ini': No such file or directory",
        ),
    ],
)
def test_says_what_is_wrong(name: str, text: str, expected: str) -> None:
    assert read(name, a=text).findings.problems == [expected]


def test_lines_before_the_first_section_are_told() -> None:
    assert read(a="x = 1\n[uwsgi]\n").findings.warnings == ["a.ini:1: ignored, it stands before the first section"]


def test_another_section_of_the_same_file_is_read_in_place() -> None:
    text = "[uwsgi]\na=1\nini = :base\nc=3\n[base]\nb=2\n"
    assert pairs(read(a=text)) == [("a", "1"), ("b", "2"), ("c", "3")]


def test_the_name_of_an_included_file_may_have_variables() -> None:
    reader = read(a="[uwsgi]\nini = %d$(STAGE).ini\n", dev="[uwsgi]\nx = %n\n")
    assert pairs(reader) == [("x", "%n")]
    assert reader.findings.entries[0].magic["n"] == "dev"
    assert reader.findings.entries[0].origin == "/srv/dev.ini:2"


def test_set_and_set_placeholder() -> None:
    entries = read(a="[uwsgi]\nset = threads=4\nset-ph = base = /srv\n").findings.entries
    assert [(entry.key, entry.value, entry.placeholder) for entry in entries] == [
        ("threads", "4", False),
        ("base", "/srv", True),
    ]


def test_a_reader_may_fail_in_its_own_way() -> None:
    def read_file(path: str) -> str:
        raise ValueError("embedded null byte")

    reader = reading("a.ini", Outside(read_file=read_file), {})
    assert reader.findings.problems == ["command line: a.ini: cannot read 'a.ini': embedded null byte"]


def test_inherited_files_come_last_whatever_includes_them() -> None:
    reader = read(
        a="[uwsgi]\ninherit = c.ini\ninclude = b.ini\nx = 1\n",
        b="[uwsgi]\ninherit = d.ini\nx = 2\n",
        c="[uwsgi]\nx = 3\ninherit = d.ini\n",
        d="[uwsgi]\nx = 4\n",
    )
    assert [value for _, value in pairs(reader)] == ["2", "1", "3", "4", "4"]


def test_upper_case_letters_are_about_the_first_file() -> None:
    reader = read(a="[uwsgi]\ninclude = b.ini\n", b="[uwsgi]\nx = 1\n")
    magic = reader.findings.entries[0].magic
    assert (magic["n"], magic["N"], magic["i"], magic["h"]) == ("b", "a", "7", "web1")


def test_the_ending_or_the_key_says_the_format() -> None:
    files = {
        "/srv/a.yaml": "uwsgi:\n  json: b.conf\n  include: c.toml:dev\n  ini: d.json\n",
        "/srv/b.conf": '{"uwsgi": {"b": true}}',
        "/srv/c.toml": '[dev]\nc = ["1", 2]\n',
        "/srv/d.json": "[uwsgi]\nd = 1\n",
    }
    reader = reading("a.yaml", Outside(read_file=files.__getitem__, inode=lambda path: 0), {})
    expected = [("b", "true"), ("c", "1"), ("c", "2"), ("d", "1")]
    assert pairs(reader) == (expected if sys.version_info >= (3, 11) else [expected[0], expected[3]])
    assert reader.findings.entries[0].origin == "b.conf:1"


def test_xml_is_refused_with_a_way_out() -> None:
    world = Outside(read_file=lambda path: "")
    assert "uwsgi --xml app.xml --show-config" in reading("app.xml", world, {}).findings.problems[0]


def test_print_is_for_the_log() -> None:
    findings = read(a="[uwsgi]\nprint = hello %(x)\niprint = you\n").findings
    assert [entry.value for entry in findings.prints] == ["hello %(x)", "you"]
    assert findings.entries == []


def test_there_is_an_end_to_what_is_read() -> None:
    text = "[uwsgi]\nfor-times = 9000\n" + "a = 1\n" * 12 + "endfor\n"
    findings = read(a=text).findings
    assert len(findings.entries) == 100_000
    assert findings.problems == ["a.ini:14: a = 1: expected at most 100000 settings"]


def test_there_is_an_end_to_the_files() -> None:
    problems = read(a="[uwsgi]\nfor-times = 9000\ninclude = b.ini\nendfor\n", b="[uwsgi]\n").findings.problems
    assert problems == ["a.ini:3: include = b.ini: expected at most 1000 files"]
