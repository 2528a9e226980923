"""Locks that all workers of a node share, and that the kernel opens when their holder dies."""

from __future__ import annotations

import fcntl
import os
import struct
import threading
import weakref
from typing import Final

USER_LOCKS: Final = 256
"""How many there are for applications; one more says who minds the clock."""
CLOCK: Final = USER_LOCKS

# struct flock of a 64-bit Linux: type, whence, start, length, pid
_FLOCK = struct.Struct("hhqqi4x")


class Locks:
    """Byte n of a file is lock n.

    A lock belongs to the opening of a descriptor, so each process opens the file anew. Within a process another lock
    keeps the threads apart.

    Threads: any.

    Args: fd: of any file that all workers inherit; only its identity counts.
    """

    def __init__(self, fd: int) -> None:
        self._shared = fd
        self._fd = -1
        self._owner = 0
        self._opening = threading.Lock()
        self._inner: dict[int, threading.Lock] = {}
        mine = weakref.ref(self)
        os.register_at_fork(after_in_child=lambda: _let_go(mine()))

    def acquire(self, number: int, *, wait: bool = True) -> bool:
        """Take a lock; False: another has it, and nobody is to wait."""
        fd, inner = self._own(number)
        if not inner.acquire(blocking=wait):
            return False
        try:
            fcntl.fcntl(fd, fcntl.F_OFD_SETLKW if wait else fcntl.F_OFD_SETLK, _flock(fcntl.F_WRLCK, number))
        except BlockingIOError:
            inner.release()
            return False
        except BaseException:
            inner.release()
            raise
        return True

    def release(self, number: int) -> None:
        """Give it back; nothing happens if this process does not have it."""
        fd, inner = self._own(number)
        if inner.locked():
            fcntl.fcntl(fd, fcntl.F_OFD_SETLK, _flock(fcntl.F_UNLCK, number))
            inner.release()

    def is_taken(self, number: int) -> bool:
        """Whether anybody has it."""
        fd, inner = self._own(number)
        if inner.locked():
            return True
        answer = fcntl.fcntl(fd, fcntl.F_OFD_GETLK, _flock(fcntl.F_WRLCK, number))
        return bool(_FLOCK.unpack(answer)[0] != fcntl.F_UNLCK)

    def let_go(self) -> None:
        """In a forked child: what the parent holds is not ours, and must not be held by us when the parent dies."""
        if self._fd >= 0:
            os.close(self._fd)
        self._fd, self._owner = -1, 0
        self._opening = threading.Lock()  # another thread of the parent's may have had the old one
        self._inner = {}

    def _own(self, number: int) -> tuple[int, threading.Lock]:
        """This process's descriptor, and the lock between its threads."""
        with self._opening:
            if self._owner != os.getpid():
                self._fd = os.open(f"/proc/self/fd/{self._shared}", os.O_RDWR | os.O_CLOEXEC)
                self._owner = os.getpid()
            return self._fd, self._inner.setdefault(number, threading.Lock())


def _let_go(locks: Locks | None) -> None:
    if locks is not None:
        locks.let_go()


def _flock(kind: int, number: int) -> bytes:
    return _FLOCK.pack(kind, os.SEEK_SET, number, 1, 0)
