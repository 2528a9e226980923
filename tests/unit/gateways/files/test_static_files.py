"""Static files through the gateway: which file, which headers, and who answers where there is none."""

from __future__ import annotations

import gzip
import io
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

sys.path.insert(0, str(Path(__file__).parents[1]))
from serving import HeldBack
from support.channel import FakeChannel, FakeClock, make_request
from support.validator import Parsed, read_answer

from m2serve.apps.mounts import Mounts
from m2serve.config.settings import load
from m2serve.gateways.base import FILE
from m2serve.gateways.files.search import StaticFiles
from m2serve.gateways.wsgi import Pending, WsgiGateway

if TYPE_CHECKING:
    from collections.abc import Callable

OLD = 784111777
OLD_DATE = "Sun, 06 Nov 1994 08:49:37 GMT"
ALWAYS = ("--module", "x", "--zeromq", "tcp://127.0.0.1:1,tcp://127.0.0.1:2")


def application(environ: dict[str, Any], start: Any) -> list[bytes]:
    start("200 OK", [("Content-Type", "text/plain")])
    return [f"app {environ['SCRIPT_NAME']}|{environ['PATH_INFO']}".encode("latin-1")]


@pytest.fixture
def site(tmp_path: Path) -> Path:
    files = {
        "static/a.css": "css",
        "static/deep/b.js": "js",
        "static/s.py": "python",
        "static/large": "0123456789" * 10000,
        "static/empty": "",
        "more/a.css": "more",
        "more/c.txt": "c",
        "www/index.html": "front",
        "www/sub/index.html": "sub",
        "www/plain/x.unheard": "x",
        "both/media/d.txt": "d",
        "secret": "secret",
    }
    for name, text in files.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        os.utime(path, (OLD, OLD))
    (tmp_path / "static" / "out").symlink_to(tmp_path / "secret")
    return tmp_path


@pytest.fixture
def ask(site: Path) -> Callable[..., tuple[int, Parsed]]:
    """Ask a gateway with these options; gives who answered (the number of the application) and the answer."""

    def ask(
        options: str | list[str], uri: str, method: str = "GET", *, mount: str = "", pattern: str = "/", **headers: str
    ) -> Any:
        words = options.split() if isinstance(options, str) else options
        settings = load([*ALWAYS, *words], {}, directory=str(site))
        gateway = WsgiGateway(
            Mounts([("", application), *([(mount, application)] if mount else [])]),
            multithread=True,
            multiprocess=False,
            server_name_default="node.example",
            errors=io.StringIO(),
            files=StaticFiles.of(settings, str(site)),
            courier=HeldBack(),
            clock=FakeClock(),
        )
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        channel = FakeChannel()
        outcome = gateway.handle(make_request(method, uri, named, pattern=pattern), channel, "id")
        assert not isinstance(outcome, Pending)
        answer = read_answer(channel.sent, method=method, version="HTTP/1.1", closed=channel.closed)
        assert answer.status == outcome.status
        assert outcome.filed == (outcome.app == FILE)
        return outcome.app, answer

    return ask


def header(answer: Parsed, name: str) -> str | None:
    return next((value for key, value in answer.headers if key.lower() == name.lower()), None)


MAPS = "--static-map /static=static --static-map /static/=more --static-map2 /media=both --static-map /one=more/c.txt"


@pytest.mark.parametrize(
    ("uri", "body"),
    [
        ("/static/a.css", b"css"),
        ("/static//deep/./b.js", b"js"),
        ("/static/deep%2Ejs/../", None),
        ("/static/c.txt", b"c"),
        ("/static/%63.txt?v=1", b"c"),
        ("/media/d.txt", b"d"),
        ("/one", b"c"),
        ("/one/", None),
        ("/one/more", None),
        ("/ones", None),
        ("/statics/a.css", None),
        ("/static/deep", None),
        ("/static/a.css/", None),
        ("/static/nothing", None),
        ("/static/out", None),
        ("/static/../secret", None),
        ("/static/%2e%2e/secret", None),
        ("/static/deep%2Fb.js", None),
        ("/static/..%2fsecret", None),
        ("/static/a.css%00.txt", None),
        ("/static/" + "x" * 300, None),
    ],
)
def test_maps_in_their_order(ask: Any, uri: str, body: bytes | None) -> None:
    app, answer = ask(MAPS, uri)
    assert app == (0 if body is None else FILE)
    assert answer.body == body if body is not None else answer.body.startswith(b"app |")


