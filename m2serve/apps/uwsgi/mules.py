"""Messages to mules: who sends them, who gets them."""

from __future__ import annotations

import os
import select
import time
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

LONGEST: Final = 65536
"""Bytes of a message, where the receiver says nothing else; uWSGI's number."""
_MARK: Final = b"m"
"""In front of each message, for one without bytes would look like the end."""


class Boxes:
    """Pairs of sockets that keep messages apart (SOCK_SEQPACKET), each to read from and to write to.

    The first one is for whichever mule comes first, then each mule has its own. The master holds all ends, so what a
    dead mule has not read waits for its successor.

    Threads: any.
    """

    def __init__(self, pairs: Sequence[tuple[int, int]]) -> None:
        self._pairs = pairs

    def __len__(self) -> int:
        """Mules that there are."""
        return max(len(self._pairs) - 1, 0)

    def send(self, message: bytes, mule: int) -> bool:
        """Leave a message for a mule, or, 0, for any; False: there is none of that number, or no room.

        It never waits.
        """
        if not 0 <= mule <= len(self):
            return False
        try:
            os.write(self._pairs[mule][1], _MARK + message)
        except OSError:  # BlockingIOError: the box is full; EMSGSIZE: it never will be so empty
            return False
        return True

    def receive(self, mule: int, seconds: float | None = None) -> bytes | None:
        """The next message for a mule, its own first; None: none has come in so many seconds. None waits for ever."""
        poller = select.poll()
        own, common = self._pairs[mule][0], self._pairs[0][0]
        for fd in (own, common):
            poller.register(fd, select.POLLIN)
        deadline = None if seconds is None else time.monotonic() + seconds
        while True:
            left = None if deadline is None else max(deadline - time.monotonic(), 0.0) * 1000
            ready = [fd for fd, _ in poller.poll(left)]
            for fd in (own, common):
                if fd in ready:
                    try:
                        return os.read(fd, 1 << 20)[len(_MARK) :]
                    except BlockingIOError:
                        pass  # another mule was quicker
            if left == 0.0:
                return None
