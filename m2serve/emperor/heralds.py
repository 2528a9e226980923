"""How vassals tell their emperor that they are ready: each has a socket of its own, as a service manager gives it."""

from __future__ import annotations

import contextlib
import os
import socket
import struct
from typing import Final

_CREDENTIALS: Final = struct.Struct("iII")
"""``struct ucred``: pid, uid, gid."""


class Heralds:
    """One socket for all, in the abstract name space; the kernel says who speaks."""

    def __init__(self) -> None:
        self._sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        self._sock.bind(f"\0m2serve-emperor-{os.getpid()}-{os.urandom(6).hex()}")
        self.address = "@" + self._sock.getsockname()[1:].decode()

    def fileno(self) -> int:
        return self._sock.fileno()

    def heard(self) -> list[tuple[int, dict[str, str]]]:
        """What has been said: the speaker's pid, and the assignments."""
        said: list[tuple[int, dict[str, str]]] = []
        with contextlib.suppress(BlockingIOError):
            while True:
                data, ancillary, _, _ = self._sock.recvmsg(4096, socket.CMSG_SPACE(_CREDENTIALS.size))
                for level, kind, content in ancillary:
                    if level == socket.SOL_SOCKET and kind == socket.SCM_CREDENTIALS:
                        pid, _, _ = _CREDENTIALS.unpack(content)
                        lines = data.decode("utf-8", "replace").splitlines()
                        said.append((pid, dict(line.partition("=")[::2] for line in lines)))
        return said

    def close(self) -> None:
        self._sock.close()
