"""Boxes for the messages to mules, as the master has them: it makes them, and keeps what lies in them."""

from __future__ import annotations

import os
import socket
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

_ROOM = 1 << 20


def make_boxes(mules: int, left: Sequence[tuple[int, int]], room: int = _ROOM) -> tuple[tuple[int, int], ...]:
    """One for all mules, and one each; those that another master has left go on, with what lies in them.

    Args: room: bytes asked for in each new one; the kernel gives what net.core.wmem_max lets it.

    Mules of the old options keep what they have of those that are closed.
    """
    wanted = mules + 1 if mules else 0
    _close(left[wanted:])
    kept = tuple(left[:wanted])
    return (*kept, *(_pair(room) for _ in range(wanted - len(kept))))


def make_farms(
    names: Iterable[str], left: Mapping[str, tuple[int, int]], room: int = _ROOM
) -> dict[str, tuple[int, int]]:
    """One for each farm; those that another master has left go on, whoever belongs to the farm now."""
    rest = dict(left)
    made = {name: rest.pop(name) if name in rest else _pair(room) for name in names}
    _close(rest.values())
    return made


def _close(pairs: Iterable[tuple[int, int]]) -> None:
    for pair in pairs:
        for fd in pair:
            os.close(fd)


def _pair(room: int) -> tuple[int, int]:
    reader, writer = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    writer.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, room)
    for end in (reader, writer):
        end.setblocking(False)
    return reader.detach(), writer.detach()
