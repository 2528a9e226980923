"""From a name to a plugin."""

from __future__ import annotations

import re
import sys
from importlib.metadata import EntryPoint
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest

from m2serve.errors import ConfigError
from m2serve.plugin import loader
from m2serve.plugin.loader import find, set_up
from m2serve.plugin.moments import MOMENTS

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PLUGIN = "def setup(hooks):\n    hooks.on('start', lambda: None)\n"


@pytest.fixture(autouse=True)
def _forget() -> Iterator[None]:
    before = set(sys.modules)
    yield
    for name in set(sys.modules) - before:
        if name.startswith(("m2serve_plugin", "elsewhere")):
            del sys.modules[name]


def write(directory: Path, name: str, text: str = PLUGIN) -> str:
    path = directory / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return str(path)


def test_a_directory_comes_first(tmp_path: Path) -> None:
    first, second = tmp_path / "a", tmp_path / "b"
    write(first, "other.py")
    mine = write(second, "statsd.py")
    found = find("statsd", [str(first), str(second)], importable=True)
    assert found is not None and found.where == mine and found.options is None


def test_a_package_and_a_dash(tmp_path: Path) -> None:
    write(tmp_path, "my_own/part.py", "VALUE = 3\n")
    init = write(tmp_path, "my_own/__init__.py", "from .part import VALUE\n" + PLUGIN)
    found = find("my-own", [str(tmp_path)], importable=False)
    assert found is not None and (found.name, found.where) == ("my-own", init)


@pytest.mark.parametrize("name", ["statsd", "cpu_affinity", "cpu-affinity"])
def test_those_of_this_tree(name: str) -> None:
    found = find(name, [], importable=False)
    assert found is not None and found.where.endswith(f"plugins/{name.replace('-', '_')}.py")
    assert found.setup.__module__ == f"m2serve_plugins.{name.replace('-', '_')}"


def test_an_entry_point(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = write(tmp_path, "elsewhere_plugin.py")
    monkeypatch.syspath_prepend(str(tmp_path))
    point = EntryPoint("else-where", "elsewhere_plugin", loader.ENTRY_POINTS)
    metadata = SimpleNamespace(entry_points=lambda group: [point] if group == loader.ENTRY_POINTS else [])
    monkeypatch.setattr(loader.importlib, "metadata", metadata)
    found = find("else-where", [], importable=False)
    assert found is not None and found.where == file
    assert find("elsewhere", [], importable=False) is None


def test_a_module(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = write(tmp_path, "elsewhere/sub/plugin.py")
    write(tmp_path, "elsewhere/__init__.py", "")
    monkeypatch.syspath_prepend(str(tmp_path))
    found = find("elsewhere.sub.plugin", [], importable=True)
    assert found is not None and found.where == file
    assert find("elsewhere.sub.plugin", [], importable=False) is None
    for name in ("elsewhere.none", "nowhere.at.all", "a-b", "..", "a b", ""):
        assert find(name, [], importable=True) is None


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("import nothing_of_that_name\n" + PLUGIN, r"cannot be loaded: ModuleNotFoundError: .* \(.*bad.py:1\)"),
        ("def setup(:\n", "cannot be loaded: SyntaxError: "),
        ("raise SystemExit(3)\n", r"cannot be loaded: SystemExit: 3 \(.*bad.py:1\)"),
        ("x = 1\n", "bad.py is no plugin of m2serve's: expected a function setup"),
        (PLUGIN + "class Options: pass\n", "bad.py: expected Options to be a dataclass"),
        ("from m2serve.errors import ConfigError\nraise ConfigError('pip install it')\n", "^pip install it$"),
    ],
)
def test_what_cannot_be_loaded(tmp_path: Path, text: str, expected: str) -> None:
    write(tmp_path, "bad.py", text)
    with pytest.raises(ConfigError, match=expected):
        find("bad", [str(tmp_path)], importable=True)
    assert "m2serve_plugin_bad" not in sys.modules or "raise" not in text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "def setup(hooks, config): pass\n",
            "a.ini:3: plugin bad: setup has no argument 'config'; it has: hooks, options",
        ),
        ("def setup(): 1 / 0\n", r"a.ini:3: plugin bad: setup failed: ZeroDivisionError: .* \(.*bad.py:1\)"),
        ("def setup(hooks): hooks.on('x', setup)\n", "a.ini:3: plugin bad: 'x' is no moment"),
    ],
)
def test_what_cannot_be_set_up(tmp_path: Path, text: str, expected: str) -> None:
    write(tmp_path, "bad.py", text)
    plugin = find("bad", [str(tmp_path)], importable=False)
    assert plugin is not None
    with pytest.raises(ConfigError, match=expected):
        set_up([(plugin, None, "a.ini:3")], None)


def test_setup_gets_what_it_asks_for(tmp_path: Path) -> None:
    write(tmp_path, "good.py", "got = []\ndef setup(settings, options):\n    got.append((settings, options))\n")
    plugin = find("good", [str(tmp_path)], importable=False)
    assert plugin is not None
    set_up([(plugin, "the options", "here")], "the settings")
    assert sys.modules["m2serve_plugin_good"].got == [("the settings", "the options")]


def test_the_manual_has_every_moment() -> None:
    with open("docs/plugins.md", encoding="utf-8") as stream:
        rows = re.findall(r"^\| `(\w+)` \| (.*?) \| (.*?) \| (.*?) \|$", stream.read(), re.MULTILINE)
    told = {name: (place, re.findall(r"`(\w+)`", arguments), doc) for name, place, arguments, doc in rows}
    for moment in MOMENTS.values():
        assert told[moment.name] == (moment.place.value, list(moment.arguments), moment.doc)
