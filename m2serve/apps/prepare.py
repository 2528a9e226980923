"""What the application expects of its process before it is imported."""

from __future__ import annotations

import glob
import os
import sys
from typing import TYPE_CHECKING

from m2serve.apps.variables import set_variables
from m2serve.apps.virtualenv import enter
from m2serve.config.virtualenv import inspect
from m2serve.errors import AppLoadError, ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from m2serve.config.settings import Settings


def prepare(settings: Settings) -> None:
    """Set the environment, change the directory, put the search path in order; in a worker only.

    Raises: AppLoadError: a directory cannot be used.
    """
    set_variables(settings, os.getcwd())
    if settings.chdir is not None:
        try:
            os.chdir(settings.chdir)
        except OSError as error:
            raise AppLoadError(f"chdir {settings.chdir}: {error.strerror}") from error
    directory = os.getcwd()
    if settings.virtualenv is not None:
        try:
            enter(inspect(os.path.normpath(os.path.join(directory, os.path.expanduser(settings.virtualenv)))))
        except ConfigError as error:
            # it was looked at before anything was started, and has changed since
            raise AppLoadError(f"virtualenv {settings.virtualenv}: {error}") from error
    if settings.pyargv is not None:
        sys.argv[:] = ["m2serve", *settings.pyargv.split()]
    # uWSGI's order: pythonpath as given, then the current directory, then Python's own.
    front = [*_expanded(settings.pythonpath, directory), directory]
    sys.path[:] = list(dict.fromkeys([*front, *sys.path]))


def settle(settings: Settings) -> None:
    """What follows when the application has been loaded.

    Raises: AppLoadError: the directory cannot be entered.
    """
    if settings.chdir2 is not None:
        try:
            os.chdir(settings.chdir2)
        except OSError as error:
            raise AppLoadError(f"chdir2 {settings.chdir2}: {error.strerror}") from error


def _expanded(patterns: Iterable[str], directory: str) -> list[str]:
    """Absolute directories: a later change of directory by the application must not move its modules."""
    paths = []
    for pattern in patterns:
        path = os.path.join(directory, os.path.expanduser(pattern))
        matches = sorted(glob.glob(path)) if glob.has_magic(path) else []
        paths += matches or [path]
    return [os.path.normpath(path) for path in paths]
