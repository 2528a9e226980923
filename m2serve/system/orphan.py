"""Forks children for somebody else: what we beget becomes the child of our own parent.

A process forks a middle one, that forks the child and ends, and the kernel gives the orphan to the nearest ancestor
that has asked for orphans (prctl(2), PR_SET_CHILD_SUBREAPER): our parent. Its death is then told to that one, which
can wait for it and kill it as any child of its own.

clone(2) with CLONE_PARENT would do the same in one step, but beside the C library: no handler of pthread_atfork would
run, and libraries that the application has loaded rely on theirs.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import sys
import time
from typing import TYPE_CHECKING, Any

from m2serve.errors import ExitCode
from m2serve.system.life import live
from m2serve.system.parent_death import die_with

if TYPE_CHECKING:
    from collections.abc import Callable

_PR_SET_CHILD_SUBREAPER = 36

_LOOK_AGAIN = 0.0002
"""The middle process has nothing to do but to end."""

# The interpreter lock stays held: between the two calls of fork nothing may run but what stands here.
_libc: Any = ctypes.PyDLL(None, use_errno=True)


def take_orphans() -> None:
    """From now on descendants whose parents die become our children.

    Raises: OSError: the kernel refused.
    """
    if _libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        raise _error()


def beget(guardian: int, body: Callable[[], int]) -> None:
    """Fork a child of *guardian*, our parent, which has called `take_orphans`; it runs *body* and ends with its code.

    *body* runs with signals blocked, and when the child is the guardian's and will be killed with it.

    Raises: OSError: no process to be had.
    """
    # What is buffered would be written twice.
    sys.stdout.flush()
    sys.stderr.flush()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    try:
        # Alone, the hooks of os.register_at_fork run once, as if there were no middle process. Another thread of the
        # interpreter's might want its lock between the two calls, and the middle process would wait for that thread.
        alone = len(sys._current_frames()) == 1
        middle = _fork_once_for_hooks(guardian, body) if alone else _fork_twice(guardian, body)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    # An application that ignores SIGCHLD leaves nothing to wait for.
    with contextlib.suppress(ChildProcessError):
        _, status = os.waitpid(middle, 0)
        if status != 0:
            raise OSError(f"the process between could not fork (status {status})")


def _fork_once_for_hooks(guardian: int, body: Callable[[], int]) -> int:
    ctypes.pythonapi.PyOS_BeforeFork()
    pid: int = _libc.fork()
    if pid == 0:
        middle = os.getpid()
        pid = _libc.fork()
        if pid != 0:
            os._exit(0 if pid > 0 else ExitCode.INTERNAL)
        ctypes.pythonapi.PyOS_AfterFork_Child()
        live(lambda: _grow_up(guardian, middle, body))
    failure = _error()
    ctypes.pythonapi.PyOS_AfterFork_Parent()
    if pid < 0:
        raise failure
    return pid


def _fork_twice(guardian: int, body: Callable[[], int]) -> int:
    pid = os.fork()
    if pid != 0:
        return pid
    middle = os.getpid()
    try:
        pid = os.fork()
    except BaseException:
        # Nobody else may run in here; the parent says that it failed.
        os._exit(ExitCode.INTERNAL)
    if pid != 0:
        os._exit(0)
    live(lambda: _grow_up(guardian, middle, body))


def _grow_up(guardian: int, middle: int, body: Callable[[], int]) -> int:
    while (parent := os.getppid()) != guardian:
        if parent != middle:
            # The guardian has died, and we were given to somebody else.
            os._exit(ExitCode.MASTER_LOST)
        time.sleep(_LOOK_AGAIN)
    # Not before: the setting would tell of the end of the middle process.
    die_with(guardian)
    return body()


def _error() -> OSError:
    code = ctypes.get_errno()
    return OSError(code, os.strerror(code))
