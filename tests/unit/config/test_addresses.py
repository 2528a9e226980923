"""Addresses of sockets of our own."""

from __future__ import annotations

import socket

import pytest

from m2serve.config.addresses import SocketAddress, SocketMap, TlsAddress
from m2serve.config.socket_values import KEEP_ALIVE, POST_BUFFERING, KeepAlive, Owner, PostBuffering, SocketMode
from m2serve.door import Tls
from m2serve.errors import ConfigError


@pytest.mark.parametrize(
    ("text", "expected", "shown"),
    [
        (":8080", SocketAddress("0.0.0.0", 8080), "0.0.0.0:8080"),
        ("*:8080", SocketAddress("0.0.0.0", 8080), "0.0.0.0:8080"),
        (" 127.0.0.1:0 ", SocketAddress("127.0.0.1", 0), "127.0.0.1:0"),
        ("web1:80", SocketAddress("web1", 80), "web1:80"),
        ("[::]:80", SocketAddress("::", 80), "[::]:80"),
        ("/run/app.sock", SocketAddress(path="/run/app.sock"), "/run/app.sock"),
        ("/run/a:b.sock", SocketAddress(path="/run/a:b.sock"), "/run/a:b.sock"),
        ("app.sock", SocketAddress(path="app.sock"), "app.sock"),
        ("8080", SocketAddress(path="8080"), "8080"),
        ("@app", SocketAddress(path="@app"), "@app"),
        ("fd://3", SocketAddress(fd=3), "fd://3"),
        ("=0", SocketAddress(shared=0), "=0"),
    ],
)
def test_addresses(text: str, expected: SocketAddress, shown: str) -> None:
    found = SocketAddress.parse(text)
    assert found == expected
    assert str(found) == shown
    assert SocketAddress.parse(shown) == found


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "expected :port"),
        ("300.1.1.1:18020", "'300.1.1.1' is not an IPv4 address"),
        (":80x", "has no port"),
        (":65536", "expected 0 to 65535"),
        ("::1:80", "too many colons"),
        ("[::g]:80", "is not an IPv6 address"),
        ("unix:/run/app.sock", "without unix:"),
        ("fd://x", "'x' is no number"),
        ("=", "'' is no number"),
        ("=99999999", "is no number"),
        ("/run/", "expected :port"),
        ("/" + "x" * 107, "at most 107 bytes"),
        ("a\0b", "expected :port"),
    ],
)
def test_mistakes(text: str, told: str) -> None:
    with pytest.raises(ConfigError) as raised:
        SocketAddress.parse(text)
    assert told in str(raised.value)


def test_a_path_is_the_same_from_everywhere() -> None:
    assert SocketAddress.parse("a.sock").resolved("/srv").path == "/srv/a.sock"
    assert SocketAddress.parse("a.sock").resolved("/" + "x" * 105).path == "a.sock"
    assert SocketAddress.parse("@a").resolved("/srv").path == "@a"
    assert SocketAddress.parse(":80").resolved("/srv") == SocketAddress("0.0.0.0", 80)


def test_families_and_what_bind_takes() -> None:
    assert SocketAddress.parse("[::1]:8").family is socket.AF_INET6
    assert SocketAddress.parse(":8").address == ("0.0.0.0", 8)
    assert SocketAddress.parse("@a").address == "\0a"
    assert SocketAddress.parse("@a").family is socket.AF_UNIX
    assert not SocketAddress.parse("@a").is_file


@pytest.mark.parametrize(
    "text",
    [
        "[::]:443,c.pem,k.pem,HIGH,ca.pem",
        "[::]:443, c.pem, k.pem, HIGH, !ca.pem",
        "addr=[::]:443,cert=c.pem,key=k.pem,spdy=1,ciphers=HIGH,client_ca=ca.pem",
    ],
)
def test_tls(text: str) -> None:
    found = TlsAddress.parse(text)
    assert found == TlsAddress(SocketAddress("::", 443), Tls("c.pem", "k.pem", "HIGH", "ca.pem"))
    assert found.resolved("/srv").tls == Tls("/srv/c.pem", "/srv/k.pem", "HIGH", "/srv/ca.pem")
    assert TlsAddress.parse(str(found)) == found


def test_tls_without_what_may_be_left_out() -> None:
    found = TlsAddress.parse(":443,c.pem,/k.pem")
    assert str(found) == "0.0.0.0:443,c.pem,/k.pem"
    assert found.resolved("/srv").tls == Tls("/srv/c.pem", "/k.pem")


@pytest.mark.parametrize("text", [":443", ":443,c.pem", ":443,,k", "a,b,c,d,e,f", "addr=:1,cert=c", "addr=:1,x=1"])
def test_tls_mistakes(text: str) -> None:
    with pytest.raises(ConfigError):
        TlsAddress.parse(text)


def test_permissions() -> None:
    assert [str(SocketMode.parse(text)) for text in ("660", "0660", "1", "", " 777 ")] == [
        *("660", "660", "666", "666", "777")
    ]
    for text in ("66", "888", "rw", "06600"):
        with pytest.raises(ConfigError, match="octal digits"):
            SocketMode.parse(text)


def test_owners() -> None:
    assert Owner.parse("www-data") == Owner("www-data", "")
    assert str(Owner.parse(" app:www-data ")) == "app:www-data"
    assert Owner.parse(":33") == Owner("", "33")
    for text in ("", ":", "a:", "a:b:c", "a b"):
        with pytest.raises(ConfigError, match="USER"):
            Owner.parse(text)


def test_keep_alive() -> None:
    assert [KeepAlive.parse(text) for text in ("", "1", "true", "5", "2m", "0", "off")] == [
        *(KEEP_ALIVE, KEEP_ALIVE, KEEP_ALIVE, 5.0, 120.0, 0.0, 0.0)
    ]


def test_post_buffering() -> None:
    assert [PostBuffering.parse(text) for text in ("true", "1", "64k", "0", "false")] == [
        *(4096, 1, 65536, POST_BUFFERING, POST_BUFFERING)
    ]


def test_a_map_of_a_socket() -> None:
    assert str(SocketMap.parse(" 2: 3,1 ,3")) == "2:1,3"
    for text in ("", "1", "1:", ":1", "1:0", "1:a", "a:1", "1:1,,2", "1:-1"):
        with pytest.raises(ConfigError, match="expected SOCKET:WORKER,WORKER"):
            SocketMap.parse(text)
