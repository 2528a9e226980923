"""Which file a request is about, if it is about one."""

from __future__ import annotations

import logging
import os
import time
from typing import TYPE_CHECKING, NamedTuple

from m2serve.gateways.files.answer import Manner, StaticFile
from m2serve.gateways.files.beneath import LeadsOut, Opened, open_beneath, open_file
from m2serve.gateways.files.conditions import accepts_gzip
from m2serve.gateways.files.expires import Expiries
from m2serve.gateways.files.types import MediaTypes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from m2serve.config.settings import Settings
    from m2serve.gateways.base import Environ

log = logging.getLogger("m2serve.gateway")


class _Place(NamedTuple):
    """Where paths with a prefix are looked for."""

    prefix: bytes
    path: bytes
    whole: bool
    """The prefix is a directory below *path*, too."""


class _Found(NamedTuple):
    """A file, and the way that led to it."""

    file: Opened
    place: _Place
    steps: Sequence[bytes]


class StaticFiles:
    """Finds files for requests. Nothing is remembered: what is put there, or taken away, counts at once.

    Threads: any.

    Args:
        base: where relative paths start.
    """

    def __init__(self, settings: Settings, base: str) -> None:
        def path(text: str) -> bytes:
            return os.fsencode(os.path.normpath(os.path.join(base, os.path.expanduser(text))))

        self._places = (
            *(_Place(b"", path(one), whole=False) for one in settings.check_static),
            *(_Place(os.fsencode(one.prefix), path(one.path), whole=False) for one in settings.static_map),
            *(_Place(os.fsencode(one.prefix), path(one.path), whole=True) for one in settings.static_map2),
        )
        self._safe = tuple(path(one) for one in settings.static_safe)
        self._index = tuple(_steps(os.fsencode(one)) for one in settings.static_index)
        self._skip = tuple(os.fsencode(one) for one in settings.static_skip_ext)
        self._gzip_all = settings.static_gzip_all
        self._gzip_regexps = tuple(one.regexp for one in settings.static_gzip)
        self._gzip_dirs = tuple(path(one) for one in settings.static_gzip_dir)
        self._gzip_ends = tuple(os.fsencode(one) for one in settings.static_gzip_ext)
        self._expiries = Expiries(settings)
        self._types = MediaTypes([os.path.join(base, os.path.expanduser(one)) for one in settings.mimefile])
        self._ranges = settings.honour_range

    @classmethod
    def of(cls, settings: Settings, base: str) -> StaticFiles | None:
        """None: the settings name no place where files are."""
        if settings.check_static or settings.static_map or settings.static_map2:
            return cls(settings, base)
        return None

    def find(self, environ: Environ) -> StaticFile | None:
        """The file that a completed environ is about; None: the application has to answer.

        The whole path is looked at first, then what a mount leaves of it, as uWSGI does it without and with
        ``manage-script-name``. Whoever gets the file has to call it.
        """
        raw = environ["REQUEST_URI"].partition("?")[0]
        if environ["REQUEST_METHOD"] not in ("GET", "HEAD") or "%2f" in raw.lower():
            return None  # an encoded slash says: no border between two names
        rest = environ["PATH_INFO"].encode("latin-1")
        mount = environ["SCRIPT_NAME"].encode("latin-1")
        if b"\0" in rest or b".." in rest.split(b"/"):
            return None
        for path in (mount + rest, rest) if mount else (rest,):
            if path.endswith(self._skip):
                continue
            for place in self._places:
                if path.startswith(place.prefix) and (found := self._look(place, path)) is not None:
                    return self._answer(found, environ)
        return None

    def beneath(self, root: bytes, rest: bytes, environ: Environ) -> StaticFile | None:
        """The file *root*, or that of the path *rest* below it, wherever the settings have files; None: none there."""
        steps = _steps(rest)
        if b"\0" in rest or b".." in steps:
            return None
        place = _Place(b"", root, whole=False)
        try:
            file = open_beneath(root, steps, self._safe) if steps else open_file(root)
        except LeadsOut as error:
            log.warning("not served, leads out of %s: %s", os.fsdecode(root), error)
            return None
        found = self._unless_skipped(file, place, steps)
        return None if found is None else self._answer(found, environ)

    def _look(self, place: _Place, path: bytes) -> _Found | None:
        rest = path[len(place.prefix) :]
        if rest and not rest.startswith(b"/"):
            return None  # /static is no prefix of /statics
        steps = _steps(path if place.whole else rest)
        try:
            file = open_beneath(place.path, steps, self._safe)
            if file is None and not rest and not place.whole:
                file = open_file(place.path)
            if file is not None and file.is_directory:
                os.close(file.fd)
                return self._index_of(place, steps)
        except LeadsOut as error:
            log.warning("not served, leads out of %s: %s", os.fsdecode(place.path), error)
            return None
        if file is not None and rest.endswith(b"/"):
            os.close(file.fd)
            return None  # no directory has that name
        return self._unless_skipped(file, place, steps)

    def _index_of(self, place: _Place, steps: Sequence[bytes]) -> _Found | None:
        for name in self._index:
            whole = [*steps, *name]
            found = self._unless_skipped(open_beneath(place.path, whole, self._safe), place, whole)
            if found is not None:
                return found
        return None

    def _unless_skipped(self, file: Opened | None, place: _Place, steps: Sequence[bytes]) -> _Found | None:
        if file is None:
            return None
        if file.is_directory or file.path.endswith(self._skip):
            os.close(file.fd)
            return None
        return _Found(file, place, steps)

    def _answer(self, found: _Found, environ: Environ) -> StaticFile:
        file = found.file
        try:
            now = time.time()
            name = os.fsdecode(file.path)
            kind = self._types.of(name)
            varies = self._may_be_packed(file.path, name)
            packed = self._packed(found) if varies and accepts_gzip(environ) else None
            expires = self._expiries.of(environ, name, kind, now, file.known.st_mtime)
        except BaseException:
            os.close(file.fd)
            raise
        if packed is not None:
            os.close(file.fd)
        return StaticFile(packed or file, Manner(kind, packed is not None, varies, expires, self._ranges, now))

    def _may_be_packed(self, path: bytes, name: str) -> bool:
        return (
            self._gzip_all
            or path.startswith(self._gzip_dirs)
            or path.endswith(self._gzip_ends)
            or any(regexp.search(name) for regexp in self._gzip_regexps)
        )

    def _packed(self, found: _Found) -> Opened | None:
        """NAME.gz beside NAME, unless it was packed before NAME was last written."""
        file, place, steps = found
        try:
            if steps:
                packed = open_beneath(place.path, [*steps[:-1], steps[-1] + b".gz"], self._safe)
            else:
                packed = open_file(place.path + b".gz")
        except LeadsOut:
            return None
        # whole seconds: some programs that pack, and some that copy, keep no more of the time
        if packed is not None and (packed.is_directory or int(packed.known.st_mtime) < int(file.known.st_mtime)):
            os.close(packed.fd)
            return None
        return packed


def _steps(path: bytes) -> list[bytes]:
    return [step for step in path.split(b"/") if step not in (b"", b".")]
