"""Variables, arguments, and modules that come before the application."""

from __future__ import annotations

import logging
import os
import sys
from typing import TYPE_CHECKING

import pytest

from m2serve.apps.imports import import_first
from m2serve.apps.prepare import prepare
from m2serve.config.settings import Settings
from m2serve.config.values import EnvironmentVariable, ModuleAlias
from m2serve.errors import AppLoadError, ConfigError

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(autouse=True)
def _untouched(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(sys, "argv", ["m2serve", "--module", "x"])
    monkeypatch.setattr(sys, "modules", dict(sys.modules))
    monkeypatch.chdir(tmp_path)
    for name in ("M2_A", "M2_B", "M2_C", "M2_D"):
        monkeypatch.setenv(name, "before")


def test_variables_of_a_directory(tmp_path: Path) -> None:
    directory = tmp_path / "vars"
    directory.mkdir()
    (directory / "M2_A").write_bytes(b"file \t\nmore")
    (directory / "M2_B").write_bytes(b"a\0b")
    (directory / "M2_C").write_bytes(b"")
    (directory / ".hidden").write_bytes(b"x")
    (directory / "A=B").write_bytes(b"x")
    variables = (EnvironmentVariable("M2_B", "env"), EnvironmentVariable("M2_D", "env"))
    prepare(Settings(envdir=("vars",), env=variables, unenv=("M2_D", "M2_UNSET")))
    assert (os.environ["M2_A"], os.environ["M2_B"]) == ("file", "env")
    assert "M2_C" not in os.environ and "M2_D" not in os.environ and ".hidden" not in os.environ


def test_a_directory_of_variables_that_has_gone() -> None:
    with pytest.raises(AppLoadError, match=r"envdir .*/vars: No such file"):
        prepare(Settings(envdir=("vars",)))


def test_an_environment_that_has_gone() -> None:
    with pytest.raises(AppLoadError, match="virtualenv venv: expected an existing directory"):
        prepare(Settings(virtualenv="venv"))


def test_arguments() -> None:
    prepare(Settings())
    assert sys.argv == ["m2serve", "--module", "x"]
    prepare(Settings(pyargv="run  --site a"))
    assert sys.argv == ["m2serve", "run", "--site", "a"]


def test_imports_and_aliases_in_their_order(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "m2_first.py").write_text("import m2_alias\nname = m2_alias.name\n")
    (tmp_path / "m2_target.py").write_text("name = 'target'\n")
    (tmp_path / "m2_broken.py").write_text("raise SystemExit(3)\n")
    settings = Settings(
        pyimport=("m2_broken", "m2_first", str(tmp_path / "m2_broken.py"), "m2_missing", "m2_target.py"),
        pymodule_alias=(ModuleAlias("m2_alias", "m2_target"), ModuleAlias("m2_file", "m2_target.py")),
    )
    prepare(settings)
    with caplog.at_level(logging.ERROR):
        import_first(settings)
    assert sys.modules["m2_first"].name == "target"
    assert sys.modules["m2_file"].__file__ == str(tmp_path / "m2_target.py")
    assert "m2_broken" not in sys.modules
    assert [record.getMessage() for record in caplog.records] == [
        "import m2_broken failed",
        f"import {tmp_path}/m2_broken.py failed",
        "import m2_missing failed",
    ]


@pytest.mark.parametrize("text", ["name", "=x", "a b=x", "name="])
def test_what_is_no_alias(text: str) -> None:
    with pytest.raises(ConfigError, match="expected name=module"):
        ModuleAlias.parse(text)
