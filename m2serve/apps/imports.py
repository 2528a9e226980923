"""Modules that are imported before the applications."""

from __future__ import annotations

import importlib
import importlib.util
import logging
import os
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from m2serve.config.settings import Settings

log = logging.getLogger("m2serve.worker")


def import_first(settings: Settings) -> None:
    """The aliases, then the imports, in their order. What fails is told, and the applications are loaded all the same:
    uWSGI's way with both.
    """
    for alias in settings.pymodule_alias:
        _attempt("pymodule-alias", alias.target, alias.name)
    for target in settings.pyimport:
        _attempt("import", target, None)


def _attempt(option: str, target: str, name: str | None) -> None:
    try:
        if "/" in target or target.endswith(".py"):
            stem = os.path.splitext(os.path.basename(target))[0]
            _run(os.path.abspath(target), name or stem)
        else:
            module = importlib.import_module(target)
            if name is not None:
                sys.modules[name] = module
    except (Exception, SystemExit):
        # whatever the module raises; the log says it where uWSGI's would
        log.exception("%s %s failed", option, target)


def _run(path: str, name: str) -> None:
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{path}: expected a file whose name ends in .py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
