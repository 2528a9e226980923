"""``--stop``, ``--reload``, ``--upgrade``, ``--pause PIDFILE``: a signal to a server that runs, and to nobody else."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

from m2serve.errors import ConfigError
from m2serve.master import pidfile

if TYPE_CHECKING:
    from collections.abc import Mapping

SIGNALS: Mapping[str, signal.Signals] = {
    "stop": signal.SIGINT,
    "reload": signal.SIGHUP,
    "upgrade": signal.SIGUSR2,
    "pause": signal.SIGTSTP,
    "suspend": signal.SIGTSTP,
    "resume": signal.SIGTSTP,
}
"""As uWSGI has them, where the last three are one; USR2 is what nginx and gunicorn take."""


def send(order: str, path: str) -> int:
    """Signal the master whose pid is in *path*; returns the pid.

    Raises: ConfigError: there is none, or it is not to be signalled; says why.
    """
    try:
        pid = pidfile.read(path)
    except OSError as error:
        raise ConfigError(f"--{order}: {path!r} cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise ConfigError(f"--{order}: {path!r}: {error}") from error
    try:
        # Held by a descriptor, the pid cannot become somebody else's between the look and the signal.
        process = os.pidfd_open(pid)
    except ProcessLookupError:
        raise ConfigError(f"--{order}: {path!r} is stale: no process has the pid {pid}") from None
    try:
        title = _title(pid)
        if not title.endswith("m2serve master") and not _has_ledger(pid):
            raise ConfigError(f"--{order}: {path!r}: pid {pid} is no m2serve master but {title[:60]!r}")
        signal.pidfd_send_signal(process, SIGNALS[order])
    except PermissionError:
        raise ConfigError(f"--{order}: {path!r}: the master (pid: {pid}) is another user's") from None
    except ProcessLookupError:
        raise ConfigError(f"--{order}: {path!r}: the master (pid: {pid}) has just left") from None
    finally:
        os.close(process)
    return pid


def _has_ledger(pid: int) -> bool:
    """A master by another name: procname can be anything, what it holds cannot."""
    try:
        folder = f"/proc/{pid}/fd"
        return any("m2serve-ledger" in os.readlink(f"{folder}/{name}") for name in os.listdir(folder))
    except OSError:
        return False


def _title(pid: int) -> str:
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as stream:
            return stream.read().replace(b"\0", b" ").decode("utf-8", "replace").strip()
    except OSError:
        return ""
