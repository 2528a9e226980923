"""Plain sockets to Mongrel2's addresses."""

from __future__ import annotations

import os
import select
import socket

import pytest

from m2serve.endpoint import Endpoint
from m2serve.errors import TransportError
from m2serve.transports import peer


def connected(sock):
    poller = select.poll()
    poller.register(sock, select.POLLOUT)
    assert poller.poll(5000)
    return peer.connect_error(sock)


def test_tcp_is_tuned_and_does_not_block():
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with peer.connect(Endpoint.parse(f"tcp://127.0.0.1:{port}")) as sock:
            assert connected(sock) is None
            assert not sock.getblocking()
            assert not sock.get_inheritable()
            assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
            assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)


@pytest.mark.parametrize("abstract", [False, True])
def test_unix(tmp_path, abstract):
    name = f"@m2serve-test-{os.getpid()}" if abstract else str(tmp_path / "s")
    endpoint = Endpoint.parse(f"ipc://{name}")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(endpoint.address)
        server.listen()
        with peer.connect(endpoint) as sock:
            assert connected(sock) is None


def test_nobody_there(tmp_path):
    with pytest.raises(TransportError, match="no such file"):
        peer.connect(Endpoint.parse(f"ipc://{tmp_path}/s"))
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    with peer.connect(Endpoint.parse(f"tcp://127.0.0.1:{port}")) as sock:
        assert connected(sock) == "connection refused"


@pytest.mark.parametrize("host", ["a..b", "x" * 64])
def test_a_name_that_cannot_be_one(host):
    with pytest.raises(TransportError, match="cannot resolve"):
        peer.connect(Endpoint("tcp", host=host, port=1))
