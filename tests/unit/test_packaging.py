"""What is installed."""

from __future__ import annotations

import re
import runpy
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
setuptools = pytest.importorskip("setuptools")


def test_every_package_is_installed_and_every_plugin_announced(monkeypatch: pytest.MonkeyPatch) -> None:
    given: dict[str, Any] = {}
    monkeypatch.setattr(setuptools, "setup", lambda **options: given.update(options))
    monkeypatch.chdir(ROOT)
    runpy.run_path("setup.py")
    directories = {str(path.parent) for tree in ("m2serve", "plugins") for path in Path(tree).rglob("__init__.py")}
    packages = {path.replace("/", ".") for path in directories}
    assert set(given["packages"]) == {f"m2serve_{one}" if one.startswith("plugins") else one for one in packages}
    assert given["package_dir"] == {"m2serve_plugins": "plugins"}
    section = (ROOT / "pyproject.toml").read_text().partition('[project.entry-points."m2serve.plugins"]\n')[2]
    points = dict(re.findall(r'^(\w+) = "(.*)"$', section.partition("\n[")[0], re.MULTILINE))
    names = {path.stem for path in (ROOT / "plugins").glob("[!_]*.py")}
    names |= {path.parent.name for path in (ROOT / "plugins").glob("*/__init__.py")}
    assert points == {name: f"m2serve_plugins.{name}" for name in names}
