"""The configuration files that an emperor finds."""

from __future__ import annotations

import glob
import os
from typing import TYPE_CHECKING, Final

from m2serve.emperor.vassal import Identity

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

ENDINGS: Final = (".ini", ".yml", ".yaml", ".json", ".js", ".toml")


def scan(places: Iterable[str], further: Iterable[str] = (), *, follow: bool = True) -> dict[str, Identity]:
    """Every file by its path. A place is a directory, not looked into deeper, or a pattern.

    Args:
        further: endings that count besides the known ones.
        follow: what a link leads to counts, not the link.
    """
    endings = (*ENDINGS, *(f".{ending.removeprefix('.')}" for ending in further))
    found: dict[str, Identity] = {}
    for place in places:
        for path in _candidates(place):
            if path.endswith(endings) and (seen := look(path, follow=follow)) is not None:
                found.setdefault(path, seen)
    return found


def look(path: str, *, follow: bool = True) -> Identity | None:
    """None: no file, or none that can be read."""
    try:
        target = os.stat(path)
        if not os.path.isfile(path) or not os.access(path, os.R_OK):
            return None
        seen = target if follow else os.lstat(path)
    except (OSError, ValueError):
        return None
    return Identity(seen.st_dev, seen.st_ino, seen.st_mtime_ns, target.st_uid, target.st_gid)


def _candidates(place: str) -> Iterator[str]:
    if os.path.isdir(place):
        try:
            yield from sorted(os.path.join(place, name) for name in os.listdir(place) if not name.startswith("."))
        except OSError:
            return  # it can be seen again later
    else:
        yield from sorted(glob.glob(place))
