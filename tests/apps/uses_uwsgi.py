"""An application that imports uwsgi and uwsgidecorators."""

from __future__ import annotations

import json
import os
import threading
import time
from typing import TYPE_CHECKING, Any

import uwsgi
import uwsgidecorators

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

DIRECTORY = os.environ["USES_UWSGI"]
AT_IMPORT = uwsgi.worker_id()


def note(name: str, text: str) -> None:
    """Append a line to a file of the test's."""
    with open(os.path.join(DIRECTORY, name), "a") as file:
        file.write(text + "\n")


@uwsgidecorators.postfork
def forked() -> None:
    note("forked", f"{uwsgi.worker_id()} {os.getpid()}")


@uwsgidecorators.timer(0.2)
def tick(number: int) -> None:
    note("ticks", str(os.getpid()))


@uwsgidecorators.timer(0.2, target="workers")
def tick_everywhere(number: int) -> None:
    note("everywhere", str(os.getpid()))


@uwsgidecorators.signal(17)
def on_signal(number: int) -> None:
    note("signals", f"{number} {threading.current_thread().name}")


uwsgi.atexit = lambda: note("ends", str(os.getpid()))


def count(times: int) -> None:
    """Raise a number in a file, which only works if nobody else does at the same time."""
    path = os.path.join(DIRECTORY, "count")
    for _ in range(times):
        uwsgi.lock()
        try:
            with open(path) as file:
                value = int(file.read())
            time.sleep(0.001)
            with open(path, "w") as file:
                file.write(str(value + 1))
        finally:
            uwsgi.unlock()


def application(environ: dict[str, Any], start: Callable[..., Callable[[bytes], object]]) -> Iterable[bytes]:
    path = environ["PATH_INFO"]
    answer: object = None
    if path == "/who":
        uwsgi.set_logvar("user", "kate")
        uwsgi.set_logvar("login", 'kate "k"')
        answer = {
            "worker": uwsgi.worker_id(),
            "at_import": AT_IMPORT,
            "master": uwsgi.masterpid(),
            "pid": os.getpid(),
            "processes": uwsgi.opt["processes"].decode(),
            "total": uwsgi.total_requests(),
            "request": uwsgi.request_id(),
            "user": str(uwsgi.get_logvar("user")),
        }
    elif path == "/user":
        answer = str(uwsgi.get_logvar("user"))
    elif path == "/count":
        answer = count(20)
    elif path == "/signal":
        answer = uwsgi.signal(17)
    elif path == "/log":
        answer = uwsgi.log("a line of the application's")
    elif path == "/stuck":
        uwsgi.set_user_harakiri(0.2)
        time.sleep(20)
    elif path == "/reload":
        answer = uwsgi.reload()
    start("200 OK", [("Content-Type", "application/json")])
    return [json.dumps(answer).encode()]
