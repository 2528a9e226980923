"""Files that only root can read, for processes that are somebody else."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from m2serve.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from m2serve.system.privileges import Privileges

_LARGEST = 1024 * 1024


def can_read(rights: Privileges, paths: Iterable[str]) -> bool:
    """Whether a process with these rights could read all of them. A child tries it: permissions of directories, groups
    and what else the kernel looks at are its to know. To be asked while there is no thread."""
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            rights.assume()
            for path in paths:
                os.close(os.open(path, os.O_RDONLY | os.O_CLOEXEC))
            code = 0
        finally:
            os._exit(code)
    return os.waitpid(pid, 0)[1] == 0


def keep(path: str) -> int:
    """A descriptor, close-on-exec, of a copy in memory that is nowhere else.

    Raises: ConfigError: it cannot be read.
    """
    try:
        with open(path, "rb") as file:
            data = file.read(_LARGEST)
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from error
    fd = os.memfd_create("m2serve-secret")
    os.write(fd, data)
    return fd


def path_of(fd: int) -> str:
    """Where whoever has inherited it finds it, whoever he is."""
    return f"/proc/self/fd/{fd}"