@pytest.fixture(scope="module")
def searched(tmp_path_factory: pytest.TempPathFactory) -> StaticFiles:
    """A directory with one file, beside another that must not be reached."""
    directory = tmp_path_factory.mktemp("site")
    (directory / "static").mkdir()
    (directory / "static" / "a").write_text("served")
    (directory / "secret").write_text("secret")
    (directory / "static" / "out").symlink_to(directory / "secret")
    (directory / "static" / "up").symlink_to(directory)
    files = StaticFiles.of(load([*ALWAYS, "--check-static", "static", "--static-map=/m=static"], {}), str(directory))
    assert files is not None
    return files


STEPS = ["..", ".", "m", "a", "out", "up", "secret", "static", "", "\0", "\xff", "%2f", "a/../..", "//"]


@given(st.lists(st.sampled_from(STEPS), max_size=6), st.text(max_size=3).filter(lambda text: text.isascii()))
def test_nothing_else_is_ever_served(searched: StaticFiles, steps: list[str], text: str) -> None:
    path = "/" + "/".join([*steps, text])
    environ = {
        "REQUEST_METHOD": "GET",
        "mongrel2.PATH": path,
        "PATH_INFO": path,
        "SCRIPT_NAME": "",
        "REQUEST_URI": path,
    }
    file = searched.find(environ)
    if file is not None:
        assert file(environ, lambda status, headers: None) == [b"served"]


def test_check_static_comes_first_and_has_indexes(ask: Any) -> None:
    options = f"--static-map /sub=more {MAPS} --check-static www --static-index none.html --static-index index.html"
    assert ask(options, "/")[1].body == b"front"
    assert ask(options, "/sub")[1].body == b"sub"
    assert ask(options, "/sub/")[1].body == b"sub"
    assert ask(options, "/static/a.css")[1].body == b"css"
    assert ask(options, "/plain/")[0] == 0
    assert ask("--check-static www", "/")[0] == 0


def test_other_methods_and_skipped_names_are_the_applications(ask: Any) -> None:
    for method in ("POST", "PUT", "DELETE", "OPTIONS"):
        assert ask(MAPS, "/static/a.css", method)[0] == 0
    assert ask(MAPS, "/static/s.py")[0] == FILE
    assert ask(f"{MAPS} --static-skip-ext .py", "/static/s.py")[0] == 0
    assert ask("--check-static www --static-index index.html --static-skip-ext .html", "/sub")[0] == 0


def test_the_path_as_a_whole_and_below_a_mount(ask: Any) -> None:
    assert ask(MAPS, "/shop/static/a.css", mount="/shop")[1].body == b"css"
    assert ask("--static-map /shop/static=more", "/shop/static/c.txt", mount="/shop")[1].body == b"c"
    assert ask("--static-map /shop/static=more", "/shop/static/c.txt", pattern="/shop/")[1].body == b"c"
    app, answer = ask(MAPS, "/shop/x", mount="/shop")
    assert (app, answer.body) == (1, b"app /shop|/x")


def test_what_is_said_about_a_file(ask: Any) -> None:
    _, answer = ask(MAPS, "/static/a.css")
    assert header(answer, "content-type") == "text/css"
    assert header(answer, "last-modified") == OLD_DATE
    assert header(answer, "accept-ranges") == "bytes"
    assert header(answer, "expires") is None and header(answer, "vary") is None
    tag = header(answer, "etag")
    assert tag is not None and tag.startswith('"')
    head = ask(MAPS, "/static/a.css", "HEAD")[1]
    assert head.body == b"" and header(head, "content-length") == "3" and header(head, "etag") == tag
    for name, value in (("if_none_match", tag), ("if_modified_since", OLD_DATE)):
        known = ask(MAPS, "/static/a.css", **{name: value})[1]
        assert known.status == 304 and known.body == b"" and header(known, "etag") == tag
        assert header(known, "content-type") is None
    assert ask(MAPS, "/static/a.css", if_match='"x"')[1].status == 412
    assert header(ask("--check-static www", "/plain/x.unheard")[1], "content-type") == "application/octet-stream"


