"""A WSGI application with one behaviour for each path."""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

from gate import pass_gate

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    Environ = dict[str, Any]
    Start = Callable[..., Callable[[bytes], object]]

_TEXT = [("Content-Type", "text/plain")]


class Recorded:
    """An endless slow body that says into the log when it is closed."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __iter__(self) -> Iterator[bytes]:
        while True:
            yield b"tick\n"
            time.sleep(0.02)

    def close(self) -> None:
        print(f"closed {self._name}", file=sys.stderr, flush=True)


def hello(environ: Environ, start: Start, rest: str) -> Iterable[bytes]:
    start("200 OK", [*_TEXT, ("Content-Length", "6")])
    return [b"hello\n"]


def env(environ: Environ, start: Start, rest: str) -> Iterable[bytes]:
    shown = {key: value if isinstance(value, (str, int, bool)) else repr(value) for key, value in environ.items()}
    shown["os.environ"] = dict(os.environ)
    shown["cwd"] = os.getcwd()
    body = json.dumps(shown).encode()
    start("200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(body)))])
    return [body]


def echo(environ: Environ, start: Start, rest: str) -> Iterable[bytes]:
    body = environ["wsgi.input"].read()
    start("200 OK", [("Content-Type", "application/octet-stream"), ("Content-Length", str(len(body)))])
    return [body]


def sleep(environ: Environ, start: Start, rest: str) -> Iterable[bytes]:
    """``/sleep/<seconds>/<anything>``: the whole path is the body."""
    time.sleep(float(rest.split("/")[0]))
    start("200 OK", list(_TEXT))
    return [environ["PATH_INFO"].encode()]


def slow(environ: Environ, start: Start, rest: str) -> Iterable[bytes]:
    """As ``sleep``, and the log says when it has begun."""
    print(f"begun {environ['PATH_INFO']}", file=sys.stderr, flush=True)
    return sleep(environ, start, rest)


def fail(environ: Environ, start: Start, rest: str) -> Iterable[bytes]:
    raise ValueError("raised on purpose")


def fail_late(environ: Environ, start: Start, rest: str) -> Iterable[bytes]:
    start("200 OK", list(_TEXT))
    yield b"the beginning"
    raise ValueError("raised late on purpose")


def generate(environ: Environ, start: Start, rest: str) -> Iterable[bytes]:
    start("200 OK", list(_TEXT))
    for number in range(int(rest)):
        yield b"chunk %d\n" % number


def close_log(environ: Environ, start: Start, rest: str) -> Iterable[bytes]:
    start("200 OK", list(_TEXT))
    return Recorded(rest)


def pid(environ: Environ, start: Start, rest: str) -> Iterable[bytes]:
    """``/pid`` or, to keep the thread for a while, ``/pid/<seconds>``."""
    if rest:
        time.sleep(float(rest))
    start("200 OK", list(_TEXT))
    return [f"{os.getpid()} {threading.current_thread().name}".encode()]


def until(environ: Environ, start: Start, rest: str) -> Iterable[bytes]:
    """``/until/<path>``: as ``pid``, when there is a file of that name."""
    pass_gate(rest)
    return pid(environ, start, "")


def keep(environ: Environ, start: Start, rest: str) -> Iterable[bytes]:
    """``/keep/<MiB>/<seconds>``: a request that needs memory for a while."""
    size, seconds = rest.split("/")
    memory = bytearray(os.urandom(4096)) * (int(size) * 256)
    time.sleep(float(seconds))
    start("200 OK", list(_TEXT))
    return [str(len(memory)).encode()]


def leave(environ: Environ, start: Start, rest: str) -> Iterable[bytes]:
    sys.exit("left on purpose")


def die(environ: Environ, start: Start, rest: str) -> Iterable[bytes]:
    os._exit(9)


def big(environ: Environ, start: Start, rest: str) -> Iterable[bytes]:
    start("200 OK", [*_TEXT, ("Content-Length", rest)])
    return [b"x" * int(rest)]


def pieces(environ: Environ, start: Start, rest: str) -> Iterable[bytes]:
    """``/pieces/<count>/<size>/<anything>``: so many pieces of so many bytes, each begins with the path."""
    count, size = map(int, rest.split("/")[:2])
    start("200 OK", list(_TEXT))
    for _ in range(count):
        yield environ["PATH_INFO"].encode().ljust(size, b".")


def take(environ: Environ, start: Start, rest: str) -> Iterable[bytes]:
    """As ``echo``, for judges who want a size at each read."""
    left, parts = int(environ.get("CONTENT_LENGTH") or 0), []
    while left:
        parts.append(environ["wsgi.input"].read(min(left, 1000)))
        left -= len(parts[-1])
    start("200 OK", list(_TEXT))
    return parts


def status(environ: Environ, start: Start, rest: str) -> Iterable[bytes]:
    start(f"{rest} Whatever", list(_TEXT))
    return []


def write(environ: Environ, start: Start, rest: str) -> Iterable[bytes]:
    push = start("200 OK", list(_TEXT))
    push(b"written ")
    push(b"twice ")
    return [b"and returned"]


def inject(environ: Environ, start: Start, rest: str) -> Iterable[bytes]:
    start("200 OK", [*_TEXT, ("X-Name", "value\r\nX-Injected: yes")])
    return [b"never"]


def short(environ: Environ, start: Start, rest: str) -> Iterable[bytes]:
    start("200 OK", [*_TEXT, ("Content-Length", "10")])
    return [b"short"]


def long(environ: Environ, start: Start, rest: str) -> Iterable[bytes]:
    start("200 OK", [*_TEXT, ("Content-Length", "5")])
    return [b"longer than five"]


_PATHS: dict[str, Callable[[Environ, Start, str], Iterable[bytes]]] = {
    "": hello,
    "env": env,
    "echo": echo,
    "sleep": sleep,
    "slow": slow,
    "raise": fail,
    "raise-late": fail_late,
    "gen": generate,
    "close-log": close_log,
    "pid": pid,
    "until": until,
    "keep": keep,
    "exit": leave,
    "die": die,
    "big": big,
    "pieces": pieces,
    "take": take,
    "status": status,
    "write": write,
    "inject": inject,
    "short": short,
    "long": long,
}


def application(environ: Environ, start_response: Start) -> Iterable[bytes]:
    name, _, rest = environ["PATH_INFO"].lstrip("/").partition("/")
    found = _PATHS.get(name)
    if found is None:
        start_response("404 Not Found", list(_TEXT))
        return [b"no such probe"]
    return found(environ, start_response, rest)


def create_app() -> Callable[[Environ, Start], Iterable[bytes]]:
    """A factory; what it makes can be told from ``application``."""

    def made(environ: Environ, start_response: Start) -> Iterable[bytes]:
        start_response("200 OK", [*_TEXT, ("X-Made-By", "create_app")])
        return [b"made"]

    return made
