"""The configuration files of tests/corpus/ini, read as if they lay on some other machine."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING

from m2serve.config.outside import Outside
from m2serve.config.settings import examine

if TYPE_CHECKING:
    from collections.abc import Iterable

    import pytest

    from m2serve.config.settings import Examined

CORPUS = Path(__file__).resolve().parents[1] / "corpus" / "ini"
NAMES = sorted(path.name for path in CORPUS.glob("*.ini"))
ENVIRONMENT = {
    "HOME": "/home/app",
    "STAGE": "prod",
    "PORT": "8000",
    "APP_HOME": "/srv/app",
    "SECRET_KEY": "s3cret",
}

_HERE = "/etc/apps"
_MACHINE = {
    "v": _HERE,
    "h": "web1",
    "k": "4",
    "u": "33",
    "U": "www-data",
    "g": "33",
    "G": "www-data",
    "t": "1700000000",
}


def _real(path: str) -> str:
    return os.path.join(CORPUS, path.removeprefix(_HERE + "/")) if path.startswith(_HERE + "/") else "/nonexistent"


def _glob(pattern: str) -> list[str]:
    return sorted(f"{_HERE}/{path.relative_to(CORPUS)}" for path in CORPUS.glob(pattern.removeprefix(_HERE + "/")))


WORLD = Outside(
    read_file=lambda path: Path(_real(path)).read_text(),
    exists=lambda path: os.path.exists(_real(path)),
    is_file=lambda path: os.path.isfile(_real(path)),
    is_dir=lambda path: os.path.isdir(_real(path)),
    glob=_glob,
    inode=lambda path: 4711,
)


def read(name: str, monkeypatch: pytest.MonkeyPatch) -> Examined:
    """One file, in the directory /etc/apps of a machine called web1."""
    monkeypatch.setattr("m2serve.config.settings.machine_magic", lambda directory: _MACHINE)
    return examine([name], ENVIRONMENT, WORLD, _HERE)


def by_key(given: Iterable[tuple[str, str]]) -> dict[str, str | list[str]]:
    """Keys with their value, or with all of them in order when there are several."""
    found: dict[str, str | list[str]] = {}
    for key, value in given:
        earlier = found.get(key)
        if earlier is None:
            found[key] = value
        else:
            found[key] = [*(earlier if isinstance(earlier, list) else [earlier]), value]
    return found


def expected(name: str) -> dict[str, object]:
    """What stands beside a file: ``values`` by key, ``unknown`` keys, ``problems``."""
    content: dict[str, object] = json.loads((CORPUS / name).with_suffix(".json").read_text())
    return content
