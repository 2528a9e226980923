"""An application whose mules work in farms, and write down what they do."""

from __future__ import annotations

import json
import os
import time
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

import uwsgi
from uwsgidecorators import farm_loop, mule, mulefunc

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable


def note(what: str, word: str) -> None:
    with open(os.environ["HEARD"], "a") as file:
        file.write(f"{uwsgi.mule_id()} {what} {word}\n")


@mulefunc
def anybody(word: str, *, times: int = 1) -> None:
    note("anybody", word * times)


@mulefunc("jobs")
def job(word: str) -> None:
    note("job", word)


@mulefunc(1)
def first(word: str) -> None:
    note("first", word)
    if word == "stick":
        time.sleep(1000)


@farm_loop("reports")
def report(message: bytes) -> None:
    note("report", message.decode())


@mule(2)
def once() -> None:
    note("once", f"{uwsgi.in_farm()} {uwsgi.in_farm('jobs')} {uwsgi.in_farm('reports')}")


def hear(message: bytes) -> None:
    note("heard", message.decode())


uwsgi.mule_msg_hook = hear

DEEDS = {
    "anybody": lambda word: anybody(word, times=2),
    "job": job,
    "first": first,
    "report": lambda word: uwsgi.farm_msg("reports", word),
    "jobs": lambda word: uwsgi.mule_msg(word, "jobs"),
    "nobody": lambda word: uwsgi.farm_msg("nobody", word),
    "worker": lambda word: uwsgi.in_farm(),
}


def application(environ: dict[str, Any], start: Callable[..., Callable[[bytes], object]]) -> Iterable[bytes]:
    query = dict(parse_qsl(environ["QUERY_STRING"]))
    answer = DEEDS[query["do"]](query["say"])
    start("200 OK", [("Content-Type", "application/json")])
    return [json.dumps(answer).encode()]
