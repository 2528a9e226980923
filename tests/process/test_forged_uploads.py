"""Upload messages that lie or are broken: none may open, read or delete a file that is not its own."""

from __future__ import annotations

import ctypes
import json
import os
import struct
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import tnetstring
from support.fake import FakeMongrel2
from support.http import get
from support.server import APPS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from support.mongrel2 import Mongrel2
    from support.server import Server

START, DONE = "x-mongrel2-upload-start", "x-mongrel2-upload-done"
LENGTH = 30_000
TOUCHED = 0x20 | 0x400 | 0x800  # IN_OPEN, IN_DELETE_SELF, IN_MOVE_SELF of inotify(7)


class Case(NamedTuple):
    """What is sent on one connection, and what its client must hear."""

    name: str
    statuses: list[int]
    """Of the answers, in order."""
    messages: list[tuple[dict[str, Any], bytes]]
    """Headers and bodies."""
    between: Callable[[Path], object] | None = None
    """Done to the upload's file before the last message."""


class Table:
    """Makes the cases; their files lie in *store*."""

    def __init__(self, store: Path, outside: Path) -> None:
        self.store = store
        self.victim = outside / "victim"
        self.planted = store / "up.planty"
        for path in (self.victim, self.planted):
            path.write_bytes(b"secret" * 6000)
        self._count = 0

    def genuine(self, size: int = LENGTH) -> str:
        """The name of a file as Mongrel2 makes it."""
        self._count += 1
        path = self.store / f"up.A{self._count:05d}"
        path.write_bytes(b"u" * size)
        return str(path)

    def forged(self) -> Iterator[Case]:
        """One message each, of a client that has never uploaded anything."""
        for name in (str(self.victim), str(self.planted), "/etc/passwd", "", "up.abcdef"):
            both = {START: name, DONE: name}
            yield Case(f"no body, {name}", [200], [(both, b"")])
            yield Case(f"a body beside, {name}", [200], [({**both, "content-length": "3"}, b"abc")])
            yield Case(f"a large body beside, {name}", [200], [({**both, "content-length": "30000"}, b"b" * LENGTH)])
        both = {START: str(self.planted), DONE: str(self.planted)}
        yield Case("only start", [200], [({START: str(self.planted)}, b"")])
        yield Case("only done", [200], [({DONE: str(self.planted)}, b"")])
        for framing in (
            {"content-length": "99999999999"},
            {"content-length": ["0", "30000"]},
            {"content-length": "0x7530"},
            {"content-length": "0 30000"},
            {"content-length": "-30000"},
            {"content-length": ""},
            {"content-length": "0", "transfer-encoding": "chunked"},
            {"transfer-encoding": "Chunked"},
            {"transfer-encoding": ["x", "chunked"]},
            {"content-length": "30000"},  # could be true, but its start was never seen
            {"transfer-encoding": "chunked"},
        ):
            yield Case(f"declared {framing}", [400], [({**both, **framing}, b"")])
        length = {"content-length": "30000"}
        yield Case("two starts", [400], [({**length, START: [str(self.planted)] * 2}, b"")])
        yield Case("a handshake", [501], [({**both, **length, "METHOD": "WEBSOCKET_HANDSHAKE"}, b"")])
        yield Case("no VERSION", [400], [({**both, **length, "VERSION": None}, b"")])
        yield Case("a client's own stream", [200], [({**both, "upload_stream": "0"}, b"")])
        for name in (
            "/etc/passwd",
            str(self.victim),
            f"{self.store}/../victim",
            f"{self.store}/up.../../victim",
            "up.abcdef",
            f"{self.store}/up.abcde",
            f"{self.store}/up.abcdef\n",
            f"{self.store}/up.abcde\x00",
            f"{self.store}/up." + "x" * 5000,
        ):
            yield Case(f"a start for {name[:80]!a}", [500], [({START: name, **length}, b"")])
            yield Case(f"a done for {name[:80]!a}", [500], [({START: name, DONE: name, **length}, b"")])

    def broken(self) -> Iterator[Case]:
        """Uploads that begin as they should."""
        length = {"content-length": str(LENGTH)}

        def upload(name: str, **framing: Any) -> list[tuple[dict[str, Any], bytes]]:
            framing = {key.replace("_", "-"): value for key, value in framing.items()} or length
            return [({START: name, **framing}, b""), ({START: name, DONE: name, **framing}, b"")]

        name = self.genuine()
        yield Case("all is well", [200], upload(name))
        name = self.genuine()
        begun, finished = upload(name)
        yield Case("the start has a forged done", [200], [({**begun[0], DONE: str(self.victim)}, b""), finished])
        name = self.genuine()
        begun, finished = upload(name)
        yield Case("a start twice", [200], [begun, begun, finished])
        name = self.genuine()
        begun, finished = upload(name)
        yield Case("a done twice", [200, 400], [begun, finished, finished])
        name = self.genuine()
        begun, finished = upload(name)
        other = {START: str(self.planted), **length}
        yield Case("a start for another's file within", [400, 200], [begun, (other, b""), finished])
        name = self.genuine()
        begun, finished = upload(name)
        other = {**other, DONE: str(self.planted)}
        yield Case("a done for another's file within", [400, 200], [begun, (other, b""), finished])
        yield Case("in chunks", [200], upload(self.genuine(7), transfer_encoding="chunked"))
        yield Case("longer than announced", [200], upload(self.genuine(LENGTH + 9)))
        yield Case("shorter than announced", [500], upload(self.genuine(LENGTH - 1)))
        yield Case("vanished", [500], upload(self.genuine()), os.unlink)
        yield Case("over limit-post", [413], upload(self.genuine(), content_length="2000000"))
        yield Case("over limit-post in chunks", [413], upload(self.genuine(2_000_000), transfer_encoding="chunked"))
        for what, replace in (
            ("a link", lambda path: path.symlink_to(self.victim)),
            ("a link to nothing", lambda path: path.symlink_to("/nowhere")),
            ("another name of a file", lambda path: os.link(self.victim, path)),
            ("a fifo", os.mkfifo),
            ("a directory", os.mkdir),
            *([("a device", lambda path: os.mknod(path, 0o20600, os.makedev(1, 5)))] if os.geteuid() == 0 else []),
        ):
            yield Case(f"replaced by {what}", [500], upload(self.genuine()), lambda path, to=replace: swap(path, to))


