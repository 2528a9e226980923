"""The one-letter variables that say where the server runs."""

from __future__ import annotations

import grp
import os
import pwd
import socket
import sys
import time

from m2serve import __version__


def machine_magic(directory: str) -> dict[str, str]:
    """The letters that no file changes.

    Directory ``%v``, host ``%h``, processors ``%k``, owner ``%u %U %g %G``, time ``%t %T``, our ``%V``, program ``%b``,
    escape ``%[``.
    """
    now = time.time_ns() // 1000
    return {
        "v": directory,
        "h": socket.gethostname(),
        "k": str(os.cpu_count() or 1),
        "u": str(os.getuid()),
        "U": _user(os.getuid()),
        "g": str(os.getgid()),
        "G": _group(os.getgid()),
        "t": str(now // 1_000_000),
        "T": str(now),
        "V": __version__,
        "b": os.path.abspath(sys.argv[0]) if sys.argv and sys.argv[0] else sys.executable,
        "[": "\033",
    }


def _user(uid: int) -> str:
    # Containers run as numbers that no table knows.
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def _group(gid: int) -> str:
    try:
        return grp.getgrgid(gid).gr_name
    except KeyError:
        return str(gid)
