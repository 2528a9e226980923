"""What the application prints, line by line, as lines of the log.

For logs whose lines are encoded, filtered or routed: a print that went straight to the descriptor would be the one line
of the log that no program can read. What C code writes there still goes there.
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

_LONGEST = 1024 * 1024


class _Printed(io.BufferedIOBase):
    """Threads: any; a piece of a line may then have another thread's piece beside it, as on a terminal."""

    def __init__(self, descriptor: int, write: Callable[[bytes], None]) -> None:
        super().__init__()
        self._descriptor = descriptor
        self.name = descriptor
        self._write = write
        self._rest = b""

    def write(self, data: object) -> int:
        chunk = bytes(data)  # type: ignore[call-overload]  # any buffer, as every binary stream takes it
        *lines, rest = (self._rest + chunk).split(b"\n")
        if len(rest) > _LONGEST:
            lines, rest = [*lines, rest], b""
        self._rest = rest
        for line in lines:
            self._write(line + b"\n")
        return len(chunk)

    def fileno(self) -> int:
        return self._descriptor

    def writable(self) -> bool:
        return True

    def close(self) -> None:
        if not self.closed and self._rest:
            self._write(self._rest + b"\n")
            self._rest = b""
        super().close()


def stream(descriptor: int, write: Callable[[bytes], None]) -> io.TextIOWrapper:
    """In place of ``sys.stdout`` or ``sys.stderr``.

    Args: write: gets each line with its newline.
    """
    printed = _Printed(descriptor, write)
    return io.TextIOWrapper(printed, "utf-8", "backslashreplace", newline="\n", line_buffering=True)
