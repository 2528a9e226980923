# ruff: noqa: RUF009 - option() makes a dataclass field, it shares no default.
"""Plugins in the settings: which are asked for, and their options among all others."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from m2serve.config.describe.help import help_text
from m2serve.config.option import option
from m2serve.config.outside import Outside
from m2serve.config.report import as_ini, check_report
from m2serve.config.settings import Examined, examine
from m2serve.errors import ConfigError
from m2serve.ids import Seconds

if TYPE_CHECKING:
    from collections.abc import Sequence

ENOUGH = "module = shop\nzmq = ipc:///a,ipc:///b\n"


@dataclass(frozen=True)
class Options:
    """The plugin tea"""

    tea_time: Seconds = option(Seconds(60), "When there is tea.", names=("Z",))
    tea_sort: tuple[str, ...] = option((), "Which.")
    tea_milk: bool = option(False, "With milk.")


@dataclass(frozen=True)
class Clashing:
    """The plugin coffee"""

    processes: int = option(1, "Cups.")


@dataclass(frozen=True)
class Undeclared:
    """The plugin cake"""

    cake: int = 3


@dataclass(frozen=True)
class Found:
    name: str
    options: type | None = None


class Finder:
    """Knows some plugins, and notes what it was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, list[str], bool]] = []

    def __call__(self, name: str, directories: Sequence[str], *, importable: bool) -> Found | None:
        self.asked.append((name, list(directories), importable))
        if name == "broken":
            raise ConfigError("cannot be loaded: ZeroDivisionError: (broken.py:3)")
        options = {"tea": Options, "coffee": Clashing, "cake": Undeclared}
        known = {"tea", "coffee", "cake", "plain", "statsd", "cpu_affinity", "ping"}
        return Found(name, options.get(name)) if name in known else None


def world(text: str) -> Outside:
    return Outside(read_file=lambda path: "[uwsgi]\n" + ENOUGH + text, glob=lambda pattern: [])


def look(text: str, *argv: str, find: Any = None) -> Examined:
    return examine(["a.ini", *argv], {}, world(text), "/srv", find or Finder())


def names(examined: Examined) -> list[str]:
    return [plugin.name for plugin in examined.settings.plugins]


def test_a_plugin_brings_options_into_the_table() -> None:
    found = look("plugin = tea\ntea-time = 5m\ntea-sort = green\ntea-sort = black\n", "--tea-milk", "-Z", "3m")
    assert found.problems == ()
    (tea,) = found.settings.plugins
    assert tea.options == Options(Seconds(180), ("green", "black"), True)
    assert tea.origin == "a.ini:4"
    assert found.settings.origin("tea_time") == "command line"
    assert found.settings.value("tea_time") == 180
    report = check_report(found)
    assert "tea-time = 180 " in report and "; a.ini:6" in report
    assert "tea-sort = black" in as_ini(found.settings)
    assert "The plugin tea:\n  -Z, --tea-time SECONDS" in help_text(found.table)
    assert "tea" not in help_text().split("Configuration files")[0].replace("instead", "")


def test_a_mistake_in_its_options_has_a_place() -> None:
    found = look("plugin = tea\ntea-time = soon\ntea-sorts = x\n", "--tea-time")
    assert found.problems[0].startswith("command line: --tea-time: expected a value (SECONDS)")
    assert found.problems[1].startswith("a.ini:5: tea-time = soon: expected a number of seconds")
    assert "a.ini:6: tea-sorts = x: unknown option; did you mean tea-sort?" in found.settings.warnings


def test_without_the_plugin_its_options_are_unknown() -> None:
    assert look("tea-time = 5\n").settings.warnings == ("a.ini:4: tea-time = 5: unknown option",)


def test_the_environment_and_the_end_of_the_line() -> None:
    env = {"UWSGI_PLUGINS": "tea", "UWSGI_TEA_TIME": "7"}
    found = examine(["a.ini"], env, world(""), "/srv", Finder())
    assert found.settings.value("tea_time") == 7
    assert look("tea-time = 5\n", "--plugin", "tea").settings.value("tea_time") == 5


def test_files_are_read_once() -> None:
    reads: list[str] = []

    def read(path: str) -> str:
        reads.append(path)
        return "[uwsgi]\nplugin = tea\ntea-time = 5\n" + ENOUGH

    found = examine(["--ini", "-"], {}, Outside(read_file=read), "/srv", Finder())
    assert found.settings.value("tea_time") == 5
    assert reads == ["/dev/fd/0"]


def test_programs_are_run_once() -> None:
    runs: list[str] = []

    def run(command: str) -> str:
        runs.append(command)
        return f"{len(runs)}"

    outside = Outside(read_file=world("plugin = tea\ntea-time = @(exec://date)\n").read_file, run=run)
    found = examine(["a.ini", "--allow-exec"], {}, outside, "/srv", Finder())
    assert (found.settings.value("tea_time"), runs) == (1, ["date"])


def test_order_and_repetition() -> None:
    finder = Finder()
    found = look("plugin-dir = mine\nplugins-dir = /other\nplugins = plain, tea ,,\nneed-plugin = plain\n", find=finder)
    assert names(found) == ["plain", "tea"]
    assert finder.asked == [("plain", ["/srv/mine", "/other"], True), ("tea", ["/srv/mine", "/other"], True)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "plugin = nothing",
            "a.ini:4: plugin = nothing: there is no such plugin; looked for it in: those of m2serve, ",
        ),
        ("need-plugins = plain,broken", "a.ini:4: plugin = broken: cannot be loaded: ZeroDivisionError: (broken.py:3)"),
        ("plugin = coffee", "its options cannot be used: two options are called 'processes'"),
        ("plugin = cake", "a.ini:4: plugin = cake: its options cannot be used: "),
    ],
)
def test_what_is_a_mistake(text: str, expected: str) -> None:
    (problem,) = look(text).problems
    assert expected in problem


@pytest.mark.parametrize(
    ("value", "notes", "warnings"),
    [
        ("python3", ["python3"], []),
        ("python3, http,logfile", ["python3", "http", "logfile"], []),
        ("python3,php", ["python3"], ["php"]),
        (
            "router_redirect,cgi,/usr/lib/uwsgi/x_plugin.so",
            [],
            ["router_redirect", "cgi", "/usr/lib/uwsgi/x_plugin.so"],
        ),
    ],
)
def test_the_names_of_uwsgis_are_accepted(value: str, notes: list[str], warnings: list[str]) -> None:
    finder = Finder()
    found = look(f"plugins = {value}\n", find=finder)
    assert found.problems == () and names(found) == []
    for said, wanted in ((found.settings.notes, notes), (found.settings.warnings, warnings)):
        assert [line.split(": ")[1] for line in said] == [f"plugin = {name}" for name in wanted]
    # They are never imported as modules: Python has a cgi of its own.
    assert all(not importable for _, _, importable in finder.asked)


def test_one_of_ours_may_have_the_name_of_one_of_uwsgis() -> None:
    assert names(look("plugins = ping\n")) == ["ping"]


def test_options_of_uwsgis_load_the_plugin_they_need() -> None:
    found = look("cpu-affinity = 1\nstats-push = statsd:localhost:8125\nstats-push = mongodb:x\n")
    assert [(plugin.name, plugin.origin) for plugin in found.settings.plugins] == [
        ("cpu_affinity", "a.ini:4"),
        ("statsd", "a.ini:5"),
    ]
    assert found.settings.warnings == (
        "a.ini:6: stats-push = mongodb:x: not in this version: expected statsd:HOST:PORT",
    )
    assert names(look("cpu-affinity = 0\n")) == []
