"""What only FastCGI has: connections that web servers keep, and ends that are told. And pings of uwsgi."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

from support.codecs import fastcgi_request
from support.doorman import receive
from support.server import APPS, Server

if TYPE_CHECKING:
    from collections.abc import Callable

PATIENCE = 30.0
STDOUT, END = 6, 3


class Fastcgi:
    """A connection as nginx holds it."""

    def __init__(self, address: tuple[str, int]) -> None:
        self.socket = socket.create_connection(address, PATIENCE)

    def ask(self, path: str, body: bytes = b"") -> tuple[bytes, bool]:
        """The answer, and whether its end was told; not, if the connection has ended without."""
        method = "POST" if body else "GET"
        variables = {"REQUEST_METHOD": method, "REQUEST_URI": path, "SCRIPT_NAME": path, "DOCUMENT_URI": path}
        variables["CONTENT_LENGTH"] = str(len(body)) if body else ""
        self.socket.sendall(fastcgi_request(variables, body, keep=True))
        said = b""
        while header := receive(self.socket, 8):
            content = receive(self.socket, int.from_bytes(header[4:6], "big") + header[6])
            if header[1] == END:
                return said, True
            assert header[1] == STDOUT
            said += content
        return said, False


def test_fastcgi_and_pings(start_server: Callable[..., Server]) -> None:
    args = ["--pythonpath", str(APPS), "--module", "probe", "--threads", "2"]
    server = start_server(*args, "--fastcgi-socket", "127.0.0.1:0", "--socket", "127.0.0.1:0")
    server.allow("raised on purpose", "raised late on purpose")
    server.wait_ready(1, PATIENCE)
    fastcgi, uwsgi = (
        ("127.0.0.1", int(server.wait_log(rf"{kind} door at 127\.0\.0\.1:(\d+)", PATIENCE)[1]))
        for kind in ("fastcgi", "uwsgi")
    )
    connection = Fastcgi(fastcgi)
    # complete, with a body, in pieces of unknown length, refused by the application: the connection stays
    answer, ended = connection.ask("/")
    assert answer.startswith(b"Status: 200 ") and ended
    for size in (1, 70_000, 1_000_000):
        answer, ended = connection.ask("/echo", b"x" * size)
        assert ended and answer.endswith(b"\r\n\r\n" + b"x" * size)
    answer, ended = connection.ask("/pieces/3/10")
    assert ended and b"chunked" not in answer and b"Connection" not in answer
    assert connection.ask("/status/404")[1]
    # one that breaks off says so by the missing end
    answer, ended = connection.ask("/raise-late")
    assert answer.startswith(b"Status: 200 ") and not ended
    connection.socket.close()
    # before the first byte it is an answer like any other, told in full
    connection = Fastcgi(fastcgi)
    answer, ended = connection.ask("/raise")
    assert answer.startswith(b"Status: 500 ") and ended
    connection.socket.close()

    with socket.create_connection(uwsgi, PATIENCE) as monitor:
        for _ in range(2):
            monitor.sendall(b"\x64\0\0\0")
            assert receive(monitor, 4) == b"\x64\0\0\x01"
    assert server.stop(PATIENCE) == 0
