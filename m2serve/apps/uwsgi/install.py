"""Makes the modules when they are imported, and not before."""

from __future__ import annotations

import importlib
import importlib.abc
import importlib.machinery
import sys
from typing import TYPE_CHECKING

from m2serve.apps.uwsgi.decorators import UwsgiDecorators
from m2serve.apps.uwsgi.module import Uwsgi, loaded

if TYPE_CHECKING:
    import types
    from collections.abc import Sequence

    from m2serve.apps.uwsgi.running import Running


_NAMES = frozenset({"uwsgi", "uwsgidecorators"})


class _Finder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Before all others: the ``uwsgidecorators`` that comes with uWSGI wants a module in C, and a directory ``uwsgi``
    with configuration files would pass for a package. An application's own ``uwsgi.py`` is meant where there is one.
    """

    def __init__(self, running: Running) -> None:
        self._running = running

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: types.ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname not in _NAMES or (fullname == "uwsgi" and _is_file("uwsgi")):
            return None
        return importlib.machinery.ModuleSpec(fullname, self, origin="m2serve")

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> types.ModuleType:
        if spec.name == "uwsgi":
            return Uwsgi(self._running)
        module = importlib.import_module("uwsgi")
        if not isinstance(module, Uwsgi):
            raise ImportError("uwsgidecorators: the application has a module uwsgi of its own")
        return UwsgiDecorators(self._running, module)

    def exec_module(self, module: types.ModuleType) -> None:
        pass


def _is_file(name: str) -> bool:
    """Whether ``sys.path`` has a module of that name, and not a mere directory."""
    found = importlib.machinery.PathFinder.find_spec(name)
    return found is not None and found.origin is not None


def install(running: Running) -> None:
    """Let applications import both; in a process of theirs, before they are loaded."""
    sys.meta_path.insert(0, _Finder(running))


def is_wanted() -> bool:
    """Whether the application has imported the module."""
    return loaded() is not None


def begin() -> None:
    """The application has been loaded, and the worker forked: do what was asked for, if anybody asked."""
    module = loaded()
    if module is not None:
        module.begin()
