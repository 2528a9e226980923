"""Options that a configuration declares itself."""

from __future__ import annotations

import pytest

from m2serve.config.outside import Outside
from m2serve.config.settings import Examined, examine

ENOUGH = ("--http", "127.0.0.1:0", "--module", "shop")


def examined(text: str, *argv: str, **files: str) -> Examined:
    contents = {"/srv/a.ini": f"[uwsgi]\n{text}", **{f"/srv/d/{name}.ini": more for name, more in files.items()}}
    world = Outside(read_file=contents.__getitem__, inode=lambda path: 1)
    return examine([*ENOUGH, *argv, "a.ini"], {"HOME": "/root"}, world, "/srv")


def noted(text: str) -> list[str]:
    return [value for key, value in examined(text).given if key.startswith("note")]


@pytest.mark.parametrize("name", ["declare-option", "declare-option2"])
@pytest.mark.parametrize(
    ("text", "notes"),
    [
        ("x=note=[$0|$1|$2]\nx = a b c", ["[$0|a|b]"]),
        ("x=note=[$1|$2|$11]\nx =  a   b", ["[a|b|a1]"]),
        ("x=note=one $1;;note=$2;note=$1=$2\nx = a b\nx", ["one a", "b", "a=b", "one ", "$2", "=$2"]),
        ("x=note=$1;junk;note=after\nx = a", ["a"]),
        ("x=no$1=hello\nx = te", ["hello"]),
        ("x=note=$1 $2\nx = $2 b", ["b b"]),
        ("x=y=$1\n{name} = y=note=y $1\nx = a", ["y a"]),
        ("x=note=1\n{name} = x=note=2\nx = a", ["1"]),
        ("x=note=$1 %n %(y)$(HOME)\ny = 7\nx = %(y)-%(y + 1)", ["7-8 a 7/root"]),
        ("x=note=$1\nset = x=a\nset-placeholder = x=b", ["a"]),
        ("x=\nx = a", []),
        ("x=note=50%%\nx = a", ["50%"]),
    ],
)
def test_the_words_of_the_value(name: str, text: str, notes: list[str]) -> None:
    """As uWSGI itself has them, but for placeholders in the value, which it leaves alone with declare-option."""
    assert noted(f"{name} = {text.replace('{name}', name)}\n") == notes


@pytest.mark.parametrize(
    ("text", "processes"),
    [
        ("declare-option = x=processes=$1\nprocesses = 2\nx = 4", 2),
        ("declare-option = x=processes=$1\nx = 4\nprocesses = 2", 2),
        ("processes = 2\nx = 4\ndeclare-option = x=processes=$1", 4),
        ("x = 4\nprocesses = 2\ndeclare-option = x=processes=$1", 2),
        ("declare-option2 = x=processes=$1\nprocesses = 2\nx = 4", 4),
        ("declare-option2 = x=processes=$1\nx = 4\nprocesses = 2", 2),
        ("processes = 2\nx = 4\ndeclare-option2 = x=processes=$1", 2),
    ],
)
def test_what_counts(text: str, processes: int) -> None:
    """As in uWSGI, which was asked for each of these."""
    found = examined(text)
    assert found.problems == ()
    assert found.settings.processes == processes


def test_the_place_is_that_of_the_use() -> None:
    found = examined("declare-option = x=threads=$1\n\nx = many\n")
    assert found.problems == ("a.ini:4: threads = many: expected a whole number, 1 or more",)
    found = examined("declare-option = x=thread=$1\nx = 2\n")
    assert found.settings.warnings == ("a.ini:3: thread = 2: unknown option; did you mean threads?",)


def test_it_is_a_name_and_what_it_stands_for_is_none() -> None:
    text = "declare-option = x=shop=$1;include=d/b.ini;set-placeholder=k=$1\nx = a\nnote = %(x) %(shop) %(k)\n"
    assert examined(text, b="[uwsgi]\nnote = %n\n").given[-2:] == (("note", "b"), ("note", "a %(shop) a"))


def test_letters_are_those_of_the_file_they_stand_in() -> None:
    more = "[uwsgi]\ndeclare-option2 = x=note=%n $1 100%% %H\n"
    assert ("note", "b a 100% %H") in examined("ini = d/b.ini\nx = %n\n", b=more).given
    found = examined("x = %n\n", "--declare-option2", "x=note=%n $1 %%")
    assert ("note", "%n a %%") in found.given


def test_blocks_repeat_it() -> None:
    assert noted("declare-option2 = x=note=%(_) $1\nfor = a b\nx = %(_)\nendfor\n") == ["a a", "b b"]


@pytest.mark.parametrize("value", ["x", "=a=b", "x y=a=b", ""])
def test_a_declaration_that_is_none(value: str) -> None:
    (problem,) = examined(f"declare-option = {value}\n").problems
    assert problem.startswith(f"a.ini:2: declare-option = {value}".rstrip() + ": expected NAME=KEY=VALUE")


@pytest.mark.parametrize("name", ["processes", "spooler", "include", "if-env", "endif"])
def test_an_option_stays_what_it_is(name: str) -> None:
    found = examined(f"declare-option = {name}=note=a\n")
    told = f"a.ini:2: declare-option = {name}=note=a: changes nothing: there is an option {name} already"
    assert told in found.settings.warnings
    assert noted(f"declare-option = {name}=note=a\n") == []


def test_a_template_that_ends_early_is_told() -> None:
    (warning,) = examined("declare-option = x=threads=2;vacuum;master=true\nx = 1\n").settings.warnings
    assert warning.endswith("ends before 'vacuum', as in uWSGI: expected KEY=VALUE")


def test_nothing_grows_without_end() -> None:
    (problem,) = examined("declare-option = x=y=$1\ndeclare-option = y=x=$1\nx = a\n").problems
    assert "the options that it stands for stand for each other" in problem
    double = ";".join(["x=$1"] * 10)
    assert any("stand for each other" in one for one in examined(f"declare-option = x={double}\nx = a\n").problems)
    many = "$1" * 10_000
    assert any("grows past" in one for one in examined(f"declare-option = x=note={many}\nx = {many}\n").problems)
