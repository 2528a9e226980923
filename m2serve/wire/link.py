"""Codec of the messages between master and child: ``VERB SP JSON``, one per datagram.

Who says which verb, with which keys, is the table in docs/design.md, section 4. Descriptors ride beside the
bytes and are the business of system/link.py.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, Any

from m2serve.errors import LocalProtocolError, RemoteProtocolError

if TYPE_CHECKING:
    from collections.abc import Mapping

MAX_MESSAGE = 128 * 1024
"""Bytes of one message. It must fit the socket's send buffer, 208 KiB by default on Linux."""

_SHORTEST_TEXT = 256


class Verb(Enum):
    """The first word of a message."""

    # child to master
    READY = "READY"
    FAILED = "FAILED"
    LEAVING = "LEAVING"
    PULL = "PULL"
    DROP = "DROP"
    QUIET = "QUIET"
    SETTLED = "SETTLED"
    ALIVE = "ALIVE"
    STUCK = "STUCK"
    WORK = "WORK"
    UNFIT = "UNFIT"
    BORN = "BORN"
    RENEW = "RENEW"
    FILES = "FILES"
    # master to child
    DRAIN = "DRAIN"
    STOP = "STOP"
    WORKER = "WORKER"
    SPAWN = "SPAWN"
    REOPEN = "REOPEN"
    PING = "PING"
    HARAKIRI = "HARAKIRI"
    MODE = "MODE"
    YIELD = "YIELD"
    SERVE = "SERVE"
    # either way: carries descriptors of the message that follows it
    MORE = "MORE"


@dataclass(frozen=True)
class Message:
    """One message without its descriptors."""

    verb: Verb
    payload: Mapping[str, Any] = field(default_factory=dict)


def encode(verb: Verb, payload: Mapping[str, Any]) -> bytes:
    """Write one message; a text too long for the datagram (a traceback) loses its middle.

    Raises: LocalProtocolError: *payload* is not JSON, or does not fit even with its texts clipped.
    """
    limit = MAX_MESSAGE // 2
    while True:
        raw = _write(verb, payload)
        if len(raw) <= MAX_MESSAGE:
            return raw
        if limit < _SHORTEST_TEXT:
            raise LocalProtocolError(f"a {verb.value} message of {len(raw)} bytes, at most {MAX_MESSAGE} fit")
        payload = {key: clip(value, limit) if isinstance(value, str) else value for key, value in payload.items()}
        limit //= 2


def decode(raw: bytes) -> Message:
    """Read one message.

    Raises: RemoteProtocolError: no known verb, or what follows it is not a JSON object.
    """
    word, _, text = raw.partition(b" ")
    try:
        verb = Verb(word.decode("ascii"))
    except ValueError:
        raise RemoteProtocolError(f"unknown verb {word[:20]!r} on a link") from None
    try:
        payload = json.loads(text.decode("utf-8", "surrogatepass"))
    except (ValueError, RecursionError) as error:
        raise RemoteProtocolError(f"the payload of {verb.value} is not JSON: {error}") from None
    if not isinstance(payload, dict):
        raise RemoteProtocolError(f"the payload of {verb.value} is not an object")
    return Message(verb, payload)


def clip(text: str, limit: int) -> str:
    """Shorten *text* to about *limit* characters; the end, where a traceback names the error, keeps most."""
    if len(text) <= limit:
        return text
    head, tail = limit // 3, limit - limit // 3
    return f"{text[:head]}\n[... {len(text) - head - tail} characters left out ...]\n{text[-tail:]}"


def _write(verb: Verb, payload: Mapping[str, Any]) -> bytes:
    try:
        # File names in tracebacks may hold lone surrogates: they must cross, not break the report.
        text = json.dumps(payload, ensure_ascii=False, separators=(",", ":"))
    except (TypeError, ValueError, RecursionError) as error:
        raise LocalProtocolError(f"the payload of {verb.value} cannot be written as JSON: {error}") from None
    return verb.value.encode("ascii") + b" " + text.encode("utf-8", "surrogatepass")
