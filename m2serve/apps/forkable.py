"""Whether an application that has been loaded can be forked: what of it would not live in a child, or be shared."""

from __future__ import annotations

import contextlib
import os
import socket
import threading

_STREAMS = (socket.SOCK_STREAM, socket.SOCK_SEQPACKET)


def sockets() -> frozenset[str]:
    """The identities of all sockets that this process holds; empty where ``/proc`` is missing."""
    return frozenset(_sockets())


def obstacles(before: frozenset[str]) -> list[str]:
    """Threads that run, and connections that are open and were not among the sockets *before*; a line for each.

    A thread lives on in the parent only. A connection would be written and read by all at the same time.
    """
    here = threading.current_thread()
    found = [f"thread {one.name!r} runs" for one in threading.enumerate() if one is not here]
    for identity, fd in _sockets().items():
        if identity not in before:
            peer = _peer(fd)
            if peer:
                found.append(f"descriptor {fd} is a connection to {peer}")
    return found


def _sockets() -> dict[str, int]:
    found = {}
    with contextlib.suppress(FileNotFoundError):
        for name in os.listdir("/proc/self/fd"):
            with contextlib.suppress(OSError):
                identity = os.readlink(f"/proc/self/fd/{name}")
                if identity.startswith("socket:"):
                    found[identity] = int(name)
    return found


def _peer(fd: int) -> str:
    """Who is at the other end; empty: nobody, or one that takes datagrams, which do not mix (``/dev/log``)."""
    try:
        with socket.socket(fileno=os.dup(fd)) as one:
            if one.type not in _STREAMS:
                return ""
            return str(one.getpeername() or "a socket without a name")
    except OSError:
        return ""
