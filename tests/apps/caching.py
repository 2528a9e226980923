"""An application that keeps things in caches, and checks what it finds there."""

from __future__ import annotations

import json
import os
import random
import threading
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

import uwsgi

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable


def whole(value: bytes) -> bool:
    """Whether a value is as `hammer` writes them: its length, and one byte again and again."""
    return len(value) >= 5 and len(value) == int(value[:4]) and len(set(value[4:])) == 1


def hammer() -> None:
    """Write, overwrite, remove, until somebody kills us."""
    chance = random.Random(os.getpid())
    while True:
        size = chance.randrange(5, 2000)
        value = b"%04d" % size + bytes([chance.randrange(256)]) * (size - 4)
        uwsgi.cache_update(f"key{chance.randrange(60)}", value, 0, "hammered")
        if not chance.randrange(5):
            uwsgi.cache_del(f"key{chance.randrange(60)}", "hammered")
        if not chance.randrange(200):
            uwsgi.cache_clear("hammered")
        uwsgi.cache_inc("writes")


def mule() -> None:
    """Body of a mule, which says that it was here."""
    uwsgi.cache_update("mule", str(uwsgi.mule_id()))
    threading.Event().wait()


def application(environ: dict[str, Any], start: Callable[..., Callable[[bytes], object]]) -> Iterable[bytes]:
    query = dict(parse_qsl(environ["QUERY_STRING"]))
    answer: object = None
    match environ["PATH_INFO"]:
        case "/count":
            answer = [bool(uwsgi.cache_inc("count")) for _ in range(int(query["times"]))].count(False)
        case "/num":
            answer = uwsgi.cache_num(query["key"])
        case "/set":
            answer = uwsgi.cache_update(query["key"], query["value"], int(query.get("expires", "0")))
        case "/get":
            value = uwsgi.cache_get(query["key"])
            answer = None if value is None else value.decode()
        case "/hammer":
            threading.Thread(target=hammer, daemon=True).start()
            answer = os.getpid()
        case "/broken":
            found = {key: uwsgi.cache_get(key, "hammered") for key in uwsgi.cache_keys("hammered")}
            answer = [f"{key}: {value}" for key, value in found.items() if value is not None and not whole(value)]
    start("200 OK", [("Content-Type", "application/json")])
    return [json.dumps(answer).encode()]
