"""Internal routing, through real processes."""

from __future__ import annotations

import base64
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

import pytest
from support.http import Connection, get
from support.server import APPS, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from support.mongrel2 import Mongrel2
    from support.server import Server

INI = """[uwsgi]
zeromq = {pair}
module = probe
pythonpath = {apps}
threads = 2
req-logger = file:{log}
log-format = %(status) %(uri) %(user) %(var.SITE)

route = ^/old/(.*)$ redirect-permanent:/new/$1
route-run = addheader:X-Frame-Options: DENY
route = ^/quiet donotlog:
route-host = ^forbidden\\. break:403 Forbidden
route-if = contains:${{PATH_INFO}};/.git return:404
route = ^/elsewhere/closed http:{files}/nobody
route = ^/elsewhere http:{other},inner.test
route = ^/files/(.*) static:{files}/$1
route = ^/env goto:private
route = . goto:application
route-label = private
route-run = basicauth:Probe,ann:secret
route-run = addvar:SITE=private
route-label = application
route = ^/quiet/(.*) rewrite:/$1
pull-header = Content-Type TYPE
response-route-if = startswith:${{TYPE}};application/json addheader:X-Type: ${{TYPE}}
response-route-status = ^500 addheader:X-Never: seen
error-route-status = 410 static:{files}/a.txt
error-route-status = 500 addheader:X-Sorry: ${{REQUEST_URI}}
error-route-status = 500 return:503 Later
response-route = ^/env remheader:X-Unwanted
"""


class Echo(BaseHTTPRequestHandler):
    """The other server: says what it was asked."""

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        said = f"{self.path} {self.headers['Host']} {self.headers['X-Forwarded-For']} ".encode() + body
        self.send_response(202, "Taken")
        self.send_header("X-Other", "yes")
        self.end_headers()
        self.wfile.write(said)

    def log_message(self, format: str, *args: object) -> None:
        """Nowhere."""


@pytest.fixture
def other() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Echo) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        yield f"127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_rules_of_a_file(mongrel2: Mongrel2, start_server: Callable[..., Server], tmp_path: Path, other: str) -> None:
    files, log, ini = tmp_path / "files", tmp_path / "requests.log", tmp_path / "app.ini"
    files.mkdir()
    (files / "a.txt").write_text("a file")
    ini.write_text(INI.format(pair=mongrel2.pair, apps=APPS, log=log, files=files, other=other))
    server = start_server("--ini", str(ini), "--strict").wait_ready(1)
    server.allow("raised on purpose", "request failed", "http:")

    address = mongrel2.address
    answer = get(address, "/old/a?b=c")
    assert (answer.status, answer.get("location")) == (301, "/new/a")
    answer = get(address, "/files/a.txt")
    assert (answer.status, answer.body, answer.get("x-frame-options")) == (200, b"a file", "DENY")
    assert get(address, "/files/no.txt").status == 404
    assert get(address, "/x/.git/config").status == 404
    answer = get(address, "/quiet/echo")
    assert (answer.status, answer.get("x-frame-options")) == (200, "DENY")
    assert get(address, "/env").status == 401
    proof = base64.b64encode(b"ann:secret").decode()
    answer = get(address, "/env", headers=(("Authorization", f"Basic {proof}"),))
    assert answer.status == 200
    assert b'"REMOTE_USER": "ann"' in answer.body
    assert (answer.get("content-type"), answer.get("x-type")) == (None, "application/json")
    assert get(address, "/", headers=(("Host", "forbidden.example.org"),)).status == 403

    with Connection(address) as connection:
        answer = connection.request("/elsewhere/a?b=c", method="POST", body=b"x" * 10_000)
    assert (answer.status, answer.get("x-other"), answer.get("x-frame-options")) == (202, "yes", "DENY")
    assert re.fullmatch(rb"/elsewhere/a\?b=c inner\.test 127\.0\.0\.1 x{10000}", answer.body)
    assert get(address, "/elsewhere/closed").status == 502

    answer = get(address, "/status/410")
    assert (answer.status, answer.body) == (200, b"a file")
    answer = get(address, "/raise")
    assert (answer.status, answer.body, answer.get("x-sorry")) == (503, b"Later\n", "/raise")

    def lines() -> list[str]:
        return log.read_text().splitlines() if log.exists() else []

    wait_until(lambda: {"403 / - -", "200 /env ann private"} <= set(lines()), 10, "the lines of the last requests")
    assert not any("/quiet" in line for line in lines())
