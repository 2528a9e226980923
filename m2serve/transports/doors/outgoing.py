"""What leaves by one connection: as much as the socket takes at once, and the rest when its client has read some."""

from __future__ import annotations

import errno
import os
from collections import deque
from typing import TYPE_CHECKING, Final

from m2serve.errors import ClientGone
from m2serve.transports.doors.pipe import MOST_PARTS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from m2serve.transports.doors.pipe import Pipe

_BROKEN: Final = (errno.EPIPE, errno.ECONNRESET, errno.ETIMEDOUT, errno.ENOTCONN, errno.EHOSTUNREACH)
"""The socket's faults, where a file may have some, too."""


class Outgoing:
    """See above. It knows nobody who would tell that there is room: whoever has been told calls :meth:`flush`.

    Threads: guarded by whoever uses it.

    Attributes:
        waiting: what the socket had no room for, in order.
        file_waits: whoever sends a file wants to hear when there is room.
    """

    __slots__ = ("_pipe", "file_waits", "waiting")

    def __init__(self, pipe: Pipe) -> None:
        self._pipe = pipe
        self.waiting: deque[bytes | memoryview] = deque()
        self.file_waits = False

    @property
    def backlog(self) -> int:
        """Bytes that wait here."""
        return sum(map(len, self.waiting))

    def send(self, parts: Sequence[bytes | memoryview]) -> bool:
        """Send now what the socket takes, behind what waits; False: there was no room for all, and from now on some
        waits, so somebody must look for room.

        Raises: ClientGone.
        """
        if self.waiting:
            self.waiting += parts
            return True
        if len(parts) > MOST_PARTS:
            parts = [b"".join(parts)]
        total = sum(map(len, parts))
        try:
            sent = self._pipe.send(parts)
        except OSError as error:
            raise ClientGone(f"the client has left: {error.strerror or error}") from None
        if sent == total:
            return True
        for part in parts:
            if sent >= len(part):
                sent -= len(part)
            else:
                self.waiting.append(memoryview(part)[sent:] if sent else part)
                sent = 0
        return False

    def send_file(self, fd: int, at: int, size: int) -> int | None:
        """See :class:`m2serve.gateways.base.Channel`; None: somebody must look for room."""
        try:
            if not self.waiting:
                return os.sendfile(self._pipe.fileno(), fd, at, size)
        except BlockingIOError:
            pass
        except OSError as error:
            if error.errno in _BROKEN:
                raise ClientGone(f"the client has left: {error.strerror}") from None
            raise
        self.file_waits = True
        return None

    def flush(self) -> bool:
        """There is room: send of what waits; whether anything has left.

        Raises: OSError: the connection is broken.
        """
        waiting, some = self.waiting, False
        self.file_waits = False
        while waiting:
            parts = [waiting[i] for i in range(min(MOST_PARTS, len(waiting)))]
            sent = self._pipe.send(parts)
            if not sent and any(parts):
                break
            some = some or sent > 0
            for part in parts:
                if sent < len(part):
                    if sent:
                        waiting[0] = memoryview(part)[sent:]
                    break
                sent -= len(part)
                waiting.popleft()
        return some
