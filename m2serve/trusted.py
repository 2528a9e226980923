"""Whose word about a client is believed: the proxies in front (``forwarded-allow-ips``)."""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING

from m2serve.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterable

_EXPECTED = "addresses and networks with commas between them, as in 127.0.0.1,10.0.0.0/8; unix; or * for everybody"


class Trusted:
    """Addresses and networks; never changes.

    Args:
        networks: as :mod:`ipaddress` has them.
        unix: those who come by a Unix socket, too.
        everybody: whoever it is.
    """

    __slots__ = ("_everybody", "_hosts", "_networks", "_text", "_unix")

    def __init__(
        self,
        networks: Iterable[ipaddress.IPv4Network | ipaddress.IPv6Network] = (),
        *,
        unix: bool = False,
        everybody: bool = False,
    ) -> None:
        self._hosts = set()
        self._networks = []
        for network in networks:
            if network.num_addresses == 1:
                self._hosts.add(network.network_address)
            else:
                self._networks.append(network)
        self._unix = unix
        self._everybody = everybody
        self._text = ""

    @classmethod
    def parse(cls, text: str) -> Trusted:
        """Read what the option says; empty: nobody.

        Raises: ConfigError: with the text and what was expected instead.
        """
        networks = []
        words = [word.strip() for word in text.split(",") if word.strip()]
        for word in words:
            if word not in ("*", "unix"):
                try:
                    networks.append(ipaddress.ip_network(word))
                except ValueError as error:
                    raise ConfigError(f"{text!r}: {error}: expected {_EXPECTED}") from None
        made = cls(networks, unix="unix" in words, everybody="*" in words)
        made._text = ",".join(words)
        return made

    def __str__(self) -> str:
        """As it was written."""
        return self._text

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Trusted) and self._text == other._text

    def __hash__(self) -> int:
        return hash(self._text)

    def trusts(self, address: bytes) -> bool:
        """Whether the word of the peer at *address* counts; empty: it came by a Unix socket."""
        if self._everybody:
            return True
        if not address:
            return self._unix
        parsed = _parse(address)
        if parsed is None:
            return False
        return parsed in self._hosts or any(parsed in network for network in self._networks)

    def client(self, forwarded: bytes) -> bytes | None:
        """The address that an ``X-Forwarded-For`` of a trusted peer names: from its end on, the first one that is
        not trusted itself; else the last one found before something that is no address. None: there is none.
        """
        found = None
        for member in reversed(forwarded.split(b",")):
            address = _parse(_without_port(member.strip(b" \t")))
            if address is None:
                break
            found = str(address).encode("ascii")
            if not self.trusts(found):
                break
        return found


LOCAL = Trusted.parse("127.0.0.1,::1")


def _parse(address: bytes) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """An address; an IPv4 one in IPv6's clothes (a socket that takes both) is the IPv4 one."""
    try:
        parsed = ipaddress.ip_address(address.decode("ascii"))
    except ValueError:  # UnicodeDecodeError is one
        return None
    mapped = parsed.ipv4_mapped if isinstance(parsed, ipaddress.IPv6Address) else None
    return parsed if mapped is None else mapped


def _without_port(member: bytes) -> bytes:
    """``192.0.2.1:80`` and ``[2001:db8::1]:80`` without what some proxies put behind an address."""
    if member.startswith(b"["):
        return member[1:].partition(b"]")[0]
    return member.partition(b":")[0] if member.count(b":") == 1 else member
