"""What a service manager does: it listens at NOTIFY_SOCKET."""

from __future__ import annotations

import select
import socket
import time


class Manager:
    """A fake one.

    Args:
        address: a path, or ``@name`` for the abstract name space.
    """

    def __init__(self, address: str) -> None:
        self.address = address
        self.said: list[dict[str, str]] = []
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind("\0" + address[1:] if address.startswith("@") else address)

    def close(self) -> None:
        self._socket.close()

    def hear(self, timeout: float) -> dict[str, str] | None:
        """The next message, or None when none has come."""
        if not select.select([self._socket], [], [], max(0.0, timeout))[0]:
            return None
        text = self._socket.recv(65536).decode()
        message = dict(line.split("=", 1) for line in text.splitlines())
        self.said.append(message)
        return message

    def wait_for(self, key: str, value: str | None = None, timeout: float = 30.0) -> dict[str, str]:
        """The next message with that assignment; others before it are only noted."""
        end = time.monotonic() + timeout
        while (message := self.hear(end - time.monotonic())) is not None:
            if key in message and value in (None, message[key]):
                return message
        raise AssertionError(f"nobody said {key}={value or ''} within {timeout} s, but {self.said[-20:]}")

    def silence(self, key: str, seconds: float) -> bool:
        """Whether nobody says *key* for so long."""
        end = time.monotonic() + seconds
        while (message := self.hear(end - time.monotonic())) is not None:
            if key in message:
                return False
        return True
