"""Other forms for lines of the log: uWSGI's encoders.

An encoder gets what the one before it made, the first one the line as it is without any. ``json`` is ``format`` that
escapes the values, so that they can stand between quotes. What ``gzip`` and ``compress`` make of one line is whole in
itself; behind each other they are what gunzip takes, too.
"""

from __future__ import annotations

import json
import time
import zlib
from typing import TYPE_CHECKING, Final, NamedTuple

from m2serve.observe import msgpack

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


class Exact(bytes):
    """What is no text: no newline may be added or taken away."""

    __slots__ = ()


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
    if encoder.kind == "gzip":
        return lambda said, made: _deflated(made, _GZIP)
    if encoder.kind == "compress":
        return lambda said, made: zlib.compress(made)
    if encoder.kind == "msgpack":
        items = [_item(text) for text in encoder.argument.split("|")]
        return lambda said, made: b"".join([item(said, made) for item in items])
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


def _item(text: str) -> Encoder:
    """One of msgpack's, as the settings have checked it."""
    name, _, argument = text.partition(":")
    if name in _CONSTANTS:
        constant = _CONSTANTS[name](argument)
        return lambda said, made: constant
    if name in ("msgbin", "msgbinnl"):
        value = _field(name.replace("bin", ""), _as_it_is)
        return lambda said, made: msgpack.binary(value(said, made))
    field = _field(text, _as_it_is)
    if text in _FACTS:
        return lambda said, made: msgpack.integer(int(field(said, made)))
    return lambda said, made: msgpack.text(field(said, made))


_CONSTANTS: Final[dict[str, Callable[[str], bytes]]] = {
    "map": lambda argument: msgpack.map_of(int(argument)),
    "array": lambda argument: msgpack.array_of(int(argument)),
    "int": lambda argument: msgpack.integer(int(argument)),
    "float": lambda argument: msgpack.real(float(argument)),
    "str": lambda argument: msgpack.text(argument.encode("utf-8", "surrogateescape")),
    "bin": lambda argument: msgpack.binary(argument.encode("utf-8", "surrogateescape")),
    "nil": lambda argument: msgpack.NIL,
    "true": lambda argument: msgpack.TRUE,
    "false": lambda argument: msgpack.FALSE,
}
_GZIP: Final = 31
"""For zlib: the largest window, in gzip's frame, without a time."""


def _deflated(value: bytes, window: int) -> bytes:
    deflate = zlib.compressobj(wbits=window)
    return deflate.compress(value) + deflate.flush()


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