def swap(path: Path, replace: Callable[[Path], object]) -> None:
    path.unlink()
    replace(path)


def message(fake: FakeMongrel2, conn: int, headers: dict[str, Any], body: bytes, *, as_json: bool) -> bytes:
    whole = {
        "PATH": "/",
        "METHOD": "POST",
        "VERSION": "HTTP/1.1",
        "URI": "/",
        "PATTERN": "/",
        "URL_SCHEME": "http",
        "REMOTE_ADDR": "127.0.0.1",
        "host": "localhost",
        **headers,
    }
    present = {key: value for key, value in whole.items() if value is not None}
    if as_json:
        text = json.dumps(present).encode()
        packed = b"%d:%b," % (len(text), text)
    else:
        packed = tnetstring.dumps(
            {
                key.encode(): [one.encode() for one in value] if isinstance(value, list) else value.encode()
                for key, value in present.items()
            }
        )
    return f"{fake.ident} {conn} / ".encode() + packed + tnetstring.dumps(body)


@contextmanager
def untouched(*paths: Path) -> Iterator[None]:
    """Fail if anybody opens, moves or deletes one of these files."""
    libc = ctypes.CDLL(None, use_errno=True)
    fd = libc.inotify_init1(os.O_NONBLOCK)
    assert fd >= 0
    try:
        names = {libc.inotify_add_watch(fd, os.fsencode(path), TOUCHED): path for path in paths}
        yield
        try:
            events = os.read(fd, 4096)
        except BlockingIOError:
            return
        watch, mask = struct.unpack_from("iI", events)
        raise AssertionError(f"{names[watch]} was touched: {mask:#x}")
    finally:
        os.close(fd)


def statuses(answers: list[bytes]) -> list[int]:
    return [int(one.split(b" ", 2)[1]) for one in answers if one.startswith(b"HTTP/1.1 ")]


def run_case(fake: FakeMongrel2, conn: int, case: Case, *, as_json: bool) -> str | None:
    """Say what is wrong with its answers."""
    for number, (headers, body) in enumerate(case.messages):
        if number == len(case.messages) - 1 and case.between is not None:
            case.between(Path(case.messages[0][0][START]))
        fake.send(message(fake, conn, headers, body, as_json=as_json))
    answers = fake.answers.setdefault(b"%d" % conn, [])
    try:
        fake.wait(lambda: len(statuses(answers)) >= len(case.statuses), 10, case.name)
    except AssertionError:
        return f"{case.name}: no answer, only {answers}"
    found = statuses(answers)
    return None if found == case.statuses else f"{case.name}: {found}, expected {case.statuses}"


