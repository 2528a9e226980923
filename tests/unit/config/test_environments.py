from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

from m2serve.config.settings import load
from m2serve.config.virtualenv import inspect
from m2serve.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path

OURS = f"{sys.version_info[0]}.{sys.version_info[1]}"
OTHER = f"{sys.version_info[0]}.{sys.version_info[1] + 1}"
DOOR = ("--module", "x", "--zeromq", "tcp://127.0.0.1:1,tcp://127.0.0.1:2")


def made(directory: Path, version: str | None, told: str | None = None) -> Path:
    """As venv makes it.

    Args:
        version: of the directory with packages; None: there is none.
        told: content of pyvenv.cfg; None: it is not there.
    """
    if version is not None:
        (directory / "lib" / f"python{version}" / "site-packages").mkdir(parents=True)
    directory.mkdir(exist_ok=True)
    if told is not None:
        (directory / "pyvenv.cfg").write_text(told)
    return directory


def test_one_of_ours(tmp_path: Path) -> None:
    venv = made(tmp_path / "venv", OURS, f"home = /usr/bin\nversion = {OURS}.7\n")
    (venv / "lib64").symlink_to("lib")
    found = inspect(str(venv))
    assert found.sites == (f"{venv}/lib/python{OURS}/site-packages",)
    assert found.system is None


def test_system_packages(tmp_path: Path) -> None:
    told = f"home = /opt/python/bin\ninclude-system-site-packages = TRUE\nversion_info = {OURS}.1.final.0\n"
    assert inspect(str(made(tmp_path / "venv", OURS, told))).system == "/opt/python"


def test_an_old_one_without_a_pyvenv_cfg(tmp_path: Path) -> None:
    assert inspect(str(made(tmp_path / "venv", OURS))).system is None


@pytest.mark.parametrize(
    ("version", "told", "words"),
    [
        (OTHER, f"version = {OTHER}.3\n", (f"{OTHER}.3", f"Python {OURS}")),
        (OURS, f"version = {OTHER}.3\n", (f"{OTHER}.3", f"python{OURS} -m venv")),
        (OTHER, None, (f"lib/python{OTHER}", f"Python {OURS}")),
        (OTHER, "home = /usr/bin\n", (f"lib/python{OTHER}",)),
        (None, f"version = {OURS}.3\n", ("expected a whole environment", f"lib/python{OURS}/site-packages is missing")),
        (None, None, ("expected a virtual environment", "neither pyvenv.cfg nor")),
    ],
)
def test_what_cannot_be_used(tmp_path: Path, version: str | None, told: str | None, words: tuple[str, ...]) -> None:
    venv = made(tmp_path / "venv", version, told)
    with pytest.raises(ConfigError) as raised:
        inspect(str(venv))
    assert all(word in str(raised.value) for word in words), raised.value


def test_pypy_and_what_is_not_there(tmp_path: Path) -> None:
    (tmp_path / "venv" / "lib" / "pypy3.9").mkdir(parents=True)
    with pytest.raises(ConfigError, match=r"lib/pypy3\.9"):
        inspect(str(tmp_path / "venv"))
    with pytest.raises(ConfigError, match="expected an existing directory"):
        inspect(str(tmp_path / "nothing"))


def test_a_mistake_names_its_place_and_starts_at_chdir(tmp_path: Path) -> None:
    (tmp_path / "site").mkdir()
    made(tmp_path / "site" / ".venv", OTHER, f"version = {OTHER}")
    (tmp_path / "app.ini").write_text("[uwsgi]\nchdir = site\nhome = .venv\n")
    with pytest.raises(
        ConfigError, match=rf"app\.ini:3: virtualenv: '\.venv': it was made for another Python \({OTHER}\)"
    ):
        load(["app.ini", *DOOR], {}, directory=str(tmp_path))


def test_an_envdir_has_to_be_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="envdir: 'vars': expected an existing directory"):
        load([*DOOR, "--envdir", "vars"], {}, directory=str(tmp_path))
