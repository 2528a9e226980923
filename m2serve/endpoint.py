"""Socket addresses as users write them: parsed, checked, printed.

A handler connects to Mongrel2, so an address names one place: no wildcard host, no port chosen by the kernel.
"""

from __future__ import annotations

import ipaddress
import os
import re
import socket
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

from m2serve.errors import ConfigError

_EXPECTED = "tcp://host:port, tcp://[ipv6]:port or ipc:///path"
_HOST_NAME = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_.-]*[A-Za-z0-9_.])?")
_MAX_PORT = 65535
MAX_UNIX_PATH = 107
"""Bytes of ``sun_path`` less its final NUL (unix(7))."""


@dataclass(frozen=True)
class Endpoint:
    """Where one socket of Mongrel2 listens.

    ``path`` is empty for TCP; ``host`` and ``port`` are empty and 0 for ``ipc``. An ``ipc`` path that starts
    with ``@`` is in Linux's abstract namespace, as in ZeroMQ.
    """

    scheme: Literal["tcp", "ipc"]
    host: str = ""
    port: int = 0
    path: str = ""

    @classmethod
    def parse(cls, text: str) -> Endpoint:
        """Read one address.

        Raises: ConfigError: with the text and what was expected instead.
        """
        scheme, separator, rest = text.strip().partition("://")
        if separator and scheme == "tcp":
            return cls._parse_tcp(text, rest)
        if separator and scheme == "ipc":
            return cls._parse_ipc(text, rest)
        raise ConfigError(f"{text!r} is not an endpoint: expected {_EXPECTED}")

    @classmethod
    def _parse_tcp(cls, text: str, rest: str) -> Endpoint:
        host, port = split_host_port(text, rest)
        if host == "":
            raise ConfigError(f"{text!r} names no host: expected {_EXPECTED}")
        return cls("tcp", host=host, port=port)

    @classmethod
    def _parse_ipc(cls, text: str, path: str) -> Endpoint:
        if path in ("", "@", "*") or path.endswith("/") or "\0" in path:
            raise ConfigError(f"{text!r} names no socket file: expected {_EXPECTED}")
        endpoint = cls("ipc", path=path)
        endpoint._check_length()
        return endpoint

    def _check_length(self) -> None:
        length = len(os.fsencode(self.path))
        if length > MAX_UNIX_PATH:
            limit = f"a socket path has at most {MAX_UNIX_PATH} bytes"
            raise ConfigError(f"'{self}' is too long: {limit}, not {length}")

    def resolved(self, directory: str) -> Endpoint:
        """The same place, named so that a later change of directory does not matter.

        Raises: ConfigError: the absolute path is too long for a socket.
        """
        if self.scheme == "tcp" or self.path.startswith(("/", "@")):
            return self
        endpoint = replace(self, path=os.path.join(directory, self.path))
        endpoint._check_length()
        return endpoint

    @property
    def family(self) -> socket.AddressFamily:
        """The family for ``socket.socket``; a host name is looked up as IPv4."""
        return family_of(self.host, self.path)

    @property
    def address(self) -> str | tuple[str, int]:
        """What ``socket.connect`` and ``socket.bind`` take."""
        return address_of(self.host, self.port, self.path)

    def __str__(self) -> str:
        if self.scheme == "ipc":
            return f"ipc://{self.path}"
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"tcp://{host}:{self.port}"


@dataclass(frozen=True)
class ZmqPair:
    """The two sockets of one Mongrel2 handler, by Mongrel2's own names of them.

    ``send`` is its ``send_spec`` (we take requests there), ``recv`` its ``recv_spec`` (answers go there).
    """

    send: Endpoint
    recv: Endpoint

    @classmethod
    def parse(cls, text: str) -> ZmqPair:
        """Read ``SEND,RECV``.

        Raises: ConfigError: with the text and what was expected instead.
        """
        parts = [part.strip() for part in text.split(",")]
        if len(parts) != 2 or not all(parts):
            raise ConfigError(
                f"{text!r} is not a pair: expected SEND_SPEC,RECV_SPEC as in Mongrel2's handler, "
                "for instance tcp://127.0.0.1:9997,tcp://127.0.0.1:9996"
            )
        send, recv = (Endpoint.parse(part) for part in parts)
        if send == recv:
            raise ConfigError(f"{text!r} names one socket twice: expected two, SEND_SPEC,RECV_SPEC")
        return cls(send, recv)

    def resolved(self, directory: str) -> ZmqPair:
        """See Endpoint.resolved."""
        return ZmqPair(self.send.resolved(directory), self.recv.resolved(directory))

    def __str__(self) -> str:
        return f"{self.send},{self.recv}"


class ListenAddress(NamedTuple):
    """Where a server of ours, or Mongrel2 on our behalf, accepts connections; host ``0.0.0.0`` means all."""

    host: str
    port: int

    @classmethod
    def parse(cls, text: str) -> ListenAddress:
        """Read ``host:port``, ``:port`` or ``port``.

        Raises: ConfigError: with the text and what was expected instead.
        """
        rest = text.strip()
        if rest.isascii() and rest.isdigit():
            rest = ":" + rest
        host, port = split_host_port(text, rest, wildcard=True)
        return cls("0.0.0.0" if host in ("", "*") else host, port)

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


