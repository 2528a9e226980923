"""The master's FIFO: commands of one letter each, as uWSGI has them."""

from __future__ import annotations

import contextlib
import logging
import os
import select
import stat
from dataclasses import dataclass
from typing import TYPE_CHECKING

from m2serve.errors import ConfigError
from m2serve.master.attachment import Attachment
from m2serve.master.commands import Command
from m2serve.master.heritage import OpenFifo

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from m2serve.ids import Seconds
    from m2serve.master.commands import Commands

log = logging.getLogger("m2serve.master")

MODE = 0o600

LETTERS: Mapping[str, Command] = {
    "q": Command.STOP,
    "Q": Command.STOP_FAST,
    "r": Command.RELOAD,
    "R": Command.BRUTAL_RELOAD,
    "w": Command.RELOAD,
    "W": Command.BRUTAL_RELOAD,
    "c": Command.CHAIN_RELOAD,
    "s": Command.TABLE,
    "P": Command.PIDFILES,
    "f": Command.UPGRADE,
    "l": Command.REOPEN_LOG,
    "+": Command.MORE,
    "-": Command.FEWER,
    "p": Command.PAUSE,
    "C": Command.SLEEP,
}

ABSENT: Mapping[str, str] = {
    "L": "the log is not rotated; rename the file, then l",
    "S": "there are no subscriptions",
    "B": "there is no emperor",
    "E": "there is no emperor",
}
"""uWSGI's other letters, and what therefore does not happen."""

_AT_ONCE = 4096


@dataclass
class Fifo(Attachment):
    """One FIFO is open at a time, the others are slots to change to.

    It is held open for writing too: else each writer that leaves would be an end of file.
    """

    paths: Sequence[str]
    commands: Commands
    own: Callable[[str], None] | None = None
    """Gives it to the user who is to remove it."""
    _fd: int = -1
    _open: str | None = None

    def __post_init__(self) -> None:
        self.paths = [os.path.abspath(path) for path in self.paths]

    def open(self, slot: int = 0) -> None:
        """Make the FIFO; one that lies there, perhaps of a server that was killed, is replaced.

        Raises: ConfigError: it cannot be made, or something else lies there.
        """
        if not self.paths:
            return
        path = self.paths[slot]
        try:
            self._fd = _make(path)
        except OSError as error:
            raise ConfigError(f"master-fifo {path!r} cannot be made: {error.strerror}") from error
        self._open = path
        if self.own is not None:
            self.own(path)

    def leave(self) -> OpenFifo | None:
        """For the program that goes on."""
        return None if self._open is None else OpenFifo(self._open, self._fd)

    def take_over(self, left: OpenFifo | None) -> None:
        """Go on reading where another master did, unless the options name other files now.

        Raises: ConfigError: as `open`.
        """
        if left is not None and left.path in self.paths:
            self._fd, self._open = left.fd, left.path
            return
        if left is not None:
            Fifo([], self.commands, _fd=left.fd, _open=left.path).close()
        self.open()

    def close(self) -> None:
        """Remove it, unless another server has put its own there."""
        if self._open is None:
            return
        with contextlib.suppress(OSError):
            ours, there = os.fstat(self._fd), os.stat(self._open, follow_symlinks=False)
            if (ours.st_dev, ours.st_ino) == (there.st_dev, there.st_ino):
                os.unlink(self._open)
        os.close(self._fd)
        self._fd, self._open = -1, None

    def polled(self) -> Mapping[int, int]:
        return {} if self._open is None else {self._fd: select.POLLIN}

    def ready(self, fd: int, now: Seconds) -> None:
        try:
            text = os.read(fd, _AT_ONCE).decode("latin-1")
        except BlockingIOError:
            return
        unknown = []
        for letter in text:
            if letter in LETTERS:
                self.commands.obey(LETTERS[letter], f"fifo {letter}", now)
            elif letter in ABSENT:
                log.warning("fifo %s changes nothing: %s", letter, ABSENT[letter])
            elif letter in "0123456789":
                self._change(int(letter))
            elif not letter.isspace():
                unknown.append(letter)
        if unknown:
            log.warning("fifo: %d bytes are no commands: %r", len(unknown), "".join(unknown[:20]))

    def _change(self, slot: int) -> None:
        if slot >= len(self.paths):
            log.warning("fifo %d changes nothing: there are %d slots", slot, len(self.paths))
            return
        if self.paths[slot] == self._open:
            return
        before = Fifo([], self.commands, None, self._fd, self._open)
        try:
            self.open(slot)
        except ConfigError as error:
            log.error("fifo %d changes nothing: %s", slot, error)
            return
        before.close()
        log.info("fifo %d: commands are read from %s", slot, self._open)


def _make(path: str) -> int:
    with contextlib.suppress(FileNotFoundError):
        if not stat.S_ISFIFO(os.stat(path, follow_symlinks=False).st_mode):
            raise FileExistsError(0, "something lies there that is no FIFO")
        os.unlink(path)
    os.mkfifo(path, MODE)
    return os.open(path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOFOLLOW)
