"""``wsgi.file_wrapper`` (PEP 3333, "Optional Platform-Specific File Handling")."""

from __future__ import annotations

import io
import os
import stat
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

BLOCK = 64 * 1024


class FileWrapper:
    """An iterable over a file-like object, from where it stands to its end.

    Args:
        filelike: has ``read(size)``, perhaps ``close()``.
        block_size: a hint that the protocol allows us to ignore; blocks below 64 KiB only cost time.
    """

    def __init__(self, filelike: Any, block_size: int = BLOCK) -> None:
        self.filelike = filelike
        self.block_size = max(block_size, BLOCK)

    def read(self, size: int) -> Any:
        return self.filelike.read(size)

    def __iter__(self) -> Iterator[Any]:
        while data := self.filelike.read(self.block_size):
            yield data

    def close(self) -> None:
        close = getattr(self.filelike, "close", None)
        if close is not None:
            close()


class RestOfFile:
    """A regular file from where it stands, read by anybody at any time: it needs no copy to wait for a client.

    Args:
        fd: its own, for the application closes the file when it has done its part.
        limit: bytes at most; None: to its end.
    """

    __slots__ = ("_at", "_fd", "missing")

    def __init__(self, fd: int, at: int, limit: int | None) -> None:
        self._fd = fd
        self._at = at
        self.missing = limit
        """Bytes still to come, if it is known how many there should be."""

    @classmethod
    def of(cls, wrapper: FileWrapper, limit: int | None) -> RestOfFile | None:
        """None: not certainly a plain file of the machine.

        Only what Python's own ``open`` gives for a file: of other objects the descriptor may belong to something
        that they decode, as a compressed file does.
        """
        file = wrapper.filelike
        # NamedTemporaryFile and the like wrap one
        file = getattr(file, "file", file)
        raw = getattr(file, "raw", file)
        if type(file) not in (io.BufferedReader, io.BufferedRandom, io.FileIO) or type(raw) is not io.FileIO:
            return None
        try:
            file.flush()  # what was written through it may not be in the file yet
            at, known = file.tell(), os.fstat(file.fileno())
            if not stat.S_ISREG(known.st_mode) or not at < known.st_size:
                return None
            return cls(os.dup(file.fileno()), at, limit)
        except (OSError, ValueError):
            return None  # closed, or not readable: the reader will say how

    def read(self, size: int) -> bytes:
        """The next bytes; none at the end.

        Raises: OSError: the file cannot be read.
        """
        if self.missing is not None:
            size = min(size, self.missing)
        data = os.pread(self._fd, size, self._at) if size else b""
        self._at += len(data)
        if self.missing is not None:
            self.missing -= len(data)
        return data

    def send(self, send_file: Callable[[int, int, int], int | None], size: int) -> int | None:
        """Have bytes sent from the descriptor; gives how many, 0 at the end, None if there is no room.

        Raises: as *send_file*.
        """
        if self.missing is not None:
            size = min(size, self.missing)
        sent = send_file(self._fd, self._at, size) if size else 0
        if sent:
            self._at += sent
            if self.missing is not None:
                self.missing -= sent
        return sent

    def close(self) -> None:
        """Let go of it."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
