"""Other forms for lines of the log: uWSGI's encoders.

An encoder gets what the one before it made, the first one the line as it is without any. ``json`` is ``format`` that
escapes the values, so that they can stand between quotes.
"""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from m2serve.config.log_values import LogEncoder


class Said(NamedTuple):
    """One line of the log, a traceback included."""

    line: bytes
    """As it is without an encoder, its newline included."""
    text: bytes
    """The same without time, process and level."""
    level: str
    logger: str
    pid: int
    moment: float
    """Seconds since the epoch."""

    @classmethod
    def plain(cls, line: bytes, logger: str, pid: int) -> Said:
        """One that nobody logged: a request's, or what the application printed."""
        return cls(line, line.rstrip(b"\r\n"), "INFO", logger, pid, time.time())


def encoded(encoders: Sequence[Encoder], said: Said) -> bytes:
    """What is left of a line when it has gone through some encoders."""
    made = said.line
    for encode in encoders:
        made = encode(said, made)
    return made


def compiled(encoder: LogEncoder) -> Encoder:
    """The function of one encoder."""
    argument = encoder.argument.encode("utf-8", "surrogateescape")
    if encoder.kind == "prefix":
        return lambda said, made: argument + made
    if encoder.kind == "suffix":
        return lambda said, made: made + argument
    if encoder.kind == "nl":
        return lambda said, made: made + b"\n"
    escape = _as_json if encoder.kind == "json" else _as_it_is
    parts = [
        _field(text, escape) if number % 2 else _literal(text) for number, text in enumerate(encoder.parts()) if text
    ]
    return lambda said, made: b"".join([part(said, made) for part in parts])


def _literal(text: str) -> Encoder:
    raw = text.encode("utf-8", "surrogateescape")
    return lambda said, made: raw


def _field(name: str, escape: Callable[[bytes], bytes]) -> Encoder:
    if name.startswith("strftime:"):
        form = name.removeprefix("strftime:")
        return lambda said, made: escape(time.strftime(form, time.localtime(said.moment)).encode())
    if name == "msg":
        return lambda said, made: escape(made.rstrip(b"\r\n"))
    if name == "msgnl":
        return lambda said, made: escape(made)
    return _FACTS[name] if name in _FACTS else lambda said, made: escape(_TEXTS[name](said))


_FACTS: dict[str, Encoder] = {
    "unix": lambda said, made: b"%d" % said.moment,
    "micros": lambda said, made: b"%d" % (said.moment * 1e6),
    "pid": lambda said, made: b"%d" % said.pid,
}
_TEXTS: dict[str, Callable[[Said], bytes]] = {
    "text": lambda said: said.text,
    "level": lambda said: said.level.encode(),
    "logger": lambda said: said.logger.encode(),
}


def _as_it_is(value: bytes) -> bytes:
    return value


def _as_json(value: bytes) -> bytes:
    """The inside of a string of JSON; bytes that are no text stay visible as ``\\xNN``."""
    return json.dumps(value.decode("utf-8", "backslashreplace"), ensure_ascii=False)[1:-1].encode("utf-8")


if TYPE_CHECKING:
    Encoder = Callable[[Said, bytes], bytes]
