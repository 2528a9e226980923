"""Attached daemons: what they print, and whether they answer."""

from __future__ import annotations

import logging
import os
import socket
from typing import TYPE_CHECKING

from m2serve.mongrel2.daemon import log_level

if TYPE_CHECKING:
    from m2serve.master.child import Child
    from m2serve.mongrel2.daemon import DaemonSpec

PROBE_SECONDS = 0.05
"""Between two attempts to connect to a daemon that starts, and the most that one may take."""

_LONGEST_LINE = 64 * 1024


class DaemonOutput:
    """Turns a daemon's output into lines of our log."""

    def __init__(self, name: str) -> None:
        self._log = logging.getLogger(f"m2serve.{name}")
        self._rest: dict[int, bytes] = {}

    def read(self, child: Child) -> None:
        """Log the whole lines that have come; at end of file, the rest too."""
        if child.output is None:
            return
        data = self._rest.pop(child.key, b"")
        at_end = False
        try:
            while chunk := os.read(child.output, 65536):
                data += chunk
            at_end = True
        except BlockingIOError:
            pass
        *lines, rest = data.split(b"\n")
        if at_end or len(rest) > _LONGEST_LINE:
            lines.append(rest)
            rest = b""
        if at_end:
            os.close(child.output)
            child.output = None
        elif rest:
            self._rest[child.key] = rest
        for line in lines:
            if line.strip():
                self._write(child, line.decode("utf-8", "replace").rstrip())

    def close(self, child: Child) -> None:
        """After its death: somebody it started may still hold the other end."""
        self.read(child)
        self._rest.pop(child.key, None)
        if child.output is not None:
            os.close(child.output)
            child.output = None

    def _write(self, child: Child, line: str) -> None:
        level, text = log_level(line)
        # Told to leave, Mongrel2 reports each socket it closes as an error.
        self._log.log(logging.DEBUG if child.leaving else level, "%s", text)


def answers(spec: DaemonSpec) -> bool:
    """Somebody accepts connections at the daemon's address."""
    try:
        socket.create_connection(spec.address, timeout=PROBE_SECONDS).close()
    except OSError:
        return False
    return True
