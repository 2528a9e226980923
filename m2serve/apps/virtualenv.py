"""Gives a process the packages of a virtual environment, and takes away our own."""

from __future__ import annotations

import os
import site
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from m2serve.config.virtualenv import Environment


def enter(environment: Environment) -> None:
    """From now on the process imports what a Python of that environment would; before the application is loaded.

    Packages beside ours, in whatever environment m2serve is installed, are out of reach; those of them that are loaded
    already are forgotten, so that the application gets its own version of them. m2serve itself stays.
    """
    directory = environment.directory
    if os.path.realpath(directory) == os.path.realpath(sys.prefix):
        return
    ours = _site_directories()
    sys.path[:] = [path for path in sys.path if os.path.normpath(path) not in ours]
    _forget(ours)
    sys.prefix = sys.exec_prefix = directory
    site.PREFIXES[:] = [directory]
    site.ENABLE_USER_SITE = False
    # with its .pth files, whose mistakes are told on standard error
    for path in environment.sites:
        site.addsitedir(path)
    if environment.system is not None:
        for path in site.getsitepackages([environment.system]):
            if os.path.isdir(path):
                site.addsitedir(path)
    # for multiprocessing, and for what the application starts in its own name
    python = os.path.join(directory, "bin", "python")
    if os.access(python, os.X_OK):
        sys.executable = python


def _site_directories() -> set[str]:
    """Where packages were found so far."""
    return {os.path.normpath(path) for path in (*site.getsitepackages(), site.getusersitepackages())}


def _forget(directories: set[str]) -> None:
    tops = tuple(path + os.sep for path in directories)
    for name, module in list(sys.modules.items()):
        file = getattr(module, "__file__", None)
        if isinstance(file, str) and file.startswith(tops) and name.partition(".")[0] != __name__.partition(".")[0]:
            del sys.modules[name]
