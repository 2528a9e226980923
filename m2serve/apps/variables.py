"""The environment variables of the application."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from m2serve.errors import AppLoadError

if TYPE_CHECKING:
    from m2serve.config.settings import Settings


def set_variables(settings: Settings, base: str) -> None:
    """First the files of ``envdir``, then ``env``; last, ``unenv`` takes away.

    Args: base: where relative directories start.

    Raises: AppLoadError: a directory or file cannot be read.
    """
    for directory in settings.envdir:
        _read_directory(os.path.join(base, directory))
    os.environ.update((variable.name, variable.value) for variable in settings.env)
    for name in settings.unenv:
        os.environ.pop(name, None)


def _read_directory(directory: str) -> None:
    """As envdir of daemontools does: a file a variable, its first line the value; an empty file takes it away."""
    try:
        names = sorted(os.listdir(directory))
        for name in names:
            path = os.path.join(directory, name)
            if name.startswith(".") or "=" in name or not os.path.isfile(path):
                continue
            with open(path, "rb") as file:
                content = file.read()
            if content:
                value = content.split(b"\n", 1)[0].rstrip(b" \t").replace(b"\0", b"\n")
                os.environb[os.fsencode(name)] = value
            else:
                os.environ.pop(name, None)
    except OSError as error:
        raise AppLoadError(f"envdir {error.filename or directory}: {error.strerror}") from error