@pytest.mark.parametrize(
    ("wanted", "status", "content_range", "body"),
    [
        ("bytes=0-2", 206, "bytes 0-2/100000", b"012"),
        ("bytes=99990-", 206, "bytes 99990-99999/100000", b"0123456789"),
        ("bytes=10-50009", 206, "bytes 10-50009/100000", b"0123456789" * 5000),
        ("bytes=100000-", 416, "bytes */100000", b""),
        ("bytes=0-1,5-6", 200, None, b"0123456789" * 10000),
    ],
)
def test_parts_of_files(ask: Any, wanted: str, status: int, content_range: str | None, body: bytes) -> None:
    _, answer = ask(MAPS, "/static/large", range=wanted)
    assert (answer.status, header(answer, "content-range"), answer.body) == (status, content_range, body)
    whole = ask(f"{MAPS} --honour-range=false", "/static/large", range=wanted)[1]
    assert whole.status == 200 and len(whole.body) == 100000 and header(whole, "accept-ranges") is None


def test_empty_files(ask: Any) -> None:
    _, answer = ask(MAPS, "/static/empty")
    assert (answer.status, answer.body, header(answer, "content-length")) == (200, b"", "0")


def test_packed_files(ask: Any, site: Path) -> None:
    path = site / "static" / "a.css.gz"
    path.write_bytes(gzip.compress(b"css"))
    os.utime(path, (OLD, OLD))
    plain = ask(f"{MAPS} --static-gzip-all", "/static/a.css")[1]
    assert plain.body == b"css" and header(plain, "vary") == "Accept-Encoding"
    for option in (
        "--static-gzip-all",
        f"--static-gzip-dir {site}/static",
        "--static-gzip-ext .css",
        r"--static-gzip c\w+$",
    ):
        packed = ask(f"{MAPS} {option}", "/static/a.css", accept_encoding="gzip, br")[1]
        assert gzip.decompress(packed.body) == b"css", option
        assert (header(packed, "content-encoding"), header(packed, "content-type")) == ("gzip", "text/css")
        assert header(packed, "etag") != header(plain, "etag")
    for option in ("", "--static-gzip-dir more", "--static-gzip-ext .js"):
        assert ask(f"{MAPS} {option}", "/static/a.css", accept_encoding="gzip")[1].body == b"css"
    assert ask(f"{MAPS} --static-gzip-all", "/static/a.css", accept_encoding="gzip;q=0")[1].body == b"css"
    os.utime(path, (OLD - 1, OLD - 1))
    assert ask(f"{MAPS} --static-gzip-all", "/static/a.css", accept_encoding="gzip")[1].body == b"css"


def test_expiry(ask: Any) -> None:
    def expires(options: list[str]) -> str | None:
        return header(ask([*MAPS.split(), *options], "/static/a.css")[1], "expires")

    assert expires(["--static-expires-mtime=css$ 10"]) == "Sun, 06 Nov 1994 08:49:47 GMT"
    assert expires(["--static-expires-type-mtime=text/css=20"]) == "Sun, 06 Nov 1994 08:49:57 GMT"
    assert expires(["--static-expires-uri-mtime=^/static/ 20s"]) == "Sun, 06 Nov 1994 08:49:57 GMT"
    assert expires(["--static-expires-path-info-mtime=^/static/ 23"]) == "Sun, 06 Nov 1994 08:50:00 GMT"
    assert expires(["--static-expires=js$ 10", "--static-expires-uri=^/media 10"]) is None
    both = ["--static-expires-type-mtime=text/css=20", "--static-expires-mtime=/* 10"]
    assert expires(both) == "Sun, 06 Nov 1994 08:49:47 GMT"
    assert expires(["--static-expires=/* 10"]) != "Sun, 06 Nov 1994 08:49:47 GMT"


def test_more_media_types(ask: Any, site: Path) -> None:
    (site / "types").write_text("text/x-unheard unheard\n")
    answer = ask("--check-static www --mimefile types", "/plain/x.unheard")[1]
    assert header(answer, "content-type") == "text/x-unheard"


def test_no_descriptor_stays_open(ask: Any) -> None:
    ask(MAPS, "/static/large")
    before = len(os.listdir("/proc/self/fd"))
    for uri, method in (("/static/large", "HEAD"), ("/static/large", "GET"), ("/static/deep", "GET"), ("/one", "GET")):
        ask(f"{MAPS} --static-gzip-all", uri, method, accept_encoding="gzip", if_none_match="x")
    assert len(os.listdir("/proc/self/fd")) == before
