# ruff: noqa: RUF009 - option() makes a dataclass field, it shares no default.
"""Options about whose rights the processes have, and how they leave the terminal."""

# Annotations are read at run time: no postponed evaluation in this directory.
from dataclasses import dataclass

from m2serve.config.modes import Mode
from m2serve.config.option import option


@dataclass(frozen=True)
class PrivilegesGroup:
    """Privileges and the background"""

    uid: str | None = option(
        None, "User as whom everything runs, by name or number, once files and sockets are made.", metavar="USER"
    )
    gid: str | None = option(None, "Group as which everything runs; by default that of the user.", metavar="GROUP")
    add_gid: tuple[str, ...] = option((), "One more supplementary group.", metavar="GROUP")
    no_initgroups: bool = option(False, "Leave out the supplementary groups that the user has in the group database.")
    chroot: str | None = option(
        None, "Directory that becomes the root directory, before the user changes.", metavar="DIR"
    )
    master_as_root: bool = option(False, "The master keeps root's rights, and only its children run as uid and gid.")
    drop_after_apps: bool = option(
        False,
        "Load applications as root, then become uid and gid; the master stays root, to load them again.",
    )
    umask: Mode | None = option(None, "Permissions that new files do not get, as an octal number.", metavar="MODE")
    limit_as: int = option(0, "Limit the address space of each process to so many MiB; 0 for no limit.", metavar="MIB")
    max_fd: int = option(0, "Limit of open descriptors of each process; 0 for that of the start.")
    flock: tuple[str, ...] = option((), "Lock this file before anything starts; leave if it is locked.", metavar="FILE")
    flock_wait: tuple[str, ...] = option((), "The same, but wait for it.", metavar="FILE")
    flock2: tuple[str, ...] = option((), "The same as flock.", metavar="FILE")
    flock_wait2: tuple[str, ...] = option((), "The same as flock-wait.", metavar="FILE")
    daemonize: str | None = option(
        None,
        "Go into the background, with the log in this file. The command leaves when the server has begun to start.",
        names=("d",),
        metavar="LOG",
    )
    daemonize2: str | None = option(
        None, "The same, but the command leaves when all workers are ready for the first time.", metavar="LOG"
    )
