"""An application that sends messages to its mules, and writes down what they hear."""

from __future__ import annotations

import json
import os
import time
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

import uwsgi

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable


def hear(message: bytes) -> None:
    """Write a line; ``stick`` is never done, ``fail`` fails."""
    with open(os.environ["HEARD"], "a") as file:
        file.write(f"{uwsgi.mule_id()} {message.decode()}\n")
    if message == b"stick":
        time.sleep(1000)
    if message == b"fail":
        raise ValueError("as it was told")


def script() -> None:
    """Body of a mule that asks for its messages."""
    while True:
        message = uwsgi.mule_get_msg(timeout=60)
        if message is not None:
            hear(message)


uwsgi.mule_msg_hook = hear


def application(environ: dict[str, Any], start: Callable[..., Callable[[bytes], object]]) -> Iterable[bytes]:
    query = dict(parse_qsl(environ["QUERY_STRING"]))
    answer = uwsgi.mule_msg(query["say"], int(query.get("to", "0")))
    start("200 OK", [("Content-Type", "application/json")])
    return [json.dumps(answer).encode()]
