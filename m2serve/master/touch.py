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

    from m2serve.config.deeds import Deed
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
    command: Command | Deed
    option: str
    inside: bool = False
    """What lies in it counts, too, if it is a directory."""
    seen: Identity | None = None


def watched(settings: Settings) -> list[Watched]:
    """All that the settings name."""
    commands = {
        "touch_reload": Command.RELOAD,
        "touch_workers_reload": Command.RELOAD,
        "touch_chain_reload": Command.CHAIN_RELOAD,
        "touch_logreopen": Command.REOPEN_LOG,
        "touch_logrotate": Command.ROTATE_LOG,
        "fs_reload": Command.RELOAD,
        "fs_brutal_reload": Command.BRUTAL_RELOAD,
    }
    found = [
        Watched(os.path.abspath(path), command, name.replace("_", "-"), inside=name.startswith("fs_"))
        for name, command in commands.items()
        for path in getattr(settings, name)
    ]
    for name in ("touch_exec", "hook_touch"):
        option = name.replace("_", "-")
        found += [Watched(os.path.abspath(one.path), one.deed, option) for one in getattr(settings, name)]
    return found


def identity(path: str) -> Identity | None:
    """None: there is no such file, or it cannot be seen."""
    try:
        found = os.stat(path)
    except (OSError, ValueError):
        return None
    return found.st_dev, found.st_ino, found.st_mtime_ns


def latest_inside(path: str) -> Identity | None:
    """The same of a directory with all that lies in it: of several changes at a time, one is seen."""
    own = identity(path)
    if own is None or not os.path.isdir(path):
        return own
    try:
        inside = [known for entry in os.scandir(path) if (known := identity(entry.path)) is not None]
    except OSError:
        return own
    return own[0], own[1] + sum(inode for _, inode, _ in inside), max(time for _, _, time in [own, *inside])


@dataclass
class Touch(Attachment):
    """Looks at all files once a second. ``do`` does what is more than a command to the master."""

    files: Sequence[Watched]
    commands: Commands
    look: Callable[[str], Identity | None] = identity
    do: Callable[[Deed, str, Seconds], None] = lambda deed, why, now: None
    _next: Seconds = field(default=Seconds(0.0))

    def begin(self, now: Seconds) -> None:
        """See what is there; only what happens from now on counts."""
        for file in self.files:
            file.seen = self._look(file)
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
            if not isinstance(file.command, Command):
                self.do(file.command, f"{file.option} {file.path}", now)
                continue
            # One deployment may touch several files.
            if file.command not in done:
                done.add(file.command)
                self.commands.obey(file.command, f"{file.option} {file.path}", now)
        return bool(touched)

    def due(self, now: Seconds) -> Seconds | None:
        return self._next if self.files else None

    def _look(self, file: Watched) -> Identity | None:
        return latest_inside(file.path) if file.inside else self.look(file.path)

    def _changed(self, file: Watched) -> bool:
        before, file.seen = file.seen, self._look(file)
        return file.seen is not None and file.seen != before
