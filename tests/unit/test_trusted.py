"""Proxies that are believed."""

from __future__ import annotations

import pytest

from m2serve.errors import ConfigError
from m2serve.trusted import LOCAL, Trusted


@pytest.mark.parametrize(
    ("text", "yes", "no"),
    [
        ("127.0.0.1,::1", [b"127.0.0.1", b"::1", b"::ffff:127.0.0.1"], [b"127.0.0.2", b"", b"::2", b"x", b"\xff"]),
        ("10.0.0.0/8, 2001:db8::/32", [b"10.1.2.3", b"2001:db8::5", b"::ffff:10.0.0.1"], [b"11.0.0.1", b"2001:db9::1"]),
        ("unix", [b""], [b"127.0.0.1"]),
        ("*", [b"", b"192.0.2.1", b"2001:db8::1"], []),
        ("", [], [b"", b"127.0.0.1"]),
        (" 127.0.0.1 ,, ", [b"127.0.0.1"], [b""]),
    ],
)
def test_who_is_trusted(text: str, yes: list[bytes], no: list[bytes]) -> None:
    trusted = Trusted.parse(text)
    assert [address for address in yes if not trusted.trusts(address)] == []
    assert [address for address in no if trusted.trusts(address)] == []


def test_by_default_it_is_this_host() -> None:
    assert LOCAL.trusts(b"127.0.0.1") and LOCAL.trusts(b"::1") and not LOCAL.trusts(b"")


@pytest.mark.parametrize("text", ["localhost", "10.0.0.1/8", "10.0.0.0/33", "127.0.0.1;::1", "1", "Unix"])
def test_what_is_no_address(text: str) -> None:
    with pytest.raises(ConfigError, match="expected addresses and networks") as caught:
        Trusted.parse(text)
    assert repr(text) in str(caught.value)
