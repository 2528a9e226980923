"""All sockets of our own that the settings ask for."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from m2serve.config import doors
from m2serve.config.addresses import SocketAddress
from m2serve.config.outside import Outside
from m2serve.config.settings import Examined, examine

if TYPE_CHECKING:
    from pathlib import Path

PAIR = "tcp://127.0.0.1:9997,tcp://127.0.0.1:9996"


def examined(text: str, *argv: str, env: dict[str, str] | None = None) -> Examined:
    world = Outside(read_file=lambda path: f"[uwsgi]\nmodule = shop\n{text}")
    return examine(["a.ini", *argv], env or {}, world, "/srv")


def test_every_option_has_its_protocol() -> None:
    text = "socket = a.sock\nhttp = :1\nhttp-socket = :2\nfastcgi-socket = :3\nscgi-socket = :4\nuwsgi-socket = :5\n"
    found = examined(text)
    assert found.problems == ()
    assert [(one.protocol, str(one.address), one.origin) for one in doors.wanted(found.settings)] == [
        ("uwsgi", "/srv/a.sock", "a.ini:3: socket"),
        ("uwsgi", "0.0.0.0:5", "a.ini:8: socket"),
        ("http", "0.0.0.0:1", "a.ini:4: http"),
        ("http", "0.0.0.0:2", "a.ini:5: http"),
        ("fastcgi", "0.0.0.0:3", "a.ini:6: fastcgi-socket"),
        ("scgi", "0.0.0.0:4", "a.ini:7: scgi-socket"),
    ]


def test_the_protocol_of_socket() -> None:
    (one,) = doors.wanted(examined("socket = :1\nprotocol = http\n").settings)
    assert one.protocol == "http"


def test_shared_sockets() -> None:
    (one,) = doors.wanted(examined("shared-socket = :80\nhttp = =0\n").settings)
    assert (one.address, one.shared) == (SocketAddress("0.0.0.0", 80), True)


def test_sockets_have_numbers() -> None:
    """As in uWSGI they count as they are declared, without those of routers, which have the last numbers here."""
    text = "http = :1\nscgi-socket = :2\nhttp-socket = :3\nsocket = :4\nhttps-socket = :5,c,k\nhttp-socket = :6\n"
    maps = "".join(f"map-socket = {number}:{number + 1}\n" for number in range(6))
    settings = examined(f"processes = 9\n{text}{maps}").settings
    assert {one.address.port: one.workers for one in doors.wanted(settings)} == {
        2: (1,),
        3: (2,),
        4: (3,),
        5: (4,),
        6: (5,),
        1: (6,),
    }


def test_the_number_depends_on_the_name_that_was_written() -> None:
    words = ("--http", ":2", "--http-socket", ":3", "--map-socket", "0:1", "--map-socket", "1:2", "--map-socket", "2:3")
    settings = examined("processes = 4\n", *words, env={"UWSGI_HTTP_SOCKET": ":1"}).settings
    assert [(one.address.port, one.workers) for one in doors.wanted(settings)] == [(1, (1,)), (2, (3,)), (3, (2,))]


def test_who_serves_a_socket() -> None:
    """A worker must stand in every line about it, as in uWSGI; sockets without a line are everybody's."""
    text = "socket = :1\nsocket = :2\nsocket = :3\nprocesses = 4\nmap-socket = 1:4,2,4,1\nmap-socket = 1:1,2,3\n"
    found = examined(text + "map-socket = 0:3")
    assert found.problems == found.settings.warnings == ()
    assert [one.workers for one in doors.wanted(found.settings)] == [(3,), (1, 2), ()]


def test_a_mistake_in_a_socket_is_the_only_one() -> None:
    (problem,) = examined("http = 300.1.1.1:1\nhttp = :2\nmap-socket = 1:1\n").problems
    assert problem.startswith("a.ini:3: http")


