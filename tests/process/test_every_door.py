"""The same application through every door, and through Mongrel2: what it is told, and what becomes of its answers."""

from __future__ import annotations

import contextlib
import json
import re
import socket
from typing import TYPE_CHECKING, Any

import pytest
from support.cgi import ScgiConnection, UwsgiConnection
from support.doors import WAYS, running
from support.http import BadResponse, Closed, Connection
from support.server import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from support.doors import Running, Way

MIB = 1024 * 1024
FILE = bytes(range(250)) * 8000
"""Two million bytes: more than sockets take at once."""
LIMIT = 2 * MIB
HTTP = ("http", "http-unix")


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """One server for all."""
    files = tmp_path_factory.mktemp("files")
    (files / "page.txt").write_bytes(FILE)
    options = ["--static-map", f"/static={files}", "--limit-post", str(LIMIT), "--buffer-size", "16k"]
    with running(tmp_path_factory.mktemp, *options) as found:
        found.server.allow("on purpose", "control character in header", "AssertionError")
        yield found


@pytest.fixture(params=WAYS)
def way(request: pytest.FixtureRequest, served: Running) -> Way:
    return served.way(request.param)


@pytest.fixture(params=HTTP)
def http(request: pytest.FixtureRequest, served: Running) -> Way:
    """Doors at which HTTP's own matters are ours."""
    return served.way(request.param)


def environ(way: Way, target: str, **how: Any) -> dict[str, Any]:
    answer = way.get(target, **how)
    assert answer.status == 200, answer
    found: dict[str, Any] = json.loads(answer.text)
    return found


# --- what the application is told -----------------------------------------------------

OWN = {
    "os.environ", "cwd", "wsgi.input", "m2serve.request_id", "m2serve.client", "m2serve.endpoint", "m2serve.connected",
    "m2serve.uploads",
}  # fmt: skip
"""What differs from request to request, or names the door."""
OF_THE_FRONT = {
    "REMOTE_ADDR", "REMOTE_PORT", "DOCUMENT_ROOT", "DOCUMENT_URI", "REQUEST_SCHEME", "GATEWAY_INTERFACE",
    "SERVER_SOFTWARE", "SCGI", "HTTP_X_FORWARDED_FOR",
}  # fmt: skip
"""What a web server says of itself and of its client, or does not."""


def test_the_environ_is_the_same(way: Way, served: Running) -> None:
    how: dict[str, Any] = {
        "method": "POST",
        "headers": (("Host", "shop.test"), ("X-Twice", "1"), ("X-Twice", "2"), ("Cookie", "a=1"),
                    ("Content-Type", "text/x-test"), ("X-Latin", "caf\xe9"), ("X-Empty", "")),
        "body": b"12345",
    }  # fmt: skip
    target = "/env/caf%C3%A9/a%2Fb//c?q=%20a&b=c%26d"
    found, wanted = environ(way, target, **how), environ(served.way("http"), target, **how)
    assert found["PATH_INFO"] == "/env/caf\xc3\xa9/a/b//c"
    assert found["REQUEST_URI"] == found["RAW_URI"] == target
    assert found["QUERY_STRING"] == "q=%20a&b=c%26d"
    assert found["HTTP_X_TWICE"] == "1, 2"
    assert (found["SCRIPT_NAME"], found["HTTP_HOST"], found["CONTENT_LENGTH"]) == ("", "shop.test", "5")
    assert re.fullmatch(r"[0-9a-f]{8}-[0-9a-f]+", found["m2serve.request_id"])
    # a name of its own for a web server's host is not the client's
    names = set() if way.speaks_http else {"SERVER_NAME"}
    for one in (found, wanted):
        for key in [key for key in one if key in OWN | OF_THE_FRONT | names or key.startswith("mongrel2.")]:
            del one[key]
    assert found == wanted


def test_an_application_without_a_file_wrapper(tmp_path_factory: pytest.TempPathFactory) -> None:
    """It is not offered one at any door, wherever the application is mounted."""
    options = ("--wsgi-disable-file-wrapper", "--worker-mount", "/shop=probe")
    with running(tmp_path_factory.mktemp, *options, processes=1, threads=1) as found:
        for name in WAYS:
            for prefix in ("", "/shop"):
                told = environ(found.way(name), f"{prefix}/env")
                assert told["SCRIPT_NAME"] == prefix
                assert "wsgi.version" in told
                assert "wsgi.file_wrapper" not in told


