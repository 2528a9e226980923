"""Watched files: a change, or a birth, is a command."""

from __future__ import annotations

import logging
import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from m2serve.ids import Seconds
from m2serve.master.attachment import Attachment
from m2serve.master.commands import Command

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from m2serve.config.settings import Settings
    from m2serve.master.commands import Commands

    Identity = tuple[int, int, int]
    """Device, inode and time of the last change in nanoseconds: what a touch, a write and a rename over it alter."""

log = logging.getLogger("m2serve.master")

PERIOD = Seconds(1.0)
"""Between two looks, as in uWSGI."""


@dataclass(eq=False)
class Watched:
    """One file and what its change means."""

    path: str
    command: Command
    option: str
    seen: Identity | None = None


def watched(settings: Settings) -> list[Watched]:
    """All that the settings name."""
    commands = {
        "touch_reload": Command.RELOAD,
        "touch_workers_reload": Command.RELOAD,
        "touch_chain_reload": Command.CHAIN_RELOAD,
        "touch_logreopen": Command.REOPEN_LOG,
        "touch_logrotate": Command.ROTATE_LOG,
    }
    return [
        Watched(os.path.abspath(path), command, name.replace("_", "-"))
        for name, command in commands.items()
        for path in getattr(settings, name)
    ]


def identity(path: str) -> Identity | None:
    """None: there is no such file, or it cannot be seen."""
    try:
        found = os.stat(path)
    except (OSError, ValueError):
        return None
    return found.st_dev, found.st_ino, found.st_mtime_ns


@dataclass
class Touch(Attachment):
    """Looks at all files once a second."""

    files: Sequence[Watched]
    commands: Commands
    look: Callable[[str], Identity | None] = identity
    _next: Seconds = field(default=Seconds(0.0))

    def begin(self, now: Seconds) -> None:
        """See what is there; only what happens from now on counts."""
        for file in self.files:
            file.seen = self.look(file.path)
            if file.seen is None:
                log.warning("%s: %s does not exist yet; its birth will count", file.option, file.path)
        self._next = Seconds(now + PERIOD)

    def turn(self, now: Seconds) -> bool:
        if not self.files or now < self._next:
            return False
        self._next = Seconds(now + PERIOD)
        touched = [file for file in self.files if self._changed(file)]
        done: set[Command] = set()
        for file in touched:
            # One deployment may touch several files.
            if file.command not in done:
                done.add(file.command)
                self.commands.obey(file.command, f"{file.option} {file.path}", now)
        return bool(touched)

    def due(self, now: Seconds) -> Seconds | None:
        return self._next if self.files else None

    def _changed(self, file: Watched) -> bool:
        before, file.seen = file.seen, self.look(file.path)
        return file.seen is not None and file.seen != before
