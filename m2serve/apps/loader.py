"""Finds one application and hands back its callable."""

from __future__ import annotations

import difflib
import importlib
import os.path
import re
import sys
import types
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from m2serve.apps import paste
from m2serve.errors import AppLoadError

if TYPE_CHECKING:
    from m2serve.config.values import AppRef

WSGIApp = Callable[[dict[str, Any], Any], Iterable[bytes]]

_FILE_MODULE = "m2serve_file_"
"""Prefix of the names of modules made from files; uWSGI says ``uwsgi_file_``."""


def load(ref: AppRef, attribute: str = "application") -> WSGIApp:
    """Import the module, or run the file, and take its application.

    Args:
        attribute: where *ref* names none; ``name()`` is a factory, called without arguments.

    Raises: AppLoadError: its text is one line, its ``__cause__`` what the application's code raised.
    """
    if ref.paste:
        return _paste(ref)
    wanted = ref.attribute or attribute
    factory = ref.factory if ref.attribute else wanted.endswith("()")
    wanted = wanted.removesuffix("()")
    module = _run_file(ref.file) if ref.file else _import(ref.module)
    found = _attribute(module, wanted, str(ref))
    if factory:
        found = _call(found, wanted, str(ref))
    if not callable(found):
        made = f"{wanted}() returned" if factory else f"{wanted} is"
        raise AppLoadError(f"{ref}: {made} {_kind(found)}; expected a callable WSGI application")
    application: WSGIApp = found
    return application


def _paste(ref: AppRef) -> WSGIApp:
    try:
        found = paste.load(ref.paste)
    except AppLoadError:
        raise
    except (Exception, SystemExit) as error:
        # As above.
        raise _failed(str(ref), "loading it", error) from error
    if not callable(found):
        raise AppLoadError(f"{ref}: it is {_kind(found)}; expected a callable WSGI application")
    application: WSGIApp = found
    return application


def _import(name: str) -> types.ModuleType:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        # Only a missing part of the name itself; an import inside the module is the application's mistake.
        if error.name is not None and (name + ".").startswith(error.name + "."):
            hint = "; a file is loaded with wsgi-file" if name.endswith(".py") else ""
            raise AppLoadError(f"{name}: no module {error.name!r} on sys.path{hint}") from error
        raise _failed(name, "importing it", error) from error
    except (Exception, SystemExit) as error:
        # Whatever the application raises, SystemExit included: the worker decides what becomes of it.
        raise _failed(name, "importing it", error) from error


def _run_file(path: str) -> types.ModuleType:
    """Run a file as a module of its own name, found in sys.modules as pickle and friends expect."""
    stem = os.path.splitext(os.path.basename(path))[0]
    name = _FILE_MODULE + re.sub(r"\W", "_", stem)
    try:
        with open(path, "rb") as stream:
            source = stream.read()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise AppLoadError(f"{path}: cannot be read: {reason}") from error
    module = types.ModuleType(_unused(name, path))
    module.__file__ = os.path.abspath(path)
    sys.modules[module.__name__] = module
    try:
        exec(compile(source, module.__file__, "exec", dont_inherit=True), module.__dict__)
    except (Exception, SystemExit) as error:
        # As above; a half-made module must not be found by the next attempt.
        del sys.modules[module.__name__]
        raise _failed(path, "running it", error) from error
    return module


def _unused(name: str, path: str) -> str:
    """The name, with a number if another file of that name (``a/app.py``, ``b/app.py``) has taken it."""
    candidate, number = name, 1
    while candidate in sys.modules and getattr(sys.modules[candidate], "__file__", None) != os.path.abspath(path):
        number += 1
        candidate = f"{name}_{number}"
    return candidate


def _attribute(module: types.ModuleType, dotted: str, where: str) -> Any:
    found: Any = module
    name = ""
    try:
        for name in dotted.split("."):
            found = getattr(found, name)
    except AttributeError as error:
        close = difflib.get_close_matches(name, dir(found), n=1)
        hint = f"; did you mean {close[0]!r}?" if close else ""
        raise AppLoadError(f"{where}: no attribute {dotted!r}{hint}") from error
    except (Exception, SystemExit) as error:
        # Lazy modules and descriptors run code of the application.
        raise _failed(where, f"looking up {dotted!r}", error) from error
    return found


def _call(factory: Any, name: str, where: str) -> Any:
    if not callable(factory):
        raise AppLoadError(f"{where}: {name} is {_kind(factory)}; expected a factory, callable without arguments")
    try:
        return factory()
    except (Exception, SystemExit) as error:
        # A factory is application code like any other.
        raise _failed(where, f"calling {name}()", error) from error


def _failed(where: str, doing: str, error: BaseException) -> AppLoadError:
    text = " ".join(str(error).split())
    return AppLoadError(f"{where}: {doing} raised {type(error).__name__}" + (f": {text}" if text else ""))


def _kind(value: object) -> str:
    return "None" if value is None else f"of type {type(value).__name__}"
