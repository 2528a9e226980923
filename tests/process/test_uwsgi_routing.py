"""The same rules for requests and answers, in uWSGI and in m2serve: who answers, with what."""

from __future__ import annotations

import re
import shutil
import signal
import subprocess
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

import pytest
from support.http import Connection
from support.ports import free_ports
from support.server import APPS, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from support.server import Server

UWSGI = shutil.which("uwsgi-core")

pytestmark = pytest.mark.skipif(UWSGI is None, reason="uWSGI is not installed (Debian: uwsgi-core)")

RULES = r"""
route = ^/old/(.*) redirect-permanent:/new/$1
route = ^/see redirect:/other?from=${PATH_INFO}
route-qs = secret=1 return:403
route-host = ^forbidden\. return:403
route-user-agent = ^bad return:400
route-if = startswith:${PATH_INFO};/if/ addheader:X-If: ${REQUEST_METHOD}
route-if-not = empty:${HTTP_X_ASK} addheader:X-Asked: ${HTTP_X_ASK}
route-if = equal:${cookie[id]};7 addheader:X-Cookie: seven
route-if = regexp:${REQUEST_URI};^/([a-z]+)/7 addheader:X-Seven: yes
route = ^/goto goto:end
route-run = addheader:X-Passed: yes
route = ^/gone return:410
route = ^/no break:404 Not Here
route = ^/static static:@FILES@/a.txt
route-label = end
route = ^/proxied http:@OTHER@
route-run = return:418
error-route-status = 404 redirect:/sorry
error-route-status = 410 addheader:X-Gone: ${PATH_INFO}
error-route-status = 403 return:402
error-route-status = 402 return:401
error-route-if = equal:${uwsgi[status]};418 addheader:X-Tea: ${uwsgi[status]}
error-route-status = 400 continue:
error-route-run = addheader:X-Error: seen
response-route-status = 418 addheader:X-Response: tea
response-route-status = 302 addheader:X-Response: found
response-route = ^/static addheader:X-Response: file
"""
ASKED: tuple[tuple[str, tuple[tuple[str, str], ...]], ...] = (
    ("/old/a/b?c=d", ()),
    ("/see", ()),
    ("/x?secret=1", ()),
    ("/x", (("Host", "forbidden.test"),)),
    ("/x", (("User-Agent", "bad thing"),)),
    ("/if/", ()),
    ("/x", (("X-Ask", "a b"), ("Cookie", "a=b; id=7"))),
    ("/abc/7", ()),
    ("/goto", ()),
    ("/gone", ()),
    ("/no", ()),
    ("/static", ()),
    ("/proxied/x?y", ()),
    ("/x", ()),
)
SEEN = re.compile(r"(?i)location|x-.*")


class Echo(BaseHTTPRequestHandler):
    """The other server."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("X-Other", "yes")
        self.end_headers()
        self.wfile.write(self.path.encode())

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


@contextmanager
def uwsgi(directory: Path, rules: str) -> Iterator[tuple[str, int]]:
    (port,) = free_ports(1)
    plugins = "router_http,router_static,router_redirect"
    head = f"[uwsgi]\nhttp-socket = 127.0.0.1:{port}\nneed-plugin = {plugins}\nmaster = true\n"
    (directory / "uwsgi.ini").write_text(head + rules)
    log = directory / "uwsgi.log"
    with open(log, "wb") as file:
        process = subprocess.Popen([str(UWSGI), "--ini", "uwsgi.ini"], cwd=directory, stdout=file, stderr=file)
    try:
        wait_until(
            lambda: "spawned uWSGI worker" in log.read_text() or process.poll() is not None, 30, "uWSGI is there"
        )
        if process.poll() is not None:
            pytest.skip(f"uWSGI cannot be had with {plugins}")
        yield "127.0.0.1", port
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(30)


def answers(address: tuple[str, int]) -> dict[str, object]:
    found: dict[str, object] = {}
    for target, headers in ASKED:
        with Connection(address) as connection:
            answer = connection.request(target, headers=headers)
        kept = sorted((name.title(), value) for name, value in answer.headers if SEEN.fullmatch(name))
        body = answer.body if answer.status == 200 else b""
        found[f"{target} {headers}"] = (answer.status, kept, body)
    return found


def test_both_answer_the_same(start_server: Callable[..., Server], tmp_path: Path, other: str) -> None:
    (tmp_path / "a.txt").write_text("a file")
    rules = RULES.replace("@FILES@", str(tmp_path)).replace("@OTHER@", other)
    (tmp_path / "m2serve.ini").write_text(f"[uwsgi]\n{rules}")
    door = ("--http", "127.0.0.1:0", "--pythonpath", str(APPS), "--module", "probe", "--strict")
    server = start_server(*door, "m2serve.ini", cwd=tmp_path).wait_ready()
    port = int(server.wait_log(r"http door at 127\.0\.0\.1:(\d+)")[1])
    with uwsgi(tmp_path, rules) as address:
        theirs = answers(address)
    ours = answers(("127.0.0.1", port))
    assert {key: (theirs[key], ours[key]) for key in ours if theirs[key] != ours[key]} == {}
    assert server.stop() == 0
