"""The way into the background: the process that was started waits for the word of the one that serves, and leaves."""

from __future__ import annotations

import contextlib
import os
import sys
from typing import NoReturn

from m2serve.errors import ExitCode
from m2serve.system.fds import leave_standard_input

VASSAL = "M2SERVE_VASSAL"
"""In the environment of a vassal: its emperor waits for this very process, so it stays where it is."""

_LONGEST = 64 * 1024


class Launch:
    """The server's end of the pipe to the process that was started; without a pipe there is nobody to tell."""

    def __init__(self, fd: int = -1) -> None:
        self._fd = fd

    def __bool__(self) -> bool:
        return self._fd >= 0

    def succeeded(self) -> None:
        """It may leave, with 0."""
        self._say(b"%d\n" % ExitCode.OK)

    def failed(self, code: int, reason: str) -> None:
        """It has to say why, and leave with *code*."""
        self._say(b"%d\n" % code + reason.encode("utf-8", "replace")[:_LONGEST])

    def abandon(self) -> None:
        """In a forked child: the number will be another descriptor."""
        self._fd = -1

    def _say(self, words: bytes) -> None:
        if self._fd < 0:
            return
        # Who waits there may have been killed.
        with contextlib.suppress(OSError):
            os.write(self._fd, words)
        os.close(self._fd)
        self._fd = -1


def enter() -> Launch:
    """Go on in a process of its own session, whose parent is none of ours; the caller's waits and never returns.

    To be called while there is no thread, and before anything is made that holds our pid.

    Raises: OSError: no process to be had.
    """
    reader, writer = os.pipe2(os.O_CLOEXEC)
    sys.stdout.flush()
    sys.stderr.flush()
    if os.fork() != 0:
        os.close(writer)
        _wait(reader)
    os.setsid()
    # Not the leader of its session: it can never get a terminal again.
    if os.fork() != 0:
        os._exit(ExitCode.OK)
    os.close(reader)
    leave_standard_input()
    return Launch(writer)


def _wait(reader: int) -> NoReturn:
    said = b""
    while chunk := os.read(reader, 4096):
        said += chunk
    code, _, reason = said.partition(b"\n")
    if not code.isdigit():
        reason = b"the server ended before it had started; its log says why"
    if code != b"0":
        text = reason.decode("utf-8", "replace").strip()
        with contextlib.suppress(OSError):
            os.write(2, f"m2serve: {text}\n".encode("utf-8", "replace"))
    os._exit(int(code) if code.isdigit() else ExitCode.INTERNAL)
