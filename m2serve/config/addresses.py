"""Addresses of sockets that m2serve itself listens at, as uWSGI's users write them."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, NamedTuple

from m2serve.door import Tls
from m2serve.endpoint import (
    MAX_UNIX_PATH,
    ListenAddress,
    address_of,
    family_of,
    is_file,
    path_from,
    split_host_port,
)
from m2serve.errors import ConfigError

if TYPE_CHECKING:
    import socket

_EXPECTED = "expected :port, host:port, [ipv6]:port, /path, @name, fd://N or =N"
_MAX_NUMBER = 1 << 20
"""No descriptor is larger, and no list of sockets longer."""


class SocketAddress(NamedTuple):
    """Where to listen: ``host`` and ``port``, or one of the others.

    ``path`` with ``@`` in front is in Linux's abstract namespace, ``fd`` a descriptor that whoever started us has left
    open, ``shared`` the index of a shared-socket.
    """

    host: str = ""
    port: int = 0
    path: str = ""
    fd: int = -1
    shared: int = -1

    @classmethod
    def parse(cls, text: str) -> SocketAddress:
        """Read one; as in uWSGI what has no colon is the path of a Unix socket.

        Raises: ConfigError: with what was expected.
        """
        rest = text.strip()
        if rest.startswith("fd://"):
            return cls(fd=_number(rest.removeprefix("fd://")))
        if rest.startswith("="):
            return cls(shared=_number(rest[1:]))
        if rest.startswith("unix:"):
            raise ConfigError(f"{_EXPECTED}; a path stands alone, without unix:")
        if ":" in rest and not rest.startswith(("/", "@", "./", "../")):
            host, port = split_host_port(text, rest, wildcard=True, lowest=0)
            return cls("0.0.0.0" if host in ("", "*") else host, port)
        if rest in ("", "@") or rest.endswith("/") or "\0" in rest:
            raise ConfigError(_EXPECTED)
        if (length := len(os.fsencode(rest))) > MAX_UNIX_PATH:
            raise ConfigError(f"a socket path has at most {MAX_UNIX_PATH} bytes, not {length}")
        return cls(path=rest)

    def resolved(self, directory: str) -> SocketAddress:
        """The same place from any directory; a path that would become too long is left relative."""
        return self._replace(path=path_from(directory, self.path))

    @property
    def is_file(self) -> bool:
        """Whether there is a file."""
        return is_file(self.path)

    @property
    def family(self) -> socket.AddressFamily:
        """The family for ``socket.socket``."""
        return family_of(self.host, self.path)

    @property
    def address(self) -> str | tuple[str, int]:
        """What ``socket.bind`` takes."""
        return address_of(self.host, self.port, self.path)

    def __str__(self) -> str:
        if self.path:
            return self.path
        if self.fd >= 0:
            return f"fd://{self.fd}"
        if self.shared >= 0:
            return f"={self.shared}"
        return str(ListenAddress(self.host, self.port))


class TlsAddress(NamedTuple):
    """An address, and the files of its certificate."""

    address: SocketAddress
    tls: Tls

    @classmethod
    def parse(cls, text: str) -> TlsAddress:
        """Read ``ADDRESS,CERT,KEY[,CIPHERS[,CLIENT_CA]]``, or the same as ``addr=...,cert=...,key=...``.

        Raises: ConfigError: with what was expected.
        """
        parts = [part.strip() for part in text.split(",")]
        if any(part.startswith("addr=") for part in parts):
            parts = _keyed(parts)
        if not 3 <= len(parts) <= 5 or not all(parts[:3]):
            raise ConfigError("expected ADDRESS,CERT,KEY[,CIPHERS[,CLIENT_CA]]")
        ciphers, client_ca = (*parts[3:], "", "")[:2]
        # In uWSGI a client may do without a certificate unless the name has this in front. Here he never may.
        return cls(SocketAddress.parse(parts[0]), Tls(parts[1], parts[2], ciphers, client_ca.removeprefix("!")))

    def resolved(self, directory: str) -> TlsAddress:
        """The same from any directory."""
        files = {
            name: os.path.join(directory, path)
            for name in ("certificate", "key", "client_ca")
            if (path := getattr(self.tls, name))
        }
        return TlsAddress(self.address.resolved(directory), self.tls._replace(**files))

    def __str__(self) -> str:
        return ",".join(map(str, (self.address, *self.tls))).rstrip(",")


class SocketMap(NamedTuple):
    """Which workers serve a socket."""

    socket: int
    """Its number, see :func:`m2serve.config.doors.numbered`."""
    workers: tuple[int, ...]
    """Numbers from 1, each once, in order."""

    @classmethod
    def parse(cls, text: str) -> SocketMap:
        """Read ``N:1,2,3``. Raises: ConfigError: with what was expected."""
        first, colon, rest = text.partition(":")
        try:
            number, *workers = (_number(part.strip()) for part in (first, *rest.split(",")))
        except ConfigError:
            workers = []
        if not colon or not workers or 0 in workers:
            raise ConfigError("expected SOCKET:WORKER,WORKER...: sockets are counted from 0, workers from 1")
        return cls(number, tuple(sorted(set(workers))))

    def __str__(self) -> str:
        return f"{self.socket}:{','.join(map(str, self.workers))}"


def _keyed(parts: list[str]) -> list[str]:
    """The words of https2 in the order of https. Raises: ConfigError: one of them is none."""
    names = {"addr": 0, "cert": 1, "crt": 1, "key": 2, "ciphers": 3, "client_ca": 4, "ca": 4}
    found = [""] * 5
    for part in parts:
        name, separator, value = part.partition("=")
        if name in ("spdy", "http2"):
            continue  # the protocol is HTTP/1.1
        if not separator or name not in names:
            raise ConfigError(f"{part!r}: expected addr=ADDRESS,cert=FILE,key=FILE[,ciphers=TEXT][,client_ca=FILE]")
        found[names[name]] = value
    return found


def _number(text: str) -> int:
    if not text.isascii() or not text.isdigit() or len(text) > len(str(_MAX_NUMBER)) or int(text) > _MAX_NUMBER:
        raise ConfigError(f"{text!r} is no number: {_EXPECTED}")
    return int(text)