class StatsAddress(NamedTuple):
    """Where the statistics are to be had. ``path`` is empty for TCP; one with ``@`` in front is abstract."""

    host: str = ""
    port: int = 0
    path: str = ""

    @classmethod
    def parse(cls, text: str) -> StatsAddress:
        """Read ``host:port``, ``:port``, ``/path`` or ``@name``; as in uWSGI what has no colon is a path.

        Raises: ConfigError: with the text and what was expected instead.
        """
        rest = text.strip()
        if ":" in rest and not rest.startswith(("/", "@", "./", "../")):
            return cls(*ListenAddress.parse(rest))
        if rest in ("", "@") or rest.endswith("/") or "\0" in rest:
            raise ConfigError(f"{text!r}: expected host:port, :port, a path or @name")
        if (length := len(os.fsencode(rest))) > MAX_UNIX_PATH:
            raise ConfigError(f"{text!r} is too long: a socket path has at most {MAX_UNIX_PATH} bytes, not {length}")
        return cls(path=rest)

    def resolved(self, directory: str) -> StatsAddress:
        """See Endpoint.resolved; a path that then becomes too long is left relative."""
        return self._replace(path=path_from(directory, self.path))

    @property
    def is_file(self) -> bool:
        """Whether there is a file to be removed at the end."""
        return is_file(self.path)

    @property
    def family(self) -> socket.AddressFamily:
        """The family for ``socket.socket``."""
        return family_of(self.host, self.path)

    @property
    def address(self) -> str | tuple[str, int]:
        """What ``socket.bind`` and ``socket.connect`` take."""
        return address_of(self.host, self.port, self.path)

    def __str__(self) -> str:
        return self.path or str(ListenAddress(self.host, self.port))


def family_of(host: str, path: str) -> socket.AddressFamily:
    """Of an address with a path, or, where that is empty, with a host."""
    if path:
        return socket.AF_UNIX
    return socket.AF_INET6 if ":" in host else socket.AF_INET


def address_of(host: str, port: int, path: str) -> str | tuple[str, int]:
    """The same as the module socket takes it; a path with ``@`` in front is in Linux's abstract namespace."""
    if not path:
        return (host, port)
    return "\0" + path[1:] if path.startswith("@") else path


def is_file(path: str) -> bool:
    """Whether the path of an address, which may be empty, is that of a file."""
    return bool(path) and not path.startswith("@")


def path_from(directory: str, path: str) -> str:
    """The path of an address from any directory; one that would become too long for a socket is left relative."""
    if not is_file(path):
        return path
    joined = os.path.join(directory, path)  # an absolute one stays
    return joined if len(os.fsencode(joined)) <= MAX_UNIX_PATH else path


def split_host_port(text: str, rest: str, *, wildcard: bool = False, lowest: int = 1) -> tuple[str, int]:
    """Split at the last colon and check both sides; *text* is what the user wrote.

    Args:
        wildcard: no host, or ``*``, is one, too.
        lowest: the smallest port allowed; with 0 the kernel may choose.

    Raises: ConfigError: with the text and what was expected instead.
    """
    host, separator, port_text = rest.rpartition(":")
    if not separator or not (port_text.isascii() and port_text.isdigit()):
        expected = "host:port, :port or port" if wildcard else _EXPECTED
        raise ConfigError(f"{text!r} has no port: expected {expected}")
    # int() refuses thousands of digits with an error of its own, so the length is looked at first.
    port = int(port_text) if len(port_text.lstrip("0")) <= len(str(_MAX_PORT)) else _MAX_PORT + 1
    if not lowest <= port <= _MAX_PORT:
        raise ConfigError(f"{text!r} has an impossible port: expected {lowest} to {_MAX_PORT}")
    if host.startswith("[") and host.endswith("]"):
        return _ipv6(text, host[1:-1]), port
    if host == "*" and not wildcard:
        raise ConfigError(f"{text!r} names no host: m2serve connects, so expected a host instead of '*'")
    if host not in ("", "*"):
        _check_host(text, host)
    return host, port


def _ipv6(text: str, literal: str) -> str:
    try:
        ipaddress.IPv6Address(literal)
    except ValueError:
        raise ConfigError(f"{text!r}: {literal!r} is not an IPv6 address") from None
    return literal


def _check_host(text: str, host: str) -> None:
    if ":" in host:
        raise ConfigError(f"{text!r} has too many colons: expected IPv6 in brackets, as in [::1]:9997")
    if len(host) > 253 or not _HOST_NAME.fullmatch(host):
        raise ConfigError(f"{text!r}: {host!r} is not a host name or address")
    if re.fullmatch(r"[0-9.]+", host):
        try:
            ipaddress.IPv4Address(host)
        except ValueError:
            raise ConfigError(f"{text!r}: {host!r} is not an IPv4 address") from None
