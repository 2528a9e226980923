"""Where the files of a Mongrel2 lie for us: whether it really is in its chroot, and where its addresses lead."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, NamedTuple

from m2serve.endpoint import Endpoint
from m2serve.errors import ConfigError

if TYPE_CHECKING:
    from m2serve.mongrel2.database import Server

_ROOT_USER = 0
_PROGRAM = "mongrel2"
_EVERYWHERE = {"*": "127.0.0.1", "0.0.0.0": "127.0.0.1", "[::]": "[::1]"}
"""Hosts at which one can listen but not call, and where such a listener answers."""


class Place(NamedTuple):
    """Directories of a Mongrel2 as absolute paths of ours."""

    root: str
    """Its ``/``."""
    directory: str
    """Where its relative names start."""
    certain: bool = True
    """False: it does not run yet, so this is what its configuration asks for."""


def given(directory: str) -> Place:
    """What the option says; m2serve in the same chroot says ``/``."""
    return Place(directory, directory)


def found(server: Server, database: str) -> Place:
    """Whether the chroot of the configuration has happened, which only the PID file tells.

    Mongrel2 writes it inside the chroot before it gives up root's rights. Without these rights it goes on without
    a chroot, and writes to ``.`` + name.

    Args:
        database: path of the file; a Mongrel2 without chroot is expected to run where it lies.
    """
    home = os.path.dirname(os.path.abspath(database))
    if not server.chroot:
        return Place("/", _working_directory(os.path.join(home, server.pid_file)) or home)
    chroot = os.path.normpath(os.path.join(home, server.chroot))
    inside = chroot + "/" + server.pid_file.lstrip("/")
    owner = _owner(inside)
    if owner == _ROOT_USER:
        return Place(chroot, chroot)
    if owner is not None:
        # "." + name is the same file where somebody without the rights has started it in the chroot's directory
        return Place("/", _working_directory(inside) or chroot)
    outside = os.path.join(home, "." + server.pid_file)
    if _owner(outside) is not None:
        return Place("/", _working_directory(outside) or home)
    if server.pid_file.startswith("/") and _owner(server.pid_file) is not None and not os.path.isdir(chroot):
        return given("/")  # we are inside, too
    return Place(chroot, chroot, certain=False)


def reachable(spec: str, place: Place) -> Endpoint:
    """Where to connect for a socket that Mongrel2 binds to *spec*.

    Raises: ConfigError: nobody could tell, or connect there.
    """
    scheme, _, rest = spec.strip().partition("://")
    if scheme == "tcp":
        host, separator, port = rest.rpartition(":")
        if port == "*":
            raise ConfigError(f"{spec!r} has a port that is chosen at the start: expected a number")
        return Endpoint.parse(f"tcp://{_EVERYWHERE.get(host, host)}{separator}{port}")
    endpoint = Endpoint.parse(spec)
    if endpoint.path.startswith("@"):
        return endpoint
    names = _names(endpoint.path, place)
    path = next((name for name in names if os.path.exists(name)), names[0])
    return Endpoint.parse(f"ipc://{path}")


def is_at(spec: str, endpoint: Endpoint) -> bool:
    """Whether an address of ours may be what Mongrel2 calls *spec*; before an ipc path stands what we call its root."""
    scheme, _, rest = spec.strip().partition("://")
    if scheme != endpoint.scheme:
        return False
    if scheme == "ipc":
        return endpoint.path == rest or endpoint.path.endswith("/" + rest.lstrip("/"))
    host, _, port = rest.rpartition(":")
    if port != str(endpoint.port):
        return False
    # Of a listener for all hosts only the port can be compared.
    return host in _EVERYWHERE or _plain(host) == _plain(endpoint.host)


def _names(path: str, place: Place) -> list[str]:
    if not path.startswith("/"):
        return [os.path.join(place.directory, path)]
    names = [place.root.rstrip("/") + path]
    return names if place.certain else [*names, path]


def _plain(host: str) -> str:
    host = host.strip("[]").lower()
    return "127.0.0.1" if host == "localhost" else host


def _owner(path: str) -> int | None:
    try:
        return os.stat(path).st_uid
    except OSError:
        return None


def _working_directory(pid_file: str) -> str | None:
    """Where the process of that file works, if it is a Mongrel2 that lets us see; a number may be somebody else's."""
    try:
        with open(pid_file, encoding="ascii", errors="replace") as file:
            match = re.fullmatch(r"\s*([0-9]{1,10})\s*", file.read(32))
        if match is None:
            return None
        with open(f"/proc/{match[1]}/comm", encoding="utf-8", errors="replace") as file:
            return os.readlink(f"/proc/{match[1]}/cwd") if file.read().strip() == _PROGRAM else None
    except OSError:
        return None
