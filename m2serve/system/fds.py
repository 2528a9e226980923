"""Descriptors: what a child keeps, and pipes."""

from __future__ import annotations

import contextlib
import logging
import os
import resource
import stat
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

STDIO = (0, 1, 2)


def open_fds() -> list[int]:
    """Every descriptor this process holds."""
    try:
        return sorted(int(name) for name in os.listdir("/proc/self/fd"))
    except FileNotFoundError:
        # a chroot without /proc; each number that is possible has to be tried
        return [fd for fd in range(resource.getrlimit(resource.RLIMIT_NOFILE)[0]) if _is_open(fd)]


def _is_open(fd: int) -> bool:
    try:
        os.fstat(fd)
    except OSError:
        return False
    return True


def leave_standard_input() -> None:
    """Put /dev/null in its place, or, in a root directory without it, what has ended, too; unless it is a socket,
    which somebody may have left us to serve there.
    """
    with contextlib.suppress(OSError):  # closed: nothing is there to be kept
        if stat.S_ISSOCK(os.fstat(0).st_mode):
            return
    try:
        null = os.open(os.devnull, os.O_RDONLY)
    except OSError:
        null, writer = os.pipe()
        os.close(writer)
    if null == 0:
        os.set_inheritable(0, True)
    else:
        os.dup2(null, 0)
        os.close(null)


def keep_only(kept: Iterable[int]) -> list[int]:
    """Close every descriptor that is neither standard input, output or error nor in *kept*, and name them.

    For a freshly forked child: its parent's objects still hold the numbers and must not be used again.
    """
    keep = {*STDIO, *kept}
    closed = []
    for fd in open_fds():
        if fd not in keep:
            # The directory listing itself was one of them.
            with contextlib.suppress(OSError):
                os.close(fd)
                closed.append(fd)
    return closed


def log_fds() -> list[int]:
    """Descriptors the log handlers write to: a child goes on logging."""
    loggers: list[logging.Logger] = [logging.getLogger()]
    loggers += [one for one in logging.Logger.manager.loggerDict.values() if isinstance(one, logging.Logger)]
    found = set()
    for logger in loggers:
        for handler in logger.handlers:
            with contextlib.suppress(AttributeError, OSError, ValueError):
                found.add(handler.stream.fileno())  # type: ignore[attr-defined]
    return sorted(found)


def pipe_nonblocking() -> tuple[int, int]:
    """A pipe, close-on-exec, that never makes its reader wait."""
    reader, writer = os.pipe2(os.O_CLOEXEC)
    os.set_blocking(reader, False)
    return reader, writer


def close_quietly(fd: int) -> None:
    """Close *fd* if it is open."""
    with contextlib.suppress(OSError):
        os.close(fd)
