"""Which files an application was imported from."""

from __future__ import annotations

import importlib
import sys

import pytest

from m2serve.apps.sources import Sources


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(tmp_path))
    names = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - names:
        del sys.modules[name]


def test_each_file_is_named_once(place):
    (place / "m2watched.py").write_text("x = 1\n")
    sources = Sources()
    first = sources.fresh()
    assert pytest.__file__ in first
    assert not any("/m2serve/apps/" in file for file in first), "our own changes nothing"
    assert sources.fresh() == []
    importlib.import_module("m2watched")
    assert sources.fresh() == [str(place / "m2watched.py")]
    assert sources.fresh() == []


def test_ignored_modules_and_what_lies_below_them(place):
    for path in ("m2pack/__init__.py", "m2pack/part.py", "m2packer.py"):
        (place / path).parent.mkdir(exist_ok=True)
        (place / path).write_text("")
    sources = Sources(["m2pack"])
    sources.fresh()
    for name in ("m2pack", "m2pack.part", "m2packer"):
        importlib.import_module(name)
    assert sources.fresh() == [str(place / "m2packer.py")]


def test_a_module_that_is_anything(place, monkeypatch):
    class Odd:
        @property
        def __file__(self):
            raise KeyError("odd")

    monkeypatch.setitem(sys.modules, "m2odd", Odd())
    Sources().fresh()


@pytest.mark.parametrize(
    ("code", "files"),
    [("def broken(:\n", ["m2inner.py", "m2outer.py"]), ("1 / 0\n", ["m2inner.py", "m2outer.py"])],
    ids=["syntax", "exception"],
)
def test_files_of_an_import_that_failed(place, code, files):
    (place / "m2outer.py").write_text("import m2inner\n")
    (place / "m2inner.py").write_text(code)
    with pytest.raises((SyntaxError, ZeroDivisionError)) as caught:
        importlib.import_module("m2outer")
    found = Sources().of_failure(caught.value)
    assert {str(place / name) for name in files} <= set(found)
