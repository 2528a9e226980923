"""The body of an upload for the application: the file that Mongrel2 wrote."""

from __future__ import annotations

import io
import os
from typing import TYPE_CHECKING, Any, Final

from m2serve.uploads.store import TempStore, UploadError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from m2serve.front import Front
    from m2serve.wire.upload import Claim

_BUFFER: Final = 64 * 1024


class FileBody:
    """``wsgi.input`` on a file that has no name any more.

    Attributes: see :class:`m2serve.gateways.base.Body`.
    """

    status = 500

    def __init__(self, fd: int, size: int, expected: int | None) -> None:
        length = size if expected is None else expected
        # Mongrel2 1.12.2 garbles a large body that comes over a connection after one in chunks: use it no further.
        self.complete = expected is not None
        raw = io.FileIO(fd) if size == length else _Part(fd, length)
        self.input: Any = io.BufferedReader(raw, _BUFFER)
        self.length: int | None = length
        self.fault: str | None = None

    def close(self) -> None:
        """The request is over."""
        self.input.close()


class NoBody:
    """Stands for a file that could not be opened."""

    status = 500
    complete = True

    def __init__(self, fault: str) -> None:
        self.input: Any = io.BytesIO()
        self.length: int | None = 0
        self.fault: str | None = fault

    def close(self) -> None:
        """Nothing is held."""


class _Part(io.RawIOBase):
    """The first bytes of a file.

    Mongrel2 may write the beginning of the client's next request behind a body.
    """

    def __init__(self, fd: int, length: int) -> None:
        self._fd = fd
        self._length = length
        self._at = 0

    def readable(self) -> bool:
        """Always."""
        return True

    def seekable(self) -> bool:
        """Always."""
        return True

    def readinto(self, buffer: Any) -> int:
        """As of files."""
        data = os.pread(self._fd, min(len(buffer), max(0, self._length - self._at)), self._at)
        buffer[: len(data)] = data
        self._at += len(data)
        return len(data)

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """As of files."""
        at = offset + (0, self._at, self._length)[whence]
        if at < 0:
            raise ValueError(f"negative seek position {at}")
        self._at = at
        return at

    def tell(self) -> int:
        """As of files."""
        return self._at

    def close(self) -> None:
        """Close the file."""
        if not self.closed:
            super().close()
            os.close(self._fd)


class UploadFiles:
    """Opens the files of complete uploads. Threads: any."""

    def __init__(self, fronts: Iterable[Front]) -> None:
        self._stores = [TempStore(front) for front in fronts]

    def open(self, endpoint: int, claimed: Claim) -> FileBody | NoBody:
        """The body of a request whose upload was proven; its file has no name from now on."""
        try:
            fd, size = self._stores[endpoint].open(claimed.name, claimed.expected)
        except UploadError as error:
            return NoBody(f"upload {error}")
        return FileBody(fd, size, claimed.expected)

    def size(self, endpoint: int, name: bytes) -> int | None:
        """Bytes of a file that have been written; None: it is not there."""
        return self._stores[endpoint].size(name)
