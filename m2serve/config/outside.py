"""What reading a configuration asks of the world, so that the reading itself touches nothing."""

from __future__ import annotations

import glob
import os
import os.path
import subprocess
from dataclasses import dataclass, replace
from functools import cache
from typing import TYPE_CHECKING

from m2serve.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable

_MAX_SIZE = 16 * 1024 * 1024
"""Characters; ``@(/dev/zero)`` has no end."""
_EXEC_SECONDS = 60
_FOREIGN_SCHEMES = frozenset({"emperor", "sym", "section", "call", "callint", "data"})
_NETWORK_SCHEMES = frozenset({"http", "https", "ftp"})


def read_text(path: str) -> str:
    """The content of a configuration file; paths in it need not be valid text.

    Args:
        path: ``/dev/fd/0`` for standard input.

    Raises:
        OSError: it cannot be read.
        ConfigError: it is larger than any configuration.
    """
    with open(path, encoding="utf-8", errors="surrogateescape") as stream:
        text = stream.read(_MAX_SIZE + 1)
    if len(text) > _MAX_SIZE:
        raise ConfigError(f"expected at most {_MAX_SIZE} characters")
    return text


def run_program(command: str) -> str:
    """What a shell command prints.

    Raises: ConfigError: it fails, or does not end.
    """
    try:
        done = subprocess.run(command, shell=True, stdout=subprocess.PIPE, timeout=_EXEC_SECONDS, check=True)
    except (subprocess.SubprocessError, OSError, ValueError) as error:
        raise ConfigError(f"{command!r}: {error}") from error
    return done.stdout.decode("utf-8", "surrogateescape")


def inode_of(path: str) -> int:
    """The inode's number, 0 when there is none."""
    try:
        return os.stat(path).st_ino
    except (OSError, ValueError):
        return 0


def _matches(pattern: str) -> list[str]:
    return sorted(glob.glob(pattern))


def exists(path: str) -> bool:
    """Like os.path.exists, but no path is a mistake."""
    try:
        return os.path.exists(path)
    except ValueError:  # older Pythons: a NUL in the path
        return False


def remembered(source: Callable[[str], str]) -> Callable[[str], str]:
    """Asks *source* once for each name; what it raises is raised again."""

    @cache
    def ask(name: str) -> str | Exception:
        try:
            return source(name)
        except (OSError, ValueError, ConfigError) as error:
            return error

    def answer(name: str) -> str:
        found = ask(name)
        if isinstance(found, Exception):
            raise found
        return found

    return answer


@dataclass(frozen=True)
class Outside:
    """Files, directories and programs. Paths are absolute.

    ``run`` is None where no program may be run: the default.
    """

    read_file: Callable[[str], str] = read_text
    exists: Callable[[str], bool] = exists
    is_file: Callable[[str], bool] = os.path.isfile
    is_dir: Callable[[str], bool] = os.path.isdir
    glob: Callable[[str], list[str]] = _matches
    inode: Callable[[str], int] = inode_of
    run: Callable[[str], str] | None = None

    def remembering(self) -> Outside:
        """The same, but no file is read and no program run twice: the second time standard input would be empty."""
        run = self.run if self.run is None else remembered(self.run)
        return replace(self, read_file=remembered(self.read_file), run=run)

    def fetch(self, source: str, directory: str) -> str:
        """The text behind a path or an address: ``file://``, ``fd://``, ``exec://``, ``-`` for standard input.

        Args:
            directory: what a relative path is relative to.

        Raises: ConfigError: it cannot be had, and why.
        """
        scheme, separator, rest = source.partition("://")
        if not separator:
            path = "/dev/fd/0" if source == "-" else os.path.join(directory, source)
        elif scheme == "file":
            path = os.path.join(directory, rest)
        elif scheme == "fd" and rest.isascii() and rest.isdigit():
            path = f"/dev/fd/{rest}"
        elif scheme == "exec":
            if self.run is None:
                raise ConfigError(f"cannot run {rest!r}: expected --allow-exec on the command line")
            return self.run(rest)
        elif scheme in _NETWORK_SCHEMES:
            raise ConfigError(f"cannot read {source!r}: nothing is read from the network; expected a file")
        elif scheme in _FOREIGN_SCHEMES:
            raise ConfigError(f"cannot read {source!r}: {scheme}:// exists in uWSGI alone; expected a file")
        else:
            path = os.path.join(directory, source)
        try:
            return self.read_file(path)
        except (OSError, ValueError, ConfigError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            raise ConfigError(f"cannot read {source!r}: {reason}") from error
