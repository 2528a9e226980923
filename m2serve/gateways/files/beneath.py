"""Opens files that lie beneath a directory, and no others, whoever changes names and links meanwhile."""

from __future__ import annotations

import errno
import os
import stat
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

_STEP = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_START = os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC
# a FIFO or a device in the place of a file must not keep us
_LAST = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC

_NOT_THERE = frozenset(
    {errno.ENOENT, errno.ENOTDIR, errno.EACCES, errno.EPERM, errno.ELOOP, errno.ENAMETOOLONG, errno.ENXIO}
)
"""Whoever asks is told nothing more than that there is no such file."""


class Opened(NamedTuple):
    """A regular file, or a directory, open for reading. Whoever has it closes it."""

    fd: int
    known: os.stat_result
    path: bytes
    """Its name, without links on the way from its directory on."""

    @property
    def is_directory(self) -> bool:
        return stat.S_ISDIR(self.known.st_mode)


class LeadsOut(Exception):
    """A symbolic link leads to a place where it may not lead; its text is that place."""


def open_file(path: bytes) -> Opened | None:
    """The file of that name, links or not; None: there is no regular one."""
    return _judge(_open(path, _LAST, None), path)


def open_beneath(root: bytes, steps: Sequence[bytes], safe: Sequence[bytes] = ()) -> Opened | None:
    """The file, or directory, that these names lead to from *root*; None: there is none.

    Each name is opened in the directory before it, and no link is followed on the way: nothing can be moved under our
    feet. Where a link is met, its target is worked out, has to lie below *root* or a directory of *safe*, and is
    opened from there in the same way.

    Args:
        root: may be a link itself.
        steps: names without slashes; neither ``.`` nor ``..``.

    Raises:
        LeadsOut: a link leads elsewhere.
        OSError: it is there, perhaps, but the machine is short of something.
    """
    opened, linked = _walk(root, steps)
    if opened is not None or not linked:
        return opened
    target = os.path.realpath(os.path.join(root, *steps))
    for allowed in (root, *safe):
        top = os.path.realpath(allowed)
        below = target.removeprefix(top.rstrip(b"/") + b"/") if target != top else b""
        if below != target:
            # a second link would be one that was made a moment ago: it counts as nothing
            return _walk(top, below.split(b"/") if below else ())[0]
    if not os.path.exists(target):
        return None
    raise LeadsOut(os.fsdecode(target))


def _walk(root: bytes, steps: Sequence[bytes]) -> tuple[Opened | None, bool]:
    """What is found, and, if nothing is, whether a link or something else that is no directory was in the way."""
    here = _open(root, _START, None)
    if here < 0:
        return None, False
    try:
        for step in steps[:-1]:
            following = _open(step, _STEP, here)
            if following < 0:
                return None, following == -errno.ENOTDIR
            os.close(here)
            here = following
        found = _open(steps[-1] if steps else b".", _LAST | os.O_NOFOLLOW, here)
        if found < 0:
            return None, found == -errno.ELOOP
        return _judge(found, os.path.join(root, *steps)), False
    finally:
        os.close(here)


def _open(path: bytes, flags: int, directory: int | None) -> int:
    """The descriptor; the negative number of the error if there is nothing for us.

    Raises: OSError: any other.
    """
    try:
        return os.open(path, flags, dir_fd=directory)
    except OSError as error:
        if error.errno not in _NOT_THERE:
            raise
        assert error.errno is not None
        return -error.errno


def _judge(fd: int, path: bytes) -> Opened | None:
    if fd < 0:
        return None
    known = os.fstat(fd)
    if stat.S_ISREG(known.st_mode) or stat.S_ISDIR(known.st_mode):
        return Opened(fd, known, path)
    os.close(fd)
    return None
