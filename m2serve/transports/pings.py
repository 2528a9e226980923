"""PINGs on their way over one connection, and what is to be done when they are answered."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


class Pings:
    """Numbers PINGs; a PONG answers its own and all before it.

    libzmq keeps the context of the latest PING only: of several that arrive together just one is answered.
    """

    __slots__ = ("_number", "_waiting")

    def __init__(self) -> None:
        self._number = 0
        self._waiting: deque[tuple[int, Callable[[], None]]] = deque()

    def add(self, answered: Callable[[], None]) -> bytes:
        """The context for a new PING; *answered* is called by :meth:`pong`."""
        self._number += 1
        self._waiting.append((self._number, answered))
        return self._number.to_bytes(8, "big")

    def pong(self, context: bytes) -> None:
        """A PONG came: call back for every PING up to it."""
        number = int.from_bytes(context, "big")
        while self._waiting and self._waiting[0][0] <= number:
            self._waiting.popleft()[1]()

    def forget(self) -> None:
        """The connection is another one: nothing asked before will be answered."""
        self._waiting.clear()
