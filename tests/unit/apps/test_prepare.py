"""Environment, directory and search path of the application."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

import pytest

from m2serve.apps.prepare import prepare
from m2serve.config.settings import Settings
from m2serve.config.values import EnvironmentVariable
from m2serve.errors import AppLoadError

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(autouse=True)
def _untouched(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(sys, "path", ["/usr/lib/python"])
    monkeypatch.setattr(os, "environ", os.environ.copy())
    monkeypatch.chdir(tmp_path)


def test_the_search_path_is_in_uwsgis_order(tmp_path: Path) -> None:
    for name in ("site", "site/eggs-b", "site/eggs-a", "site/lib"):
        (tmp_path / name).mkdir()
    prepare(Settings(chdir="site", pythonpath=("lib", "eggs-*", "/usr/lib/python/", "no-*")))
    site = str(tmp_path / "site")
    assert os.getcwd() == site
    assert sys.path == [
        f"{site}/lib",
        f"{site}/eggs-a",
        f"{site}/eggs-b",
        "/usr/lib/python",
        f"{site}/no-*",
        site,
    ]


def test_without_settings_the_current_directory_comes_first(tmp_path: Path) -> None:
    prepare(Settings())
    assert sys.path == [str(tmp_path), "/usr/lib/python"]


def test_the_environment_is_set_in_order() -> None:
    variables = [EnvironmentVariable("M2_A", "1"), EnvironmentVariable("M2_A", "2"), EnvironmentVariable("M2_B", "")]
    prepare(Settings(env=tuple(variables)))
    assert (os.environ["M2_A"], os.environ["M2_B"]) == ("2", "")


def test_a_directory_that_cannot_be_entered() -> None:
    with pytest.raises(AppLoadError, match="chdir gone: No such file"):
        prepare(Settings(chdir="gone"))
