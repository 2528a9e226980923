"""HTTP as the client sees it: framing, connections, mistakes of the application."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from support.http import Closed, Connection, get, request_bytes
from support.server import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from support.mongrel2 import Mongrel2
    from support.server import Server


@pytest.fixture(params=[(), ("--zeromq-direct",)], ids=["dispatched", "direct"])
def server(request: pytest.FixtureRequest, mongrel2: Mongrel2, serve: Callable[..., Server]) -> Server:
    """Two workers with the probe, in both topologies."""
    started = serve(mongrel2, threads=4, options=request.param)
    started.allow("on purpose", "control character in header")
    return started


@pytest.fixture
def client(server: Server, mongrel2: Mongrel2) -> Iterator[Connection]:
    with Connection(mongrel2.address) as connection:
        yield connection


def still_open(client: Connection) -> bool:
    return client.request("/").text == "hello\n"


def test_a_connection_is_kept(client: Connection) -> None:
    for number in range(20):
        response = client.request(f"/gen/{number}")
        assert response.text.count("chunk") == number
        assert response.get("connection") is None


def test_connection_close_is_honoured(client: Connection) -> None:
    response = client.request("/", headers=(("Connection", "close"),))
    assert (response.text, response.get("connection")) == ("hello\n", "close")
    assert client.read_to_end() == b""


def test_http_10_is_closed(client: Connection) -> None:
    response = client.request("/gen/3", version="HTTP/1.0")
    assert response.framing == "close", "chunks are unknown to HTTP/1.0"
    assert response.text.count("chunk") == 3


def test_http_10_with_keep_alive_is_kept(client: Connection) -> None:
    headers = (("Connection", "keep-alive"),)
    for _ in range(2):
        response = client.request("/", version="HTTP/1.0", headers=headers)
        assert (response.text, response.framing) == ("hello\n", "length")
        assert response.get("connection") == "keep-alive"


def test_head_has_the_headers_and_no_body(client: Connection) -> None:
    response = client.request("/", method="HEAD")
    assert response.get("content-length") == "6"
    assert client.request("/gen/3", method="HEAD").status == 200
    assert client.request("/raise", method="HEAD").status == 500
    assert client.read_to_end() == b"", "a body of a HEAD answer, or of the error page"


@pytest.mark.parametrize("status", [204, 304])
def test_statuses_without_a_body(client: Connection, status: int) -> None:
    response = client.request(f"/status/{status}")
    assert response.status == status
    assert response.get("transfer-encoding") is None
    assert response.get("content-length") is None
    assert still_open(client)


def test_a_generator_is_chunked(client: Connection) -> None:
    response = client.request("/gen/50")
    assert response.framing == "chunked"
    assert response.text == "".join(f"chunk {number}\n" for number in range(50))
    assert still_open(client)


def test_an_empty_generator(client: Connection) -> None:
    assert client.request("/gen/0").body == b""
    assert still_open(client)


def test_write_before_return(client: Connection) -> None:
    assert client.request("/write").text == "written twice and returned"
    assert still_open(client)


def test_a_large_answer(client: Connection) -> None:
    assert client.request("/big/5000000").body == b"x" * 5_000_000
    assert still_open(client)


def test_every_answer_is_dated_once(client: Connection) -> None:
    response = client.request("/")
    assert re.fullmatch(r"\w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT", response.get("date") or "")
    assert response.get("server") is not None


@pytest.mark.parametrize("path", ["/raise", "/exit"])
def test_an_exception_is_a_500_found_in_the_log(client: Connection, server: Server, path: str) -> None:
    response = client.request(path)
    assert response.status == 500
    assert "on purpose" not in response.text, "what went wrong is not the client's business"
    found = re.search(r"[0-9a-f]{8}-[0-9a-f]+", response.text + str(response.headers))
    assert found is not None, f"no request id in {response}"
    server.wait_log(rf"ERROR .*{found[0]}")
    assert "on purpose" in server.log
    # the worker goes on
    with Connection(client.socket.getpeername()) as other:
        assert still_open(other)
    assert "died" not in server.log


def test_a_late_exception_closes(client: Connection, server: Server) -> None:
    client.send(request_bytes("/raise-late"))
    with pytest.raises(Closed) as caught:
        client.read()
    assert b"the beginning" in caught.value.partial
    assert b"500" not in caught.value.partial
    server.wait_log("raised late on purpose")


def test_a_header_with_a_line_end_is_refused(client: Connection) -> None:
    response = client.request("/inject")
    assert response.status == 500
    assert response.get("x-injected") is None


def test_a_body_shorter_than_declared_closes(client: Connection, server: Server) -> None:
    client.send(request_bytes("/short"))
    with pytest.raises(Closed) as caught:
        client.read()
    assert caught.value.partial == b"short"
    server.wait_log("shorter than Content-Length")


def test_a_body_longer_than_declared_is_cut(client: Connection, server: Server) -> None:
    response = client.request("/long")
    assert response.text == "longe"
    assert client.read_to_end() == b"", "bytes beyond Content-Length would be the next answer"
    server.wait_log("longer than Content-Length")


def test_pipelined_requests_are_answered_in_order(mongrel2: Mongrel2, serve: Callable[..., Server]) -> None:
    """The slowest first: whoever answers as soon as it can is out of order."""
    serve(mongrel2, processes=2, threads=8)
    paths = [f"/sleep/{delay}/{number}" for number, delay in enumerate((0.3, 0, 0.1, 0, 0.05, 0, 0.2, 0, 0, 0.01))]
    for _ in range(3):
        with Connection(mongrel2.address) as connection:
            connection.send(b"".join(map(request_bytes, paths)))
            assert [connection.read().text for _ in paths] == paths


def test_close_is_called_when_the_client_leaves(client: Connection, server: Server) -> None:
    client.send(request_bytes("/close-log/early-leaver"))
    wait_until(lambda: b"tick" in client.socket.recv(4096), 20, "the beginning of the answer")
    client.close()
    # direct: the notice may come to another thread, and lie there until that one is idle
    server.wait_log("closed early-leaver")


def test_garbled_requests_do_no_harm(server: Server, mongrel2: Mongrel2) -> None:
    for data in (b"\r\n\r\n", b"GET\r\n\r\n", b"GET / HTTP/1.1\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nabcde"):
        with Connection(mongrel2.address) as connection:
            connection.send(data)
            connection.socket.shutdown(1)
            assert not connection.read_to_end().startswith(b"HTTP/1.1 200")
    assert get(mongrel2.address).status == 200
