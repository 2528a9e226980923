"""Files that one server at a time has."""

from __future__ import annotations

import contextlib
import fcntl
import os
from typing import TYPE_CHECKING

import pytest

from m2serve.config.settings import Settings
from m2serve.errors import ConfigError
from m2serve.system.fds import open_fds
from m2serve.system.filelock import lock_files

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def file(tmp_path: Path) -> Iterator[Path]:
    """What has it open at the end is closed."""
    path = tmp_path / "lock"
    path.touch()
    yield path
    for fd in opened(path):
        os.close(fd)


def lock(path: Path) -> int:
    """As another program would."""
    fd = os.open(path, os.O_RDWR)
    fcntl.lockf(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    return fd


def opened(path: Path) -> list[int]:
    found = []
    for fd in open_fds():
        with contextlib.suppress(OSError):
            if os.path.samestat(os.fstat(fd), path.stat()):
                found.append(fd)
    return found


def test_what_is_locked_stays_so(file: Path) -> None:
    lock_files(Settings(flock=(str(file),)))
    (fd,) = opened(file)
    assert os.get_inheritable(fd), "for the program after an upgrade"
    with pytest.raises(BlockingIOError):
        lock(file)
    # which finds it so, whatever option names it, and opens nothing
    lock_files(Settings(flock_wait2=(str(file),)), again=True)
    with pytest.raises(BlockingIOError):
        lock(file)
    assert fd in opened(file)


def test_what_cannot_be_locked(file: Path) -> None:
    for name in ("flock", "flock2"):
        lock(file)  # anew: it ends with whatever descriptor of the file this process closes
        with pytest.raises(ConfigError, match=rf"default: {name} = \S+lock: somebody else has locked it"):
            lock_files(Settings(**{name: (str(file),)}))  # type: ignore[arg-type]
    lock(file)
    with pytest.raises(ConfigError, match="somebody else has locked it"):
        lock_files(Settings(flock_wait=(str(file),)), again=True)
    with pytest.raises(ConfigError, match="No such file"):
        lock_files(Settings(flock=(f"{file}-none",)))
