"""The files of one Mongrel2's ``upload.temp_store``, as this process sees them.

Mongrel2 names a file as it sees it itself, often inside a chroot; for us it lies below that chroot. A Mongrel2 that is
not root ignores its chroot, so what is not below it is looked for under its bare name. Below a chroot no link is
followed at all, for whoever lives there could put it there; else only the directory may be reached through links.
"""

from __future__ import annotations

import errno
import os
import stat
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from m2serve.errors import TransportError
from m2serve.wire import upload

if TYPE_CHECKING:
    from collections.abc import Iterator

    from m2serve.front import Front

_DIRECTORY: Final = os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC
_FILE: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_HINTS: Final = {
    errno.ENOENT: "if Mongrel2's files lie elsewhere, say where with mongrel2-chroot or mongrel2-config",
    errno.EACCES: "let m2serve's user read it: upload.temp_store_mode, and the rights of the directory",
}


class UploadError(TransportError):
    """An upload's file cannot be used; the text names path and reason."""


class TempStore:
    """Finds, opens and deletes. Threads: any; each call stands alone."""

    def __init__(self, front: Front) -> None:
        self.front = front
        self._pattern = upload.template(front.temp_store) if front.temp_store else None

    @property
    def is_known(self) -> bool:
        """Whether it is known where Mongrel2 puts its files."""
        return self._pattern is not None

    def fits(self, name: bytes) -> bool:
        """Whether Mongrel2 can have made a file of that name."""
        return self._pattern is not None and self._pattern.fullmatch(name) is not None

    def open(self, name: bytes, expected: int | None) -> tuple[int, int]:
        """Open the file of a complete upload, and delete its name: from then on it is gone with its descriptor.

        Returns: descriptor, size in bytes.
        Raises: UploadError: it is not there, may not be read, or is not what Mongrel2 made; then it is left alone,
            but one that is only unreadable or too short is deleted.
        """
        with self._place(name) as (directory, base, path):
            try:
                _check(os.stat(base, dir_fd=directory, follow_symlinks=False), path)  # to open some files has effects
                fd = os.open(base, _FILE, dir_fd=directory)
            except OSError as error:
                if error.errno == errno.EACCES:
                    _unlink(base, directory)
                raise UploadError(_describe(path, error)) from None
            try:
                seen = os.fstat(fd)
                _check(seen, path)
                if not _unlink(base, directory):
                    raise UploadError(f"{path} cannot be deleted: let m2serve's user write to its directory")
                if expected is not None and seen.st_size < expected:
                    raise UploadError(f"{path} has {seen.st_size} bytes of {expected}")
            except BaseException:
                os.close(fd)
                raise
            return fd, seen.st_size

    def size(self, name: bytes) -> int | None:
        """Bytes that have been written; None: the file is not there, or not a file."""
        try:
            with self._place(name) as (directory, base, _):
                seen = os.stat(base, dir_fd=directory, follow_symlinks=False)
        except (OSError, UploadError):
            return None
        return seen.st_size if stat.S_ISREG(seen.st_mode) else None

    def remove(self, name: bytes) -> bool:
        """Delete the file if it is one; whether there was one."""
        try:
            with self._place(name) as (directory, base, _):
                seen = os.stat(base, dir_fd=directory, follow_symlinks=False)
                return stat.S_ISREG(seen.st_mode) and seen.st_nlink == 1 and _unlink(base, directory)
        except (OSError, UploadError):
            return False

    def room(self) -> int | None:
        """Bytes free where the files are written; None: it cannot be told."""
        if self.front.temp_store is None:
            return None
        for path in self.front.paths(self.front.temp_store):
            try:
                seen = os.statvfs(os.path.dirname(path))
            except OSError:
                continue
            return seen.f_bavail * seen.f_frsize
        return None

    @contextmanager
    def _place(self, name: bytes) -> Iterator[tuple[int, str, str]]:
        """The directory's descriptor, the name in it, and the path for the log."""
        seen = os.fsdecode(name)
        inside, base = os.path.split(seen)
        tried = []
        for path in self.front.paths(seen):
            jailed = path != seen and seen.startswith("/")
            try:
                fd = _walk(self.front.chroot, inside) if jailed else os.open(os.path.dirname(path), _DIRECTORY)
            except OSError as error:
                tried.append(_describe(path, error))
                continue
            try:
                if _exists(base, fd):
                    yield fd, base, path
                    return
            finally:
                os.close(fd)
            tried.append(_describe(path, OSError(errno.ENOENT, os.strerror(errno.ENOENT))))
        raise UploadError("; ".join(tried))


def _walk(root: str, directory: str) -> int:
    """Descriptor of *directory* below *root*, through no link and no ``..``.

    Raises: OSError
    """
    fd = os.open(root, _DIRECTORY)
    for part in directory.split("/"):
        if part in ("", "."):
            continue
        try:
            if part == "..":
                raise OSError(errno.EXDEV, "leads out of the chroot")
            inner = os.open(part, _DIRECTORY | os.O_NOFOLLOW, dir_fd=fd)
        finally:
            os.close(fd)
        fd = inner
    return fd


def _check(seen: os.stat_result, path: str) -> None:
    if not stat.S_ISREG(seen.st_mode) or seen.st_nlink != 1:
        raise UploadError(
            f"{path} is not a file of Mongrel2's (mode {seen.st_mode:o}, {seen.st_nlink} links); it is left alone"
        )


def _exists(base: str, directory: int) -> bool:
    try:
        os.stat(base, dir_fd=directory, follow_symlinks=False)
    except OSError:
        return False
    return True


def _unlink(base: str, directory: int) -> bool:
    try:
        os.unlink(base, dir_fd=directory)
    except OSError:
        return False
    return True


def _describe(path: str, error: OSError) -> str:
    text = f"{path}: {(error.strerror or str(error)).lower()}"
    hint = _HINTS.get(error.errno or 0)
    return f"{text} ({hint})" if hint else text
