"""From the name of a plugin to its module, and the call of its ``setup``.

A name is looked for in every plugin-dir, among the plugins of this very source tree, if we run from one, among the
entry points of the group ``m2serve.plugins``, and last as a module that can be imported.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
import logging
import sys
import traceback
from dataclasses import dataclass, is_dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import m2serve
from m2serve.errors import ConfigError
from m2serve.plugin.hooks import Hooks, Registrar, arguments_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from types import ModuleType

log = logging.getLogger("m2serve.plugin")

ENTRY_POINTS: Final = "m2serve.plugins"
_PACKAGE: Final = "m2serve_plugins"
"""What the directory ``plugins`` is called as a package."""


@dataclass(frozen=True)
class Plugin:
    """A loaded plugin. ``where`` is its file, for the log."""

    name: str
    setup: Callable[..., None]
    options: type | None
    where: str


def find(name: str, directories: Sequence[str], *, importable: bool) -> Plugin | None:
    """The plugin of that name.

    Args:
        directories: to look in first.
        importable: whether it may be any module.

    Raises: ConfigError: it is there, but cannot be loaded, or is no plugin.
    """
    file = name.replace("-", "_")
    if not all(part.isidentifier() for part in file.split(".")):
        return None
    for directory in directories:
        for path in (Path(directory, f"{file}.py"), Path(directory, file, "__init__.py")):
            if path.is_file():
                return _plugin(name, partial(_load_file, f"m2serve_plugin_{file}", path))
    if _in_tree(file):
        return _plugin(name, partial(importlib.import_module, f"{_PACKAGE}.{file}"))
    for point in importlib.metadata.entry_points(group=ENTRY_POINTS):
        if point.name in (name, file):
            return _plugin(name, point.load)
    if not importable or "-" in name:
        return None
    try:
        if importlib.util.find_spec(name) is None:
            return None
    except (ImportError, ValueError):
        return None  # of a.b there is no a
    return _plugin(name, partial(importlib.import_module, name))


def set_up(plugins: Iterable[tuple[Plugin, Any, str]], settings: Any) -> Hooks:
    """Let every plugin register what it wants.

    Args: plugins: each with its options, and the place where it is asked for.

    Raises: ConfigError: one cannot.
    """
    hooks = Hooks()
    for plugin, options, origin in plugins:
        given = {"hooks": Registrar(plugin.name, hooks), "options": options, "settings": settings}
        try:
            wanted = arguments_of(plugin.setup, given, "setup")
            plugin.setup(**{name: given[name] for name in wanted})
        except ConfigError as error:
            raise ConfigError(f"{origin}: plugin {plugin.name}: {error}") from error
        except (Exception, SystemExit) as error:
            raise ConfigError(f"{origin}: plugin {plugin.name}: setup failed: {_blame(error)}") from error
        # Tests wait for this line.
        log.info("plugin %s: %s", plugin.name, plugin.where)
    return hooks


def _plugin(name: str, load: Callable[[], ModuleType]) -> Plugin:
    try:
        module = load()
    except ConfigError:
        raise
    except (Exception, SystemExit) as error:
        raise ConfigError(f"cannot be loaded: {_blame(error)}") from error
    setup, options = getattr(module, "setup", None), getattr(module, "Options", None)
    where = getattr(module, "__file__", None) or name
    if not callable(setup):
        raise ConfigError(f"{where} is no plugin of m2serve's: expected a function setup(hooks, options)")
    if options is not None and not is_dataclass(options):
        raise ConfigError(f"{where}: expected Options to be a dataclass")
    return Plugin(name, setup, options if isinstance(options, type) else None, where)


def _in_tree(file: str) -> bool:
    """Whether we run from a source tree that has this plugin; its package can then be imported."""
    root = Path(m2serve.__file__).parents[1]
    directory = root / "plugins"
    if not (root / "pyproject.toml").is_file() or not (directory / "__init__.py").is_file():
        return False
    if not (directory / f"{file}.py").is_file() and not (directory / file / "__init__.py").is_file():
        return False
    if _PACKAGE not in sys.modules:
        _load_file(_PACKAGE, directory / "__init__.py")
    return True


def _load_file(name: str, path: Path) -> ModuleType:
    inside = [str(path.parent)] if path.name == "__init__.py" else None
    spec = importlib.util.spec_from_file_location(name, path, submodule_search_locations=inside)
    if spec is None or spec.loader is None:
        raise ImportError(f"cannot import {path}")
    module = importlib.util.module_from_spec(spec)
    # Before it runs: a dataclass looks for the module of its annotations there.
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


def _blame(error: BaseException) -> str:
    """The exception and, where there is one, the line of the plugin's that raised it."""
    text = f"{type(error).__name__}: {error}"
    frames = traceback.extract_tb(error.__traceback__)
    last = next((frame for frame in reversed(frames) if "importlib" not in frame.filename), None)
    return text if last is None or last.filename == __file__ else f"{text} ({last.filename}:{last.lineno})"
