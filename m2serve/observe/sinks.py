"""Where lines of the log go: standard error, a file, a socket, syslog, the journal, a ZeroMQ socket.

A line is given away with one system call that does not wait, so that lines of several processes do not mix and no
request waits for whoever reads them. What cannot be written is dropped: an answer must not fail for its line.
"""

from __future__ import annotations

import contextlib
import os
import socket
import sys
from typing import TYPE_CHECKING, Final, Protocol

from m2serve.config.log_values import remote
from m2serve.endpoint import Endpoint
from m2serve.errors import ConfigError
from m2serve.observe.encoders import Exact
from m2serve.observe.push import Push

if TYPE_CHECKING:
    from m2serve.config.log_values import LogTarget

_STDERR: Final = 2
_LOCAL0_INFO: Final = b"<134>"
_DEV_LOG: Final = "/dev/log"
_JOURNAL: Final = "/run/systemd/journal/socket"


def alarm_address(master: int) -> str:
    """Where a master hears of alarms, in the abstract name space."""
    return f"\0m2serve-alarm-{master}"


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
            self._sock.sendto(self._prefix + _message(line), self._address)

    def reopen(self) -> None:
        pass

    def forget(self) -> None:
        self._sock.detach()

    def close(self) -> None:
        self._sock.close()


class Journal(Datagrams):
    """systemd's journal, in its native protocol, which takes lines with newlines in them."""

    def __init__(self, ident: str) -> None:
        super().__init__(socket.AF_UNIX, _JOURNAL)
        self._tail = b"\nPRIORITY=6\nSYSLOG_IDENTIFIER=%b\n" % ident.encode().replace(b"\n", b" ")

    def write(self, line: bytes) -> None:
        text = _message(line)
        super().write(b"MESSAGE\n%b%b%b" % (len(text).to_bytes(8, "little"), text, self._tail))


class EachProcess:
    """A sink that every process opens for itself when it first has something to say.

    A forked child closes what it is not told about, and the number may be anybody's afterwards.
    """

    def __init__(self, target: LogTarget) -> None:
        self._target = _anchored(target)
        self._sink = sink(self._target)
        self._pid = os.getpid()

    def write(self, line: bytes) -> None:
        if self._pid != os.getpid():
            self._sink.forget()
            self._pid = os.getpid()
            with contextlib.suppress(ConfigError):
                self._sink = sink(self._target)
        self._sink.write(line)

    def rest(self) -> None:
        """Let go of a connection until the next line."""
        if isinstance(self._sink, Push) and self._pid == os.getpid():
            self._sink.close()

    def reopen(self) -> None:
        """Something has moved the file."""
        if self._pid == os.getpid():  # else it is opened anyhow, with the next line
            self._sink.reopen()

    def forget(self) -> None:
        """What is not ours is forgotten when the next line comes."""

    def close(self) -> None:
        """No more lines come."""
        self._sink.close()


def _message(line: bytes) -> bytes:
    """A line without its newline."""
    return line if isinstance(line, Exact) else line.rstrip(b"\n")


def _anchored(target: LogTarget) -> LogTarget:
    """The same place, wherever the process will be later.

    Raises: ConfigError: the path of a socket becomes too long.
    """
    if target.driver == "file" or (target.driver == "socket" and "/" in target.argument):
        return target._replace(argument=os.path.abspath(target.argument))
    if target.driver == "zeromq":
        return target._replace(argument=str(Endpoint.parse(target.argument).resolved(os.getcwd())))
    return target


def sink(spec: LogTarget) -> Sink:
    """Open one.

    Raises: ConfigError: it cannot be.
    """
    if spec.driver == "file":
        return File(spec.argument)
    if spec.driver == "alarm":
        return Datagrams(socket.AF_UNIX, alarm_address(int(spec.argument)))
    if spec.driver == "zeromq":
        return Push(Endpoint.parse(spec.argument))
    if spec.driver == "rsyslog":
        host, port, ident = remote(spec.argument)
        return Datagrams(*_resolved(spec, host, port), _LOCAL0_INFO + (ident.encode() + b": " if ident else b""))
    if spec.driver == "syslog":
        prefix = b"%b%b[%d]: " % (_LOCAL0_INFO, _ident(spec).encode(), os.getpid())
        return Datagrams(socket.AF_UNIX, _DEV_LOG, prefix)
    if spec.driver == "systemd":
        return Journal(_ident(spec))
    if spec.driver == "socket":
        if "/" in spec.argument or spec.argument.startswith("@"):
            path = spec.argument
            return Datagrams(socket.AF_UNIX, "\0" + path[1:] if path.startswith("@") else path)
        host, _, number = spec.argument.rpartition(":")
        return Datagrams(*_resolved(spec, host, number))
    return StandardError()


def _ident(spec: LogTarget) -> str:
    return spec.argument.partition(",")[0] or os.path.basename(sys.argv[0]) or "m2serve"


def _resolved(spec: LogTarget, host: str, port: str | int) -> tuple[int, tuple[str, int]]:
    try:
        family, _, _, _, address = socket.getaddrinfo(host, int(port), type=socket.SOCK_DGRAM)[0]
    except (OSError, ValueError) as error:
        raise ConfigError(f"{spec}: {getattr(error, 'strerror', None) or error}") from error
    return family, (str(address[0]), int(address[1]))
