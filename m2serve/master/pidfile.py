"""Files that hold the master's pid."""

from __future__ import annotations

import contextlib
import logging
import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from m2serve.errors import ConfigError
from m2serve.master.attachment import Attachment

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from m2serve.ids import Seconds
    from m2serve.master.board import Board

log = logging.getLogger("m2serve.master")

MODE = 0o644


def write(path: str) -> None:
    """Put our pid into *path*.

    In place: the directory may not be ours, so no new file could be renamed over it.

    Raises: OSError: not to be written.
    """
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, MODE)
    try:
        os.write(fd, b"%d\n" % os.getpid())
    finally:
        os.close(fd)


def read(path: str) -> int:
    """The pid in *path*.

    Raises: OSError: not to be read. ValueError: it holds no pid.
    """
    with open(path, "rb") as stream:
        text = stream.read(64).strip()
    if not text.isdigit() or len(text) > 9 or int(text) == 0:
        raise ValueError(f"{text[:20]!r} is no pid")
    return int(text)


def _remove(path: str) -> None:
    """Raises: OSError: it can be neither removed nor emptied."""
    try:
        os.unlink(path)
    except PermissionError:
        # The directory is root's, and we are not any more. No pid is as good as no file.
        os.truncate(path, 0)


@dataclass
class PidFiles(Attachment):
    """The files of one server.

    Args:
        first: written before anything is started.
        safe: written when the first generation serves.
        second: written when the user has changed.
        own: gives a file to the user who is to change or remove it.
    """

    first: str | None
    safe: str | None
    board: Board
    second: str | None = None
    own: Callable[[str], None] | None = None
    written: list[str] = field(default_factory=list)
    _safe_due: bool = True

    def __post_init__(self) -> None:
        # They are removed at exit, from wherever we are then.
        self.first = None if self.first is None else os.path.abspath(self.first)
        self.safe = None if self.safe is None else os.path.abspath(self.safe)
        self.second = None if self.second is None else os.path.abspath(self.second)

    def write_first(self) -> None:
        """Raises: ConfigError: it cannot be written."""
        if self.first is not None:
            self._write_or_fail("pidfile", self.first)
            if self.own is not None:
                self.own(self.first)

    def write_second(self) -> None:
        """Raises: ConfigError: it cannot be written."""
        if self.second is not None:
            self._write_or_fail("pidfile2", self.second)
        for path in self.written:
            if not os.access(os.path.dirname(path), os.W_OK):
                log.warning("%s: its directory is not ours to change: the file will be emptied, not removed", path)

    def _write_or_fail(self, option: str, path: str) -> None:
        try:
            write(path)
        except OSError as error:
            raise ConfigError(f"{option} {path!r} cannot be written: {error.strerror}") from error
        if path not in self.written:
            self.written.append(path)

    def take_over(self, left: Sequence[str]) -> None:
        """Those that another master has written are ours; one that the options do not name any more goes."""
        stale = [path for path in left if path not in (self.first, self.second, self.safe)]
        self.written = stale
        self.remove()
        self.written = [path for path in left if path not in stale]

    def turn(self, now: Seconds) -> bool:
        """Write the safe one once all workers of a generation have been ready."""
        if self._safe_due and self.board.served:
            self._safe_due = False
            self._write(self.safe)
        return False

    def write_again(self) -> None:
        """Whichever are due by now."""
        self._write(self.first)
        self._write(self.second)
        if not self._safe_due:
            self._write(self.safe)

    def remove(self) -> None:
        """Remove what we wrote, unless somebody else's pid is in it by now."""
        for path in self.written:
            with contextlib.suppress(OSError, ValueError):
                if read(path) == os.getpid():
                    _remove(path)

    def _write(self, path: str | None) -> None:
        if path is None:
            return
        try:
            write(path)
        except OSError as error:
            log.error("pid file %r cannot be written: %s", path, error.strerror)
            return
        if path not in self.written:
            self.written.append(path)
        log.info("pid %d written to %s", os.getpid(), path)