def test_timeouts() -> None:
    settings = examined("socket-timeout = 7\nhttp-timeout = 8\nhttp-headers-timeout = 9\nhttp-keepalive = 5\n").settings
    assert doors.timeouts(settings, "https") == (5, 9, 8, 8)
    assert doors.timeouts(settings, "fastcgi") == (5, 7, 7, 7)
    assert doors.timeouts(settings, "scgi") == (0, 7, 7, 7)
    settings = examined(
        "http-timeout = 8\nhttp-headers-timeout = 9\nhttp-keepalive = 5\nsocket-timeout = 7\n"
        "chunked-input-timeout = 3\n"
    ).settings
    assert doors.timeouts(settings, "http") == (5, 9, 8, 3)
    assert doors.timeouts(settings, "fastcgi") == (5, 7, 7, 7)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("http = 300.1.1.1:80\n", "a.ini:3: http = 300.1.1.1:80: '300.1.1.1:80': '300.1.1.1' is not an IPv4 address"),
        ("http = :80\nsocket = :80\n", "a.ini:4: socket: 0.0.0.0:80 is used 2 times"),
        (
            "http = =1\nshared-socket = :80\n",
            "a.ini:3: http: =1: there are 1 of shared-socket: expected a number below",
        ),
        ("http = =0\n", "a.ini:3: http: =0: there are 0 of shared-socket: expected a shared-socket"),
        ("shared-socket = =0\nhttp = =0\n", "a.ini:3: shared-socket: =0: expected an address"),
        (f"zmq = {PAIR}\nzeromq-direct\nhttp = :1\n", "a.ini:5: http: expected no zeromq-direct beside it"),
        ("https = :443,/no/c.pem,/no/k.pem\n", "a.ini:3: https: '/no/c.pem': expected an existing file, PEM"),
        ("http = :1\nlisten = 2000000000\n", "a.ini:4: listen: 2000000000: expected"),
        ("", "no Mongrel2 and no socket: expected http, socket, zeromq"),
        ("http = :1\nmap-socket = 1:1\n", "a.ini:4: map-socket: 1:1: there are 1 sockets, counted from 0: expected"),
        (
            f"zmq = {PAIR}\nmap-socket = 0:1\n",
            "a.ini:4: map-socket: 0:1: there are 0 sockets, counted from 0: expected",
        ),
        ("http = :1\nmap-socket = 0:1,2\n", "a.ini:4: map-socket: 0:1,2: there are 1 workers (processes): expected"),
        (
            "http = :1\np = 3\nprocesses = 3\nmap-socket = 0:1,2\nmap-socket = 0:3\n",
            "a.ini:6, a.ini:7: map-socket: socket 0 is left without a worker: expected one that stands in all lines",
        ),
        (
            "http = :1\nprocesses = 3\nmap-socket = 0:2,3\ncheaper = 1\n",
            "a.ini:5: map-socket: socket 0: with cheaper = 1 only workers 1 to 1 are always there: expected one of",
        ),
    ],
)
def test_mistakes(text: str, told: str) -> None:
    assert any(problem.startswith(told) for problem in examined(text).problems), examined(text).problems


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("http = 8080\n", "/srv/8080: the path of a Unix socket, as it has no colon; a port is :8080"),
        ("http = :1\nshared-socket = :80\n", "0.0.0.0:80: nobody listens there; expected socket = =0"),
        (
            "http = :1\nprocesses = 4\nmap-socket = 0:1,3\n",
            "map-socket: no socket is left to these workers, which do nothing: 2, 4",
        ),
    ],
)
def test_doubts(text: str, told: str) -> None:
    found = examined(text)
    assert found.problems == ()
    assert any(told in warning for warning in found.settings.warnings), found.settings.warnings


def test_the_kernel_may_choose_several_ports() -> None:
    assert examined("http = 127.0.0.1:0\nhttp = 127.0.0.1:0\n").problems == ()


def test_a_long_queue_is_refused_only_where_it_is_asked_for(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    limit = tmp_path / "somaxconn"
    limit.write_text("64\n")
    monkeypatch.setattr(doors, "_SOMAXCONN", str(limit))
    found = examined("http = :1\n")
    assert found.problems == ()
    assert any("100, but the kernel lets only 64" in warning for warning in found.settings.warnings)
    assert examined("http = :1\nlisten = 65\n").problems[0].startswith("a.ini:4: listen: 65: expected 64 at most")
    assert examined(f"zmq = {PAIR}\nlisten = 65\n").problems == ()


def test_sockets_of_a_service_manager_are_enough() -> None:
    assert examined("", env={"LISTEN_FDS": "10"}).problems == ()
    assert examined("", env={"LISTEN_FDS": "0"}).problems != ()


@pytest.mark.parametrize(
    ("argv", "mode", "keepalive"),
    [
        (("--chmod-socket", "--http-keepalive"), "666", 75.0),
        (("--chmod-socket=660", "--http-keepalive=5"), "660", 5.0),
        (("--chmod-socket", "660", "--http-keepalive", "5"), "660", 5.0),
        (("-C660",), "660", 75.0),
        (("-C", "b.ini"), "666", 75.0),
        (("--http-keepalive", "b.ini", "-C"), "666", 75.0),
    ],
)
def test_values_that_may_be_left_out(argv: tuple[str, ...], mode: str, keepalive: float) -> None:
    found = examined("http = 127.0.0.1:0\n", *argv)
    assert found.problems == ()
    assert str(found.settings.chmod_socket) == mode
    assert found.settings.http_keepalive == keepalive
    assert not found.settings.dispatched
