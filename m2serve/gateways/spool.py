"""What an application has said and its client has not read yet: some in memory, more in a file without a name."""

from __future__ import annotations

import logging
import os
import tempfile

log = logging.getLogger("m2serve.gateway")


class Spool:
    """A queue of bytes. The file is a ring, unlinked from the start: whoever dies leaves nothing behind.

    Args:
        memory: bytes to hold in memory.
        disk: bytes to hold in a file of the directory for temporary files; 0: no file.
    """

    __slots__ = ("_begin", "_buffer", "_complained", "_disk", "_end", "_fd", "_memory")

    def __init__(self, memory: int, disk: int) -> None:
        self._memory = memory
        self._disk = disk
        self._buffer = bytearray()
        self._fd = -1
        self._begin = 0
        self._end = 0
        self._complained = False

    @property
    def size(self) -> int:
        """Bytes that wait."""
        return len(self._buffer) + self._end - self._begin

    def put(self, data: bytes | memoryview) -> int:
        """Take as much of *data* as there is room for.

        Returns: bytes taken; fewer than given: wait until some have left.
        """
        taken = 0
        if self._begin == self._end:  # what is in memory comes first
            taken = max(0, min(len(data), self._memory - len(self._buffer)))
            self._buffer += data[:taken]
        if taken < len(data) and self._disk:
            taken += self._store(memoryview(data)[taken:])
        return taken

    def _store(self, data: memoryview) -> int:
        stored = 0
        try:
            if self._fd < 0:
                with tempfile.TemporaryFile(buffering=0) as file:
                    self._fd = os.dup(file.fileno())
            while stored < len(data):
                at = self._end % self._disk
                room = min(self._disk - (self._end - self._begin), self._disk - at)
                if not room:
                    break
                written = os.pwrite(self._fd, data[stored : stored + room], at)
                stored += written
                self._end += written
        except OSError as error:
            if not self._complained:
                self._complained = True
                log.error(
                    "answers cannot wait on disk: %s; threads wait for their clients (response-spool) directory=%s",
                    error.strerror or error,
                    tempfile.tempdir,  # not gettempdir(), which may fail for the same reason
                )
        return stored

    def take(self, size: int) -> bytes:
        """The next bytes, at most *size*; fewer only where the queue, its memory or its ring ends.

        Raises: OSError: the file cannot be read.
        """
        buffer = self._buffer
        if buffer:
            data = bytes(buffer[:size])
            del buffer[:size]
            return data
        if self._begin == self._end:
            return b""
        at = self._begin % self._disk
        data = os.pread(self._fd, min(size, self._end - self._begin, self._disk - at), at)
        if not data:
            raise OSError("a temporary file has lost its content")
        self._begin += len(data)
        if self._begin == self._end:
            self._begin = self._end = 0
            os.ftruncate(self._fd, 0)
        return data

    def close(self) -> None:
        """Forget everything."""
        self._buffer = bytearray()
        self._begin = self._end = 0
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
