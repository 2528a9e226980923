"""Stacks that a worker writes when it is asked by a signal, behind its sheet."""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING

from m2serve.system import stacks
from m2serve.transports import sheet as sheets

if TYPE_CHECKING:
    from m2serve.master.child import Child

_MOST = 256 * 1024
"""Bytes read of one answer."""


def ask(child: Child, sheet_fd: int, number: int) -> None:
    """Send the signal *number*, MAIN or ALL, to a worker; not before it has said that it is prepared."""
    child.written = os.fstat(sheet_fd).st_size
    if sheets.listens(sheet_fd):
        with contextlib.suppress(ProcessLookupError):
            os.kill(child.pid, number)


def read(child: Child, sheet_fd: int) -> dict[int, str]:
    """What it has written since, by thread: see :func:`m2serve.system.stacks.split`."""
    text = os.pread(sheet_fd, _MOST, child.written).decode("utf-8", "replace")
    return stacks.split(text)
