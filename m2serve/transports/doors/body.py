"""The body of a request, collected before a thread is taken: in memory, and beyond some size in a file."""

from __future__ import annotations

import tempfile
from typing import IO, TYPE_CHECKING, Any

from m2serve.errors import RemoteProtocolError

if TYPE_CHECKING:
    from m2serve.message import Request
    from m2serve.wire.door import Head


class Collected:
    """Bytes as they come; afterwards the body for the application, see :class:`m2serve.gateways.base.Body`.

    Args:
        head: of its request.
        limit: bytes that are accepted; None: any number.
        memory: bytes that are kept in memory.

    Raises: RemoteProtocolError: 413; the announced length is too much.
    """

    status = 200
    fault: str | None = None
    complete = True

    def __init__(self, head: Head, limit: int | None, memory: int) -> None:
        self.head = head
        self.length = length = head.length
        self._limit = limit
        self._memory = memory
        self._pieces: list[bytes] = []
        self.size = 0
        self._file: IO[bytes] | None = None
        self.input: Any = None
        if length is not None:
            self._check(length)

    def _check(self, size: int) -> None:
        if self._limit is not None and size > self._limit:
            text = f"a body of {'at least ' if self.length is None else ''}{size} bytes, at most {self._limit}"
            raise RemoteProtocolError(f"{text} (limit-post)", status=413)

    def add(self, data: bytes) -> None:
        """More has come.

        Raises: RemoteProtocolError: it is more than is accepted, or there is no room for it (507).
        """
        self.size += len(data)
        if self.length is None:
            self._check(self.size)
        try:
            if self._file is not None:
                self._file.write(data)
                return
            self._pieces.append(data)
            if self.size > self._memory:
                # no name: whatever becomes of us, nothing is left
                self._file = tempfile.TemporaryFile(prefix="m2serve-body-")
                for piece in self._pieces:
                    self._file.write(piece)
                self._pieces.clear()
        except OSError as error:
            raise RemoteProtocolError(f"no room for the body: {error.strerror or error}", status=507) from None

    def whole(self) -> Request:
        """All has come: the request, with its body where that is in memory; else the body is a file, which ``input``
        reads. A length that nobody had announced is among the headers now.

        Raises: RemoteProtocolError: 507; the file cannot be completed.
        """
        request, self.length = self.head.request, self.size
        if self.head.length is None:
            headers = {key: value for key, value in request.headers.items() if key != b"transfer-encoding"}
            headers[b"content-length"] = b"%d" % self.size
            request = request._replace(headers=headers)
        if self._file is None:
            body = self._pieces[0] if len(self._pieces) == 1 else b"".join(self._pieces)
            return request._replace(body=body, key=b"") if body else request
        try:
            self._file.seek(0)
        except OSError as error:
            raise RemoteProtocolError(f"no room for the body: {error.strerror or error}", status=507) from None
        self.input = self._file
        return request

    def close(self) -> None:
        """The request is over."""
        self._pieces.clear()
        if self._file is not None:
            self._file.close()
