"""Virtual environments, as far as they can be known without running anything of theirs."""

from __future__ import annotations

import os
import re
import sys
import sysconfig
from typing import NamedTuple

from m2serve.errors import ConfigError

_VERSION = re.compile(r"(\d+)\.(\d+)")
_LONGEST = 64 * 1024


class Environment(NamedTuple):
    """A directory with packages for the Python that runs us."""

    directory: str
    sites: tuple[str, ...]
    """Where its packages are."""
    system: str | None
    """Prefix of the Python whose own packages it wants as well."""


def inspect(directory: str) -> Environment:
    """Look at it.

    Raises: ConfigError: it is none, or made for another version of Python.
    """
    if not os.path.isdir(directory):
        raise ConfigError("expected an existing directory")
    told = _told(os.path.join(directory, "pyvenv.cfg"))
    ours = f"python{_ours()}{'t' if sysconfig.get_config_var('Py_GIL_DISABLED') else ''}"
    made_for = _VERSION.match(told.get("version") or told.get("version_info", ""))
    if made_for is not None and made_for[0] != _ours():
        raise _another(made_for.string.strip())
    sites = tuple(path for path in _sites(directory, ours) if os.path.isdir(path))
    if not sites:
        others = [name for name in _listed(os.path.join(directory, "lib")) if re.match(r"(python|pypy)\d", name)]
        if others:
            raise _another(", ".join(f"lib/{name}" for name in others))
        expected = f"expected a virtual environment: neither pyvenv.cfg nor lib/{ours}/site-packages is there"
        raise ConfigError(
            expected if not told else f"expected a whole environment: lib/{ours}/site-packages is missing"
        )
    wants_system = told.get("include-system-site-packages", "false").lower() == "true"
    home = told.get("home", "")
    return Environment(directory, sites, os.path.dirname(home.rstrip("/")) if wants_system and home else None)


def _another(made_for: str) -> ConfigError:
    ours = ".".join(map(str, sys.version_info[:3]))
    return ConfigError(
        f"it was made for another Python ({made_for}); this m2serve runs on Python {ours}. Expected one made with "
        f"python{_ours()} -m venv, or m2serve installed in this one and started from there"
    )


def _ours() -> str:
    return f"{sys.version_info[0]}.{sys.version_info[1]}"


def _sites(directory: str, python: str) -> list[str]:
    """The places in use; the last two are those of a whole Python of Debian's, which ``home`` may name."""
    found = [os.path.join(directory, lib, python, "site-packages") for lib in ("lib", "lib64")]
    if os.path.realpath(found[0]) == os.path.realpath(found[1]):
        del found[1]
    return [*found, *(os.path.join(directory, "lib", name, "dist-packages") for name in (python, "python3"))]


def _told(path: str) -> dict[str, str]:
    """The lines of a pyvenv.cfg; none where it is not there, or cannot be read."""
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            lines = file.read(_LONGEST).splitlines()
    except OSError:
        return {}
    pairs = (line.partition("=") for line in lines)
    return {key.strip().lower(): value.strip() for key, equals, value in pairs if equals}


def _listed(path: str) -> list[str]:
    try:
        return sorted(os.listdir(path))
    except OSError:
        return []
