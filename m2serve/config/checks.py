"""What one option alone cannot know: settings that need or exclude each other, files that must exist."""

from __future__ import annotations

import os.path
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from m2serve.config.values import is_attribute

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from m2serve.config.settings import Settings


@dataclass(frozen=True)
class Problem:
    """A mistake and the settings it is about; the first one is named in the message."""

    fields: tuple[str, ...]
    expected: str


def check(settings: Settings, directory: str) -> list[Problem]:
    """Every mistake found.

    Args:
        directory: where the server was started; relative paths start there, or at ``chdir``.
    """
    checks: tuple[Callable[[Settings, str], Iterator[Problem]], ...] = (
        _application,
        _mounts,
        _directories,
        _files,
        _mongrel2,
    )
    return [problem for examine in checks for problem in examine(settings, directory)]


def _application(settings: Settings, directory: str) -> Iterator[Problem]:
    if settings.module is None and settings.wsgi_file is None and not settings.mount:
        yield Problem(("module", "wsgi_file", "mount"), "no application: expected module, wsgi-file or mount")
    if settings.module is not None and settings.wsgi_file is not None:
        other = settings.origin("wsgi_file")
        yield Problem(("module", "wsgi_file"), f"expected one of module and wsgi-file; the other is at {other}")
    if not is_attribute(settings.callable):
        yield Problem(("callable",), f"{settings.callable!r}: expected the name of an attribute")


def _mounts(settings: Settings, directory: str) -> Iterator[Problem]:
    prefixes = Counter(mount.prefix for mount in settings.mount)
    for prefix, times in prefixes.items():
        if times > 1:
            yield Problem(("mount",), f"{prefix or '/'!r} is mounted {times} times; expected each prefix once")
    root = next((name for name in ("module", "wsgi_file") if getattr(settings, name) is not None), None)
    if root is not None and "" in prefixes:
        yield Problem(("mount", root), f"'/' is mounted, but {root.replace('_', '-')} names the application there")


def _directories(settings: Settings, directory: str) -> Iterator[Problem]:
    if settings.chdir is not None and not os.path.isdir(os.path.join(directory, settings.chdir)):
        yield Problem(("chdir",), f"{settings.chdir!r}: expected an existing directory")


def _files(settings: Settings, directory: str) -> Iterator[Problem]:
    base = os.path.join(directory, settings.chdir or "")
    if not os.path.isdir(base):
        return
    files = [("wsgi_file", settings.wsgi_file)] if settings.wsgi_file else []
    files += [("mount", mount.app.file) for mount in settings.mount if mount.app.file]
    for name, path in files:
        if not os.path.isfile(os.path.join(base, path)):
            yield Problem((name, "chdir"), f"{path!r}: expected an existing file below {base}")


def _mongrel2(settings: Settings, directory: str) -> Iterator[Problem]:
    if not settings.zeromq and settings.with_mongrel2 is None:
        yield Problem(("zeromq", "with_mongrel2"), "no Mongrel2: expected zeromq or with-mongrel2")
    sockets = Counter(endpoint for pair in settings.zeromq for endpoint in (pair.send, pair.recv))
    for endpoint, times in sockets.items():
        if times > 1:
            yield Problem(("zeromq",), f"{endpoint} is used {times} times; expected each socket once")
