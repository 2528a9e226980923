"""Socket addresses: what is read, what is refused, what comes back out."""

from __future__ import annotations

import socket

import pytest
from hypothesis import given
from hypothesis import strategies as st

from m2serve.endpoint import Endpoint, ListenAddress, ZmqPair
from m2serve.errors import ConfigError


@pytest.mark.parametrize(
    ("text", "family", "address"),
    [
        ("tcp://127.0.0.1:9997", socket.AF_INET, ("127.0.0.1", 9997)),
        ("tcp://localhost:1", socket.AF_INET, ("localhost", 1)),
        ("tcp://front-1.example_net.org:65535", socket.AF_INET, ("front-1.example_net.org", 65535)),
        ("tcp://[::1]:9997", socket.AF_INET6, ("::1", 9997)),
        ("tcp://[fe80::1%eth0]:9997", socket.AF_INET6, ("fe80::1%eth0", 9997)),
        ("ipc:///run/mongrel2/send", socket.AF_UNIX, "/run/mongrel2/send"),
        ("ipc://@mongrel2", socket.AF_UNIX, "\0mongrel2"),
        ("ipc://run/send", socket.AF_UNIX, "run/send"),
    ],
)
def test_reads_an_address_and_prints_it_unchanged(text: str, family: int, address: object) -> None:
    endpoint = Endpoint.parse(text)
    assert endpoint.family == family
    assert endpoint.address == address
    assert str(endpoint) == text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "expected tcp://host:port"),
        ("127.0.0.1:9997", "expected tcp://host:port"),
        ("udp://127.0.0.1:9997", "expected tcp://host:port"),
        ("TCP://127.0.0.1:9997", "expected tcp://host:port"),
        ("tcp://127.0.0.1", "has no port"),
        ("tcp://127.0.0.1:", "has no port"),
        ("tcp://127.0.0.1:http", "has no port"),
        ("tcp://127.0.0.1:*", "has no port"),
        ("tcp://127.0.0.1:-1", "has no port"),
        ("tcp://127.0.0.1:²", "has no port"),
        ("tcp://127.0.0.1:0", "expected 1 to 65535"),
        ("tcp://127.0.0.1:65536", "expected 1 to 65535"),
        ("tcp://127.0.0.1:" + "9" * 5000, "expected 1 to 65535"),
        ("tcp://*:9997", "names no host"),
        ("tcp://:9997", "names no host"),
        ("tcp://::1:9997", "in brackets"),
        ("tcp://[::g]:9997", "not an IPv6 address"),
        ("tcp://300.1.1.1:9997", "not an IPv4 address"),
        ("tcp://ho st:9997", "not a host name"),
        ("tcp://eth0;10.0.0.1:9997", "not a host name"),
        ("ipc://", "names no socket file"),
        ("ipc://*", "names no socket file"),
        ("ipc:///run/", "names no socket file"),
        ("ipc:///a\0b", "names no socket file"),
        ("ipc:///" + "x" * 107, "at most 107 bytes"),
    ],
)
def test_refuses_with_the_text_and_what_was_expected(text: str, expected: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Endpoint.parse(text)
    assert expected in str(caught.value)


def test_a_unix_path_may_have_107_bytes() -> None:
    Endpoint.parse("ipc:///" + "x" * 106)


def test_relative_paths_become_absolute() -> None:
    assert str(Endpoint.parse("ipc://run/send").resolved("/srv")) == "ipc:///srv/run/send"
    for text in ("ipc:///run/send", "ipc://@name", "tcp://localhost:1"):
        assert str(Endpoint.parse(text).resolved("/srv")) == text
    with pytest.raises(ConfigError, match="too long"):
        Endpoint.parse("ipc://send").resolved("/" + "x" * 105)


def test_reads_a_pair() -> None:
    pair = ZmqPair.parse("tcp://127.0.0.1:9997 , ipc://run/recv")
    assert pair.send == Endpoint.parse("tcp://127.0.0.1:9997")
    assert str(pair.resolved("/srv")) == "tcp://127.0.0.1:9997,ipc:///srv/run/recv"
    assert ZmqPair.parse(str(pair)) == pair


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("tcp://a:1", "expected SEND_SPEC,RECV_SPEC"),
        ("tcp://a:1,", "expected SEND_SPEC,RECV_SPEC"),
        ("tcp://a:1,tcp://a:2,tcp://a:3", "expected SEND_SPEC,RECV_SPEC"),
        ("tcp://a:1,tcp://a:1", "names one socket twice"),
        ("tcp://a:1,nonsense", "'nonsense' is not an endpoint"),
    ],
)
def test_refuses_half_a_pair(text: str, expected: str) -> None:
    with pytest.raises(ConfigError) as caught:
        ZmqPair.parse(text)
    assert expected in str(caught.value)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("8080", ("0.0.0.0", 8080)),
        (":8080", ("0.0.0.0", 8080)),
        ("*:8080", ("0.0.0.0", 8080)),
        ("127.0.0.1:80", ("127.0.0.1", 80)),
        ("[::]:80", ("::", 80)),
    ],
)
def test_reads_where_to_listen(text: str, expected: tuple[str, int]) -> None:
    address = ListenAddress.parse(text)
    assert address == expected
    assert ListenAddress.parse(str(address)) == address


@pytest.mark.parametrize("text", ["", "http", "0", "127.0.0.1", "1.2.3.4:99999", "a b:1"])
def test_refuses_where_nobody_can_listen(text: str) -> None:
    with pytest.raises(ConfigError):
        ListenAddress.parse(text)


@given(st.one_of(st.text(), st.text().map("tcp://{}".format), st.text().map("ipc://{}".format)))
def test_any_text_is_an_endpoint_or_a_config_error(text: str) -> None:
    try:
        endpoint = Endpoint.parse(text)
    except ConfigError:
        return
    assert Endpoint.parse(str(endpoint)) == endpoint
