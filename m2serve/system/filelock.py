"""Files that only one server at a time has, as uWSGI's ``flock`` has it: a lock of fcntl(2) on the whole file."""

from __future__ import annotations

import fcntl
import logging
import os
import struct
from typing import TYPE_CHECKING, Final

from m2serve.errors import ConfigError
from m2serve.system.fds import STDIO, open_fds

if TYPE_CHECKING:
    from m2serve.config.settings import Settings

log = logging.getLogger("m2serve.master")

_WHOLE: Final = struct.Struct("hhqqi4x").pack(fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
"""struct flock of a 64-bit Linux: type, whence, start, length, pid."""


def lock_files(settings: Settings, *, again: bool = False) -> None:
    """Lock all that the settings name, one after the other, for as long as this process lives.

    Args: again: after an upgrade; what is not locked yet is not waited for.

    Raises: ConfigError: somebody else has one that is not to be waited for, or it cannot be opened.
    """
    for field in ("flock", "flock_wait", "flock2", "flock_wait2"):
        for index, path in enumerate(getattr(settings, field)):
            origins = settings.origins.get(field, ())
            place = origins[index] if index < len(origins) else "default"
            try:
                _lock(path, wait=field.startswith("flock_wait") and not again)
            except OSError as error:
                why = "somebody else has locked it" if isinstance(error, BlockingIOError) else error.strerror
                raise ConfigError(f"{place}: {field.replace('_', '-')} = {path}: {why}") from error


def _lock(path: str, *, wait: bool) -> None:
    """Raises: OSError: BlockingIOError if somebody else has it."""
    # After an upgrade it is open, and so locked.
    for fd in open_fds():
        if fd not in STDIO and _is(fd, path) and _try(fd):
            return
    fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    try:
        if not _try(fd):
            if not wait:
                raise BlockingIOError
            # Tests wait for this line.
            log.info("waiting for %s, which somebody else has locked", path)
            fcntl.fcntl(fd, fcntl.F_OFD_SETLKW, _WHOLE)
    except BaseException:
        os.close(fd)
        raise
    # The next program in this process goes on with it; children close it.
    os.set_inheritable(fd, True)
    log.info("%s is locked", path)


def _is(fd: int, path: str) -> bool:
    try:
        return os.path.samestat(os.fstat(fd), os.stat(path))
    except OSError:
        return False  # the descriptor of the listing itself, for one


def _try(fd: int) -> bool:
    try:
        # Not that of the process: it would end with whatever descriptor of the file is closed first.
        fcntl.fcntl(fd, fcntl.F_OFD_SETLK, _WHOLE)
    except OSError:
        return False
    return True
