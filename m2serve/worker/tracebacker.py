"""``py-tracebacker``: whoever connects to a worker's socket gets the stacks of its threads, in uWSGI's form."""

from __future__ import annotations

import contextlib
import logging
import os
import socket
import stat
import sys
import threading
import traceback
from typing import Final

from m2serve.system import stacks

log = logging.getLogger("m2serve.worker")

_ROOM: Final = 1 << 20
"""Bytes that are sent at most: as many as can be without waiting."""
_ONLY_OURS: Final = 0o600


class Tracebacker:
    """Listens at a path; the service thread's.

    Of two lives of one worker, during a reload, the later one has the path.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._socket: socket.socket | None = None
        self._inode = (0, 0)

    def listen(self) -> int:
        """Gives the descriptor to wait for; -1: it cannot, and the log says why."""
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            remove(self._path)
            os.fchmod(sock.fileno(), _ONLY_OURS)
            sock.bind(self._path)
            sock.listen(16)
            found = os.stat(self._path)
        except OSError as error:
            log.error("py-tracebacker: cannot listen at %s: %s", self._path, error)
            sock.close()
            return -1
        sock.setblocking(False)
        self._socket, self._inode = sock, (found.st_dev, found.st_ino)
        return sock.fileno()

    def answer(self) -> None:
        """Somebody has connected."""
        assert self._socket is not None
        with contextlib.suppress(OSError):
            client, _ = self._socket.accept()
            with client:
                client.setblocking(False)
                client.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _ROOM)
                client.send(report().encode("utf-8", "backslashreplace"))

    def close(self) -> None:
        """Remove the socket, unless it is another life's by now."""
        if self._socket is None:
            return
        with contextlib.suppress(OSError):
            found = os.stat(self._path)
            if (found.st_dev, found.st_ino) == self._inode:
                os.unlink(self._path)
        self._socket.close()


def remove(path: str) -> None:
    """Remove a socket that a killed worker has left there, or the life before. Raises: OSError: it cannot be."""
    with contextlib.suppress(FileNotFoundError):
        if stat.S_ISSOCK(os.stat(path).st_mode):
            os.unlink(path)


def report() -> str:
    """A line for each frame of each thread that has something to do, the outermost first."""
    names = {thread.ident: thread.name for thread in threading.enumerate()}
    parts = ["*** uWSGI Python tracebacker output ***\n\n"]
    for ident, frame in sys._current_frames().items():
        stack = traceback.extract_stack(frame)
        if stacks.is_idle("".join(traceback.format_list(stack))):
            continue
        parts += [
            f"thread_id = {names.get(ident, ident)} filename = {one.filename} lineno = {one.lineno} "
            f"function = {one.name} line = {one.line}\n"
            for one in stack
        ]
        parts.append("\n")
    return "".join(parts)
