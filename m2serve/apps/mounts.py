"""Which application answers which path."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from m2serve.apps.imports import import_first
from m2serve.apps.loader import WSGIApp, load
from m2serve.apps.paste import set_up_logging
from m2serve.config.paste import logging_file, paste_uri
from m2serve.config.values import AppRef, Mount

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from m2serve.config.settings import Settings

log = logging.getLogger("m2serve.apps")


def not_found(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
    """The application for paths below no prefix, when nothing is mounted at the root."""
    body = b"Not Found\n"
    start_response("404 Not Found", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
    return [body]


def no_app(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
    """The same with ``no-default-app``: uWSGI calls it an error of the server."""
    log.error("no application is mounted at %r (no-default-app)", environ["PATH_INFO"])
    body = b"Internal Server Error"
    start_response("500 Internal Server Error", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
    return [body]


class Mounts:
    """The mount table: an application for the root and one for each prefix; never changes.

    Args:
        apps: prefix (empty for the root, else ``/prefix`` without a final slash) and application.
        default: what is below no prefix goes to the application at the root.
    """

    def __init__(self, apps: Sequence[tuple[str, WSGIApp]], *, default: bool = True) -> None:
        self.apps = tuple(apps)
        self._root = len(self.apps)
        self._default: WSGIApp = not_found if default else no_app
        for index, (prefix, app) in enumerate(self.apps):
            if prefix == "" and default:
                self._root, self._default = index, app
        longest_first = sorted(range(len(self.apps)), key=lambda index: -len(self.apps[index][0]))
        self._prefixes = tuple((*self.apps[index], index) for index in longest_first if self.apps[index][0])

    def resolve(self, path_info: str) -> tuple[int, WSGIApp, str, str]:
        """Split a path at the longest prefix that ends at a slash or at the path's end.

        Returns: number of the application, the application, SCRIPT_NAME, PATH_INFO. The number is
            ``len(apps)`` for ``not_found``.
        """
        for prefix, app, index in self._prefixes:
            if path_info.startswith(prefix):
                rest = path_info[len(prefix) :]
                if not rest or rest[0] == "/":
                    return index, app, prefix, rest
        return self._root, self._default, "", path_info


def references(settings: Settings) -> tuple[Mount, ...]:
    """What the settings say is mounted where, the root first."""
    if settings.module is not None:
        return (Mount("", settings.module), *settings.mount)
    if settings.wsgi_file is not None:
        return (Mount("", AppRef(file=settings.wsgi_file)), *settings.mount)
    uri = paste_uri(settings)
    if uri is not None:
        return (Mount("", AppRef(paste=uri.uri)), *settings.mount)
    return settings.mount


def load_all(settings: Settings) -> Mounts:
    """Load every application, in the order of the settings, and before them what is to be imported first; in a
    worker, after ``prepare``.

    An application mounted twice is loaded once.

    Raises: AppLoadError: the first one that failed.
    """
    file = logging_file(settings)
    if file is not None:
        set_up_logging(file)
    import_first(settings)
    loaded: dict[AppRef, WSGIApp] = {}
    mounted = references(settings)
    for mount in mounted:
        if mount.app not in loaded:
            loaded[mount.app] = load(mount.app, settings.callable)
    # an application that is alone and not mounted anywhere is no default, but the application
    default = not settings.no_default_app or not settings.mount
    return Mounts([(mount.prefix, loaded[mount.app]) for mount in mounted], default=default)
