"""Descriptors that one loop waits for: some stay for good, some come, go and connect."""

from __future__ import annotations

import select
from contextlib import suppress
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable


class Connecting(Protocol):
    """A socket with a life of its own."""

    attempt: int
    """Counts its sockets: a new one may have the number of the one before."""

    def fileno(self) -> int:
        """The descriptor, -1 while there is none."""

    @property
    def wants_write(self) -> bool:
        """Whether to wait for writability, not readability: the connection is being made."""


class Watch:
    """An epoll set with a handler for each descriptor."""

    def __init__(self) -> None:
        self._poll = select.epoll()
        self._handlers: dict[int, Callable[[], None]] = {}
        self._known: dict[int, tuple[int, int, int]] = {}

    def add(self, fd: int, handler: Callable[[], None]) -> None:
        """Watch a descriptor for reading until :meth:`remove`."""
        self._handlers[fd] = handler
        self._poll.register(fd, select.EPOLLIN)

    def remove(self, fd: int) -> None:
        """Watch it no more, be it closed already or not."""
        self._handlers.pop(fd, None)
        with suppress(OSError):
            self._poll.unregister(fd)

    def follow(self, connection: Connecting, handler: Callable[[], None]) -> None:
        """Bring the set in step with what *connection* is now; cheap when nothing has changed."""
        fd = connection.fileno()
        wanted = (fd, select.EPOLLOUT if connection.wants_write else select.EPOLLIN, connection.attempt)
        known = self._known.get(id(connection))
        if known == wanted or (known is None and fd < 0):
            return
        if known is not None:
            del self._known[id(connection)]
            if known[0] == fd:  # the same socket with another wish, or another socket with the same number
                self.remove(fd)
            else:
                self._handlers.pop(known[0], None)  # closed: the kernel has dropped it
        if fd >= 0:
            self._known[id(connection)] = wanted
            self._handlers[fd] = handler
            self._poll.register(fd, wanted[1])

    def forget(self, connection: Connecting) -> None:
        """Its socket was closed: the number may come back at once as somebody else's."""
        known = self._known.pop(id(connection), None)
        if known is not None:
            self._handlers.pop(known[0], None)

    def wait(self, timeout: float | None) -> None:
        """Wait, at most *timeout* seconds, and call the handlers of what is ready."""
        handlers = self._handlers
        for fd, _ in self._poll.poll(timeout):
            handler = handlers.get(fd)
            if handler is not None:
                handler()

    def close(self) -> None:
        """Let go of the epoll descriptor."""
        self._poll.close()