@pytest.mark.parametrize("target", ["/judged/", "/judged/a%20b/c?x=1", "/judged/sleep/0"])
def test_strict_judges_are_content(way: Way, target: str) -> None:
    """The standard library's validator, and ours, between the server and the application."""
    answer = way.get(target)
    assert answer.status in (200, 404), answer
    assert way.get("/judged/take", method="POST", body=b"x" * 5000).body == b"x" * 5000


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "PROPFIND"])
def test_methods(way: Way, method: str) -> None:
    found = environ(way, "/env", method=method, body=b"" if method == "GET" else b"body")
    assert found["REQUEST_METHOD"] == method
    # SCGI cannot be without one
    none = "0" if way.name == "scgi" else None
    assert found.get("CONTENT_LENGTH") == (none if method == "GET" else "4")


@pytest.mark.parametrize("size", [0, 1, 5000, 65536, MIB])
def test_bodies(way: Way, size: int) -> None:
    body = (b"%07d\n" * (size // 8 + 1) % tuple(range(size // 8 + 1)))[:size]
    assert way.get("/echo", method="POST", body=body).body == body


def test_a_body_too_large_is_refused_before_it_is_sent(way: Way, served: Running) -> None:
    with way.open() as connection:
        head = connection.encode("/echo", "POST", (("Content-Length", str(LIMIT + 1)),), b"", "HTTP/1.1")
        connection.send(head)
        assert connection.read().status == 413
        assert connection.read_to_end() == b""
    assert way.get("/echo", method="POST", body=b"after").body == b"after"


# --- what becomes of its answers ------------------------------------------------------


def test_a_generator_is_sent_piece_by_piece(way: Way, tmp_path: Path) -> None:
    with way.open() as connection:
        gate = tmp_path / "gate"
        connection.ask(f"/gated?{gate}")
        data = b""
        while b"first\n" not in data:
            piece = connection.socket.recv(65536)
            assert piece, data
            data += piece
        gate.touch()
        while b"second\n" not in data:
            piece = connection.socket.recv(65536)
            assert piece, data
            data += piece
    assert way.get("/gen/50").text == "".join(f"chunk {number}\n" for number in range(50))
    assert way.get("/gen/0").body == b""
    assert way.get("/write").text == "written twice and returned"


def test_head_has_the_headers_and_no_body(way: Way) -> None:
    answer = way.get("/", method="HEAD")
    assert (answer.status, answer.get("content-length"), answer.body) == (200, "6", b"")
    assert way.get("/gen/3", method="HEAD").status == 200
    assert way.get("/raise", method="HEAD").status == 500


@pytest.mark.parametrize("status", [204, 304])
def test_statuses_without_a_body(way: Way, status: int) -> None:
    answer = way.get(f"/status/{status}")
    assert answer.status == status
    assert answer.get("transfer-encoding") is None
    assert answer.get("content-length") is None


def test_headers_of_an_answer(way: Way) -> None:
    answer = way.get("/headers")
    assert answer.all("set-cookie") == ["a=1", "b=2"]
    assert answer.get("x-latin") == "caf\xe9"
    assert re.fullmatch(r"\w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT", answer.get("date") or "")
    assert answer.get("server") is not None
    refused = way.get("/inject")
    assert (refused.status, refused.get("x-injected")) == (500, None)


def test_large_answers(way: Way, tmp_path: Path) -> None:
    assert way.get("/big/3000000").body == b"x" * 3_000_000
    file = tmp_path / "file"
    file.write_bytes(FILE)
    for query in (f"file={file}", f"file={file}&length=1"):
        assert way.get(f"/downloads/file/{len(FILE)}?{query}").body == FILE
    assert way.get("/wrapped").body == (b"0123456789" * 10_000)[5:]


def test_an_exception_is_a_500_found_in_the_log(way: Way, served: Running) -> None:
    answer = way.get("/raise")
    assert answer.status == 500
    assert "on purpose" not in answer.text
    found = re.search(r"[0-9a-f]{8}-[0-9a-f]+", answer.text + str(answer.headers))
    assert found is not None, answer
    served.server.wait_log(rf"ERROR .*{found[0]}")


@pytest.mark.parametrize("path", ["/raise-late", "/short"])
def test_an_answer_that_breaks_off_is_no_whole_one(way: Way, path: str) -> None:
    if path == "/raise-late" and way.connect in (UwsgiConnection, ScgiConnection) and isinstance(way.address, str):
        pytest.skip("these protocols have no other end than that of the connection, and Unix sockets no reset")
    with way.open() as connection, pytest.raises(Closed):
        connection.request(path)


def test_a_body_longer_than_declared_is_cut(way: Way) -> None:
    assert way.get("/long").text == "longe"


def test_close_is_called_when_the_client_leaves(way: Way, served: Running) -> None:
    with way.open() as connection:
        connection.ask(f"/close-log/left-{way.name}")
        wait_until(lambda: b"tick" in connection.socket.recv(4096), 20, "the beginning of the answer")
    served.server.wait_log(f"closed left-{way.name}")


def test_static_files(way: Way) -> None:
    whole = way.get("/static/page.txt")
    assert (whole.status, whole.get("content-type"), whole.body) == (200, "text/plain", FILE)
    assert way.get("/static/page.txt", method="HEAD").get("content-length") == str(len(FILE))
    part = way.get("/static/page.txt", headers=(("Range", "bytes=1000-300999"),))
    assert (part.status, part.body) == (206, FILE[1000:301000])
    date = whole.get("last-modified")
    assert date is not None
    assert way.get("/static/page.txt", headers=(("If-Modified-Since", date),)).status == 304
    assert way.get("/static/..%2f..%2fetc/passwd").status == 404


def test_the_log_and_the_statistics_know_of_it(way: Way, served: Running) -> None:
    def requests() -> int:
        return sum(worker["requests"] for worker in served.doors.statistics()["workers"])

    # nothing else runs, but the last test's requests may be about to be counted
    wait_until(lambda: not any(core["in_request"] for worker in served.doors.statistics()["workers"]
                               for core in worker["cores"]), 20, "all is quiet")  # fmt: skip
    before = requests()
    identity = environ(way, f"/env/counted-{way.name}?q=1")["m2serve.request_id"]
    assert identity
    served.server.wait_log(rf"GET /env/counted-{way.name}\?q=1 => generated \d+ bytes .*\(HTTP/1.1 200\)")
    wait_until(lambda: requests() > before, 20, "one request more")


# --- HTTP's own matters ---------------------------------------------------------------


def still_open(connection: Connection) -> bool:
    return connection.request("/").text == "hello\n"


def test_a_connection_is_kept(http: Way) -> None:
    with http.open() as client:
        for number in range(1, 20):
            answer = client.request(f"/gen/{number}")
            assert (answer.framing, answer.text.count("chunk")) == ("chunked", number)
            assert answer.get("connection") is None
        assert client.request("/echo", method="POST", body=b"x" * 100_000).body == b"x" * 100_000
        assert client.request("/", method="HEAD").get("content-length") == "6"
        assert client.request("/status/204").status == 204
        assert still_open(client)
        assert client.request("/", headers=(("Connection", "close"),)).get("connection") == "close"
        assert client.read_to_end() == b""


def test_http_10(http: Way) -> None:
    with http.open() as client:
        for _ in range(2):
            answer = client.request("/", version="HTTP/1.0", headers=(("Connection", "keep-alive"),))
            assert (answer.framing, answer.get("connection")) == ("length", "keep-alive")
        answer = client.request("/gen/3", version="HTTP/1.0")
        assert (answer.framing, answer.text.count("chunk")) == ("close", 3)


def test_pipelined_requests_are_answered_in_order(http: Way) -> None:
    paths = [f"/sleep/{delay}/{number}" for number, delay in enumerate((0.2, 0, 0.1, 0, 0.05, 0, 0, 0.01))]
    with http.open() as client:
        client.send(b"".join(client.encode(path, "GET", (), b"", "HTTP/1.1") for path in paths))
        assert [client.read().text for _ in paths] == paths
        post = [client.encode("/echo", "POST", (), b"%d" % number * 1000, "HTTP/1.1") for number in range(5)]
        client.send(b"".join(post))
        assert [client.read().body for _ in post] == [b"%d" % number * 1000 for number in range(5)]


def test_a_chunked_body(http: Way) -> None:
    """Extensions and trailers are skipped."""
    coding = (("Transfer-Encoding", "chunked"),)
    with http.open() as client:
        for size in (3, 100_000):
            chunk = b"%x;ext=1\r\n%b\r\n" % (size, b"y" * size)
            client.ask("/echo", method="POST", headers=coding, body=chunk * 3 + b"0\r\nX-Trailer: 1\r\n\r\n")
            assert client.read().body == b"y" * size * 3
        assert still_open(client)
        client.ask("/echo", method="POST", headers=coding, body=b"%x\r\n" % LIMIT + bytes(LIMIT) + b"\r\n1\r\nx")
        assert client.read().status == 413


def test_a_client_that_waits_for_100_continue(http: Way) -> None:
    expects = (("Expect", "100-continue"), ("Content-Length", "5"))
    with http.open() as client:
        client.ask("/echo", method="POST", headers=expects)
        assert client.read().status == 100
        client.send(b"12345")
        assert client.read().body == b"12345"
        assert still_open(client)
        client.ask("/echo", method="POST", headers=(expects[0], ("Content-Length", str(LIMIT + 1))))
        assert client.read().status == 413, "at once, in place of a 100"
        assert client.read_to_end() == b""


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"x" * 20_000, 431),
        (b"GET / HTTP/1.1\r\nHost: a\r\n" + b"".join(b"X-%d: 1\r\n" % n for n in range(200)), 431),
        (b"GET /" + b"x" * 20_000 + b" HTTP/1.1\r\nHost: a\r\n", 414),
        (b"GET / HTTP/1.1\r\n", 400),
        (b"GET / HTTP/2.0\r\nHost: a\r\n", 505),
        (b"G\x00T / HTTP/1.1\r\nHost: a\r\n", 400),
        (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 6\r\n", 400),
        (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n", 400),
        (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n", (400, 501)),
    ],
    ids=["head", "headers", "target", "no-host", "version", "nul", "two-lengths", "two-framings", "coding"],
)
def test_refusals_end_the_connection(served: Running, head: bytes, status: int | tuple[int, ...]) -> None:
    with served.way("http").open() as client:
        client.send(head + b"\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n")
        answer = client.read()
        assert answer.status in (status if isinstance(status, tuple) else (status,))
        assert answer.get("connection") == "close"
        assert client.read_to_end() == b""


# --- the other protocols' own ---------------------------------------------------------


def test_several_requests_on_one_connection_of_fastcgi(served: Running) -> None:
    with served.way("fastcgi-kept").open() as client:
        for number in range(5):
            assert client.request(f"/gen/{number}").text.count("chunk") == number
            assert client.request("/echo", method="POST", body=b"x" * number * 50_000).body == b"x" * number * 50_000


def test_uwsgi_answers_a_ping_and_obeys_nobody(served: Running, tmp_path: Path) -> None:
    way = served.way("uwsgi")
    with way.open() as client:
        client.send(b"\x64\x00\x00\x00")
        client.socket.shutdown(socket.SHUT_WR)
        assert client.read_to_end() == b"\x64\x00\x00\x01"
    for modifier in (5, 17, 18, 22, 31, 48, 109, 173, 200, 224, 255):
        with way.open() as client:
            client.send(bytes((modifier, 5, 0, 0)) + b"print")
            with contextlib.suppress(BadResponse):
                assert not client.read_to_end().startswith(b"HTTP/1.1 200")
    evil = tmp_path / "evil.py"
    evil.write_text("raise SystemExit('obeyed')\n")
    with way.open() as client:
        packet = client.encode("/env", "GET", (), b"", "HTTP/1.1")
        more = b""
        for name, value in ((b"UWSGI_FILE", str(evil).encode()), (b"UWSGI_CHDIR", b"/"), (b"UWSGI_SCHEME", b"https")):
            more += len(name).to_bytes(2, "little") + name + len(value).to_bytes(2, "little") + value
        size = int.from_bytes(packet[1:3], "little") + len(more)
        client.send(b"\0" + size.to_bytes(2, "little") + b"\0" + packet[4:] + more)
        found = json.loads(client.read().text)
    assert not [key for key in found if key.startswith("UWSGI_")]
    assert (found["wsgi.url_scheme"], found["cwd"] == "/") == ("https", False)
    assert "obeyed" not in served.server.log
