"""Ties a child's life to its master's: the kernel kills it when the master dies.

Source: prctl(2), PR_SET_PDEATHSIG. The setting belongs to the parent's thread that forked, survives exec of a
plain binary and is not inherited by children of the child.
"""

from __future__ import annotations

import ctypes
import os
import signal
from typing import Any

from m2serve.errors import ExitCode

_PR_SET_PDEATHSIG = 1

# Loaded at import, in the master: a forked child should not have to search for a shared library.
_libc: Any = ctypes.CDLL(None, use_errno=True)


def die_with(parent: int, number: signal.Signals = signal.SIGKILL) -> None:
    """Ask for a signal when *parent* dies; leave at once if it has died already.

    Called by the child, first thing. Raises: OSError: the kernel refused.
    """
    if _libc.prctl(_PR_SET_PDEATHSIG, int(number), 0, 0, 0) != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    # The master may have died between fork and prctl; then nobody would tell us.
    if os.getppid() != parent:
        os._exit(ExitCode.MASTER_LOST)
