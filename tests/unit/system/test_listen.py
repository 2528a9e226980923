"""Listening sockets and their files."""

from __future__ import annotations

import os
import socket
import stat

import pytest

from m2serve.config.addresses import SocketAddress
from m2serve.errors import ConfigError
from m2serve.system import activation, listen
from m2serve.system.activation import Activated
from m2serve.system.listen import Manner


@pytest.fixture
def path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return "a.sock"


def at(text: str) -> SocketAddress:
    return SocketAddress.parse(text)


def test_tcp():
    with listen.listen(at("127.0.0.1:0"), Manner(backlog=7, nodelay=True, keepalive=True)) as sock:
        assert not sock.getblocking()
        assert not sock.get_inheritable()
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR)
        port = sock.getsockname()[1]
        assert listen.name_of(sock) == f"127.0.0.1:{port}"
        with socket.create_connection(("127.0.0.1", port)), sock.accept()[0] as accepted:
            # Nothing needs to be asked for a connection that its listener has.
            assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
            assert accepted.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)


def test_an_address_of_some_other_host():
    with pytest.raises(ConfigError, match="expected an address of this host, or freebind"):
        listen.listen(at("192.0.2.1:0"), Manner())
    listen.listen(at("192.0.2.1:0"), Manner(freebind=True)).close()


def test_somebody_else_listens(path):
    with listen.listen(at("127.0.0.1:0"), Manner()) as sock:
        with pytest.raises(ConfigError, match="cannot listen: Address already in use"):
            listen.listen(at(listen.name_of(sock)), Manner())
    with listen.listen(at(path), Manner()):
        with pytest.raises(ConfigError, match="somebody else does"):
            listen.listen(at(path), Manner())
        assert os.path.exists(path)


def test_somebody_else_whose_queue_is_full(path):
    with listen.listen(at(path), Manner(backlog=1)), Clients() as clients:
        for _ in range(2):
            clients.append(socket.socket(socket.AF_UNIX))
            clients[-1].connect(path)
        with pytest.raises(ConfigError, match="his queue is full"):
            listen.listen(at(path), Manner())


class Clients(list):
    def __enter__(self):
        return self

    def __exit__(self, *_):
        for one in self:
            one.close()


def test_several_at_one_port():
    with listen.listen(at("127.0.0.1:0"), Manner(reuse_port=True)) as sock:
        listen.listen(at(listen.name_of(sock)), Manner(reuse_port=True)).close()


def test_a_file_that_a_killed_server_has_left(path):
    listen.listen(at(path), Manner()).close()
    before = listen.inode(path)
    assert before is not None
    with listen.listen(at(path), Manner(mode=0o604)):
        assert stat.S_IMODE(os.stat(path).st_mode) == 0o604
        assert stat.S_ISSOCK(os.stat(path).st_mode)


def test_a_file_that_is_no_socket_stays(path):
    with open(path, "w") as file:
        file.write("dear to somebody")
    with pytest.raises(ConfigError, match="no socket"):
        listen.listen(at(path), Manner())
    assert os.path.exists(path)


def test_whom_it_belongs_to(path):
    given = []
    listen.listen(at(path), Manner(own=given.append)).close()
    assert given == [path]


def test_abstract_names():
    name = f"@m2serve-test-{os.getpid()}"
    with listen.listen(at(name), Manner(own=lambda path: pytest.fail(path))) as sock:
        assert listen.name_of(sock) == name


def test_only_the_same_file_is_removed(path):
    listen.listen(at(path), Manner()).close()
    old = listen.inode(path)
    os.rename(path, "other")
    listen.listen(at(path), Manner()).close()
    listen.remove(path, old)
    assert os.path.exists(path)
    listen.remove(path, listen.inode(path))
    assert not os.path.exists(path)
    listen.remove(path, None)


@pytest.mark.skipif(not os.path.exists("/proc/net/if_inet6"), reason="this host has no IPv6")
def test_both_internets_at_one_port():
    for attempt in range(20):
        with listen.listen(at("[::]:0"), Manner(only_v6=True)) as sock:
            assert sock.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY)
            port = sock.getsockname()[1]
            try:
                listen.listen(at(f"0.0.0.0:{port}"), Manner()).close()
            except ConfigError:
                assert attempt < 19  # somebody else's, on IPv4: all sorts of programs have ports there
            else:
                return


def test_adopted():
    with socket.socket() as mother:
        mother.bind(("127.0.0.1", 0))
        with listen.adopt(os.dup(mother.fileno()), Manner(nodelay=True)) as sock:
            assert sock.getsockname() == mother.getsockname()
            assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
            assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
            assert not sock.get_inheritable()


def test_not_everything_is_adopted():
    with socket.socket(type=socket.SOCK_DGRAM) as mother, pytest.raises(ConfigError, match="stream socket"):
        listen.adopt(mother.fileno(), Manner())
    with open(os.devnull) as file, pytest.raises(ConfigError, match="expected a socket"):
        listen.adopt(file.fileno(), Manner())


def variables(**more: str) -> dict[str, str]:
    return {"LISTEN_FDS": "1", "LISTEN_PID": "7", "HOME": "/", **more}


def test_what_a_service_manager_says(monkeypatch):
    monkeypatch.setattr(os, "set_inheritable", lambda fd, on: None)
    environment = variables(LISTEN_FDS="2", LISTEN_FDNAMES="web")
    assert activation.take(environment, 7) == (Activated(3, "web"), Activated(4, ""))
    assert environment == {"HOME": "/"}


@pytest.mark.parametrize("more", [{"LISTEN_PID": "8"}, {"LISTEN_PID": ""}, {"LISTEN_FDS": "x"}, {"LISTEN_FDS": "9999"}])
def test_what_it_says_to_others(more):
    environment = variables(**more)
    assert activation.take(environment, 7) == ()
    assert environment == {"HOME": "/"}


def test_nobody_says_anything():
    assert activation.take({}, 7) == ()
