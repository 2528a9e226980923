"""Messages to mules: who sends them, who gets them."""

from __future__ import annotations

import os
import select
import time
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from m2serve.config.daemonlines import Farm

    Pair = tuple[int, int]

LONGEST: Final = 65536
"""Bytes of a message, where the receiver says nothing else; uWSGI's number."""
MESSAGE: Final = b"m"
"""In front of each message, for one without bytes would look like the end."""
CALL: Final = b"c"
"""In front of a call of ``@mulefunc``, which nobody can send who only chooses what a message says."""


class Boxes:
    """Pairs of sockets that keep messages apart (SOCK_SEQPACKET), each to read from and to write to.

    The first one is for whichever mule comes first, then each mule has its own, and each farm. The master holds all
    ends, so what a dead mule has not read waits for its successor.

    Threads: any.
    """

    def __init__(
        self, pairs: Sequence[Pair], farms: Iterable[Farm] = (), farm_pairs: Mapping[str, Pair] | None = None
    ) -> None:
        self._pairs = pairs
        self._farms = {farm.name: frozenset(farm.mules) for farm in farms}
        self._farm_pairs = farm_pairs or {}

    def __len__(self) -> int:
        """Mules that there are."""
        return max(len(self._pairs) - 1, 0)

    def leave(self, message: bytes, where: int | str, kind: bytes = MESSAGE) -> bool:
        """`send`, or, to a name, `send_farm`.

        Raises: ValueError: there are no mules at all, or no such farm.
        """
        if not len(self):
            raise ValueError("no mule configured")
        if type(where) is int:
            return self.send(message, where, kind)
        if not isinstance(where, str):
            raise ValueError("invalid mule")
        if where not in self._farm_pairs:
            raise ValueError("unknown farm")
        return self.send_farm(message, where, kind)

    def send(self, message: bytes, mule: int, kind: bytes = MESSAGE) -> bool:
        """Leave a message for a mule, or, 0, for any; False: there is none of that number, or no room.

        It never waits.
        """
        return 0 <= mule <= len(self) and _write(self._pairs[mule], kind + message)

    def send_farm(self, message: bytes, farm: str, kind: bytes = MESSAGE) -> bool:
        """The same for whichever mule of a farm comes first; False: there is no such farm, or no room."""
        return farm in self._farm_pairs and _write(self._farm_pairs[farm], kind + message)

    def farms(self, mule: int) -> list[str]:
        """Those that it belongs to."""
        return [name for name, mules in self._farms.items() if mule in mules]

    def take(
        self, mule: int, seconds: float | None = None, *, farms: bool = True, own: bool = True
    ) -> tuple[bytes, bytes] | None:
        """The next message for a mule, with its kind: its own ones first, then its farms', then those for all; None:
        none has come in so many seconds. None waits for ever.

        Args:
            farms: with those for its farms.
            own: with those for itself and for all.
        """
        boxes = [self._farm_pairs[name][0] for name in self.farms(mule)] if farms else []
        if own:
            boxes = [self._pairs[mule][0], *boxes, self._pairs[0][0]]
        poller = select.poll()
        for fd in boxes:
            poller.register(fd, select.POLLIN)
        deadline = None if seconds is None else time.monotonic() + seconds
        while True:
            left = None if deadline is None else max(deadline - time.monotonic(), 0.0) * 1000
            ready = [fd for fd, _ in poller.poll(left)]
            for fd in boxes:
                if fd in ready:
                    try:
                        data = os.read(fd, 1 << 20)
                    except BlockingIOError:
                        continue  # another mule was quicker
                    return data[:1], data[1:]
            if left == 0.0:
                return None


def _write(pair: Pair, data: bytes) -> bool:
    try:
        os.write(pair[1], data)
    except OSError:  # BlockingIOError: the box is full; EMSGSIZE: it never will be so empty
        return False
    return True
