"""Free TCP ports, which nobody else takes before the test does."""

from __future__ import annotations

import functools
import itertools
import socket
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_LOWEST = 10_000
_BLOCK = 400
_EPHEMERAL = Path("/proc/sys/net/ipv4/ip_local_port_range")


def free_ports(count: int) -> list[int]:
    """Ports at which nobody listens, all different.

    They lie below those that the kernel gives to clients, in a block that belongs to this process, and come again only
    when the whole block has been through: what is free when we look stays free until the test binds it.
    """
    found: list[int] = []
    for port in _counted():
        if _bound(port, found):
            found.append(port)
        if len(found) == count:
            return found
    raise AssertionError("unreachable")


def _bound(port: int, found: list[int]) -> bool:
    if port in found:
        raise AssertionError(f"there are no {len(found) + 1} free ports in {_block()}")
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


@functools.cache
def _counted() -> Iterator[int]:
    return itertools.cycle(_block())


@functools.cache
def _block() -> range:
    """The first block whose guard, its lowest port, nobody holds."""
    for start in range(_LOWEST, _highest() - _BLOCK, _BLOCK):
        guard = socket.socket()
        try:
            guard.bind(("127.0.0.1", start))
        except OSError:
            guard.close()
            continue
        guard.detach()  # held as long as this process lives
        return range(start + 1, start + _BLOCK)
    raise AssertionError("other tests have all the ports")


def _highest() -> int:
    try:
        return int(_EPHEMERAL.read_text().split()[0])
    except OSError:
        return 32_768
