"""``--check`` and ``--show-config``."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from m2serve.config.outside import Outside
from m2serve.config.report import as_ini, check_report
from m2serve.config.settings import examine
from m2serve.config.table import OPTIONS

PAIR = "tcp://127.0.0.1:9997,tcp://127.0.0.1:9996"
TEXT = f"""[uwsgi]
module = shop.wsgi:make()
zmq = {PAIR}
threads = %(processes)
processes = 3
env = A=100%%
env = B=
worker-reload-mercy = 1m
queue-timeout = 250ms
request-buffer = 32M
mount = /a=b
need-app
queue = 100
single-interpreter = false
print = started with %(processes)
"""


def world(text: str) -> Outside:
    return Outside(read_file=lambda path: text)


def test_every_option_is_in_the_report_with_its_origin() -> None:
    report = check_report(examine(["a.ini", "-p", "4"], {"UWSGI_LOGTO": "/log"}, world(TEXT), "/srv")).splitlines()
    shown = {line.removeprefix("; ").split(" =")[0]: line.rpartition(" ; ")[2] for line in report if " ; " in line}
    assert set(shown) >= {option.name for option in OPTIONS}
    assert shown["processes"] == "command line"
    assert shown["threads"] == "a.ini:4"
    assert shown["logto"] == "environment"
    assert shown["pythonpath"] == "default"
    assert any(line.startswith("env = A=100%%") and line.endswith("; a.ini:6") for line in report)
    assert any(line.startswith("queue-timeout = 0.25 ") for line in report)


def test_the_report_says_what_was_ignored_and_whether_it_would_start() -> None:
    report = check_report(examine(["a.ini"], {}, world(TEXT), "/srv"))
    assert "; printed at the start: 1\n;   started with 3\n" in report
    assert "; ignored, and nothing is lost: 1\n;   a.ini:14: single-interpreter = false: changes nothing" in report
    assert "; warnings: 1\n;   a.ini:13: queue = 100: not in this version" in report
    assert report.endswith("; m2serve would start\n")


def test_the_report_of_mistakes() -> None:
    report = check_report(examine(["a.ini"], {}, world("[uwsgi]\nthreads = x\nprocesses = 2\n"), "/srv"))
    assert "; mistakes: 3\n;   a.ini:2: threads = x: expected a whole number" in report
    assert "\nprocesses = 2 " in report
    assert report.endswith("; m2serve would not start\n")


def test_as_ini_gives_the_same_settings_again() -> None:
    first = examine(["a.ini", "-p", "4"], {}, world(TEXT), "/srv").settings
    text = as_ini(first)
    assert "threads = 4\n" in text
    assert "logto" not in text
    second = examine(["b.ini"], {}, world(text), "/elsewhere").settings
    assert [getattr(second, option.field) for option in OPTIONS] == [getattr(first, option.field) for option in OPTIONS]


def test_what_no_ini_file_can_hold_is_a_comment() -> None:
    text = as_ini(examine(["--logto", "a\nb", "--show-config"], {}, world(""), "/srv").settings)
    assert text == "[m2serve]\n; logto of command line cannot be written in an ini file: a\\nb\n"


VALUES = st.text(alphabet=st.characters(blacklist_categories=["Cs"], blacklist_characters="\0\n")).map(str.strip)


@given(VALUES.filter(bool), st.lists(st.tuples(st.sampled_from("ABC"), VALUES), max_size=3))
def test_any_text_survives(logto: str, variables: list[tuple[str, str]]) -> None:
    argv = ["--logto=" + logto, *(f"--env={name}={value}" for name, value in variables)]
    first = examine(argv, {}, world(""), "/").settings
    text = as_ini(first)
    if "cannot be written" not in text:
        second = examine(["b.ini"], {}, world(text), "/").settings
        assert (second.logto, second.env) == (first.logto, first.env)
