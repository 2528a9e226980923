"""Sockets that a service manager has opened for us: sd_listen_fds(3) without its library."""

from __future__ import annotations

import logging
import os
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import MutableMapping

log = logging.getLogger("m2serve.system")

_NAMES: Final = ("LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES")
_FIRST: Final = 3
_MOST: Final = 1024


class Activated(NamedTuple):
    """One of them."""

    fd: int
    name: str = ""
    """FileDescriptorName= of its unit; by default that is the unit's name."""


def take(environment: MutableMapping[str, str], pid: int) -> tuple[Activated, ...]:
    """What the variables say; they are removed, so that no child takes them for its own.

    Args: pid: whom they must be for.
    """
    count, for_pid, names = (environment.pop(name, "") for name in _NAMES)
    if not count:
        return ()
    if for_pid != str(pid):
        log.info("LISTEN_FDS is for pid %s, not for us", for_pid or "nobody")
        return ()
    if not count.isdigit() or int(count) > _MOST:
        log.warning("LISTEN_FDS=%s: expected a number; no socket is taken over", count)
        return ()
    called = names.split(":") if names else []
    found = []
    for index in range(int(count)):
        fd = _FIRST + index
        try:
            os.set_inheritable(fd, False)
        except OSError as error:
            log.warning("LISTEN_FDS: descriptor %d: %s", fd, error.strerror)
            continue
        found.append(Activated(fd, called[index] if index < len(called) else ""))
    return tuple(found)