def test_the_table(start_server: Callable[..., Server], tmp_path: Path) -> None:
    store = tmp_path / "store"
    store.mkdir()
    table = Table(store, tmp_path)
    with FakeMongrel2() as fake:
        args = ["--zeromq", fake.pair, "-p", "2", "--threads", "2", "--pythonpath", str(APPS), "--module", "uploads"]
        args += [
            "--mongrel2-setting",
            f"upload.temp_store={store}/up.XXXXXX",
            "--limit-post",
            "1M",
            "--worker-reload-mercy",
            "2",
        ]
        server = start_server(*args).wait_ready(2)
        wrong = []
        with untouched(table.victim, table.planted):
            for as_json in (False, True):
                forged = [*table.forged()]
                assert len(forged) >= 30
                for number, case in enumerate(forged, 1000 * (1 + as_json)):
                    wrong.append(run_case(fake, number, case, as_json=as_json))
        for number, case in enumerate(table.broken(), 3000):
            wrong.append(run_case(fake, number, case, as_json=False))
        # what a fake leaves to be deleted by Mongrel2 itself, and by nobody else
        name = table.genuine()
        fake.send(message(fake, 4000, {START: name, "content-length": "30000"}, b"", as_json=False))
        assert run_case(fake, 4001, Case("a last one", [200], [({}, b"")]), as_json=False) is None
        other = {START: name, DONE: name, "content-length": "30000"}
        wrong.append(run_case(fake, 4002, Case("another's upload", [400], [(other, b"")]), as_json=False))
        assert os.path.exists(name)
        assert [one for one in wrong if one] == []
        assert server.stop() == 0
        fake.wait(lambda: statuses(fake.answers.get(b"4000", [])) == [503], 20, "it had no time to end")
    assert table.victim.read_bytes() == table.planted.read_bytes() == b"secret" * 6000
    left = {
        path.name for path in store.iterdir() if path.is_file() and not path.is_symlink() and path.stat().st_nlink == 1
    }
    assert left == {table.planted.name}
    assert "upload headers of a client's own removed" in server.log
    assert server.log.count("is left alone") >= 4


def test_what_a_client_can_send(mongrel2: Mongrel2, serve: Callable[..., Server], tmp_path: Path) -> None:
    """The same through a real Mongrel2, which takes no upload path for any of these but the last."""
    victim, planted = tmp_path / "victim", mongrel2.directory / "upload.planty"
    for path in (victim, planted):
        path.write_bytes(b"secret" * 20000)
    server = serve(mongrel2, module="uploads", options=("--mongrel2-config", f"{mongrel2.directory}/config.sqlite"))
    with untouched(victim, planted):
        for name in (str(victim), str(planted), "/etc/passwd", "../victim"):
            both = (("X-Mongrel2-Upload-Start", name), ("X-Mongrel2-Upload-Done", name))
            for method, framing, body, status in (
                ("GET", (), b"", 200),
                ("POST", (), b"abc", 200),
                ("POST", (("Content-Length", "99999999999"),), b"", 400),
                ("POST", (("Content-Length", "0"), ("Content-Length", "300000")), b"", 400),
                ("POST", (("Content-Length", "0x7530"),), b"", 400),
                ("POST", (("Content-Length", "0"), ("Transfer-Encoding", "chunked")), b"", 400),
                ("POST", (("Transfer-Encoding", "Chunked"),), b"", 400),
                ("WEBSOCKET", (), b"", 200),
                ("JSON", (), b"", 200),
            ):
                answer = get(mongrel2.address, method=method, headers=(*both, *framing), body=body)
                assert answer.status == status, (name, method, framing)
            done = (("X-Mongrel2-Upload-Done", name),)
            answer = get(mongrel2.address, method="POST", headers=done, body=b"true" * 25000)
            assert json.loads(answer.text)["size"] == 100_000
    assert server.log.count("upload headers of a client's own removed") == 36
    assert [path.name for path in mongrel2.directory.glob("upload.*")] == [planted.name]
