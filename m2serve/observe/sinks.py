"""Where request lines go: the log, a file of their own, a socket, syslog.

A line is given away with one system call that does not wait, so that lines of several processes do not mix and no
request waits for whoever reads them. What cannot be written is dropped: an answer must not fail for its line.
"""

from __future__ import annotations

import contextlib
import os
import socket
import sys
from typing import TYPE_CHECKING, Final, Protocol

from m2serve.errors import ConfigError

if TYPE_CHECKING:
    from m2serve.config.values import LogTarget

_STDERR: Final = 2
_LOCAL0_INFO: Final = b"<134>"
_DEV_LOG: Final = "/dev/log"


class Sink(Protocol):
    """Takes lines, each with its newline."""

    def write(self, line: bytes) -> None: ...
    def reopen(self) -> None:
        """Something has moved the file."""

    def forget(self) -> None:
        """In a forked child: the descriptor is closed there, or somebody else's."""

    def close(self) -> None: ...


class StandardError:
    """The log itself."""

    def write(self, line: bytes) -> None:
        with contextlib.suppress(OSError):
            os.write(_STDERR, line)

    def reopen(self) -> None:
        pass  # the log does that itself

    def forget(self) -> None:
        pass

    def close(self) -> None:
        pass


class File:
    """A file, to whose end every process writes.

    Raises: ConfigError: it cannot be opened.
    """

    def __init__(self, path: str) -> None:
        self._path = os.path.abspath(path)  # the process may change its directory
        self._fd = self._open()

    def write(self, line: bytes) -> None:
        with contextlib.suppress(OSError):
            os.write(self._fd, line)

    def reopen(self) -> None:
        try:
            fd = self._open()
        except ConfigError:
            return  # it goes on where it was
        os.dup2(fd, self._fd, inheritable=False)
        os.close(fd)

    def forget(self) -> None:
        self._fd = -1

    def close(self) -> None:
        os.close(self._fd)

    def _open(self) -> int:
        try:
            return os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o640)
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            raise ConfigError(f"{self._path!r} cannot be opened for writing: {reason}") from error


class Datagrams:
    """One datagram a line; who is not there, or does not keep up, misses some."""

    def __init__(self, family: int, address: str | tuple[str, int], prefix: bytes = b"") -> None:
        self._sock = socket.socket(family, socket.SOCK_DGRAM)
        self._sock.setblocking(False)
        self._address = address
        self._prefix = prefix

    def write(self, line: bytes) -> None:
        with contextlib.suppress(OSError):
            self._sock.sendto(self._prefix + line.rstrip(b"\n"), self._address)

    def reopen(self) -> None:
        pass

    def forget(self) -> None:
        self._sock.detach()

    def close(self) -> None:
        self._sock.close()


class EachProcess:
    """A sink that every process opens for itself when it first has something to say.

    A forked child closes what it is not told about, and the number may be anybody's afterwards.
    """

    def __init__(self, target: LogTarget) -> None:
        self._target = target
        self._sink = sink(target)
        self._pid = os.getpid()

    def write(self, line: bytes) -> None:
        if self._pid != os.getpid():
            self._sink.forget()
            self._pid = os.getpid()
            with contextlib.suppress(ConfigError):
                self._sink = sink(self._target)
        self._sink.write(line)

    def close(self) -> None:
        """No more lines come."""
        self._sink.close()


def sink(spec: LogTarget) -> Sink:
    """Open one.

    Raises: ConfigError: it cannot be.
    """
    if spec.driver == "file":
        return File(spec.argument)
    if spec.driver == "syslog":
        ident = spec.argument.partition(",")[0] or os.path.basename(sys.argv[0]) or "m2serve"
        return Datagrams(socket.AF_UNIX, _DEV_LOG, b"%b%b[%d]: " % (_LOCAL0_INFO, ident.encode(), os.getpid()))
    if spec.driver == "socket":
        if "/" in spec.argument or spec.argument.startswith("@"):
            path = spec.argument
            return Datagrams(socket.AF_UNIX, "\0" + path[1:] if path.startswith("@") else path)
        host, _, port = spec.argument.rpartition(":")
        try:
            family, _, _, _, address = socket.getaddrinfo(host, int(port), type=socket.SOCK_DGRAM)[0]
        except (OSError, ValueError) as error:
            raise ConfigError(f"{spec}: {getattr(error, 'strerror', None) or error}") from error
        return Datagrams(family, (str(address[0]), int(address[1])))
    return StandardError()
