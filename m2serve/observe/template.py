"""Request lines in a form of one's own: uWSGI's ``log-format``.

``%(name)`` stands for a fact of the request, ``%(var.KEY)`` for a variable of its environ, everything else for itself.
What a client chose is escaped, so that it can end neither the line nor a quoted field: like nginx ``\\xNN``, in a
template that looks like JSON as JSON wants it.
"""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

    from m2serve.observe.facts import Facts

_FIELD = re.compile(r"%\(([^()]*)\)")
_UNSAFE = re.compile(rb"[^\x20-\x7e]|[\"\\]")
_LONGEST_FIELD: Final = 3072
_LONGEST: Final = 4095
"""Bytes of a line without its newline; more may mix with the lines of others."""
_MISSING: Final = b"-"
_MONTHS: Final = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


class Template:
    """A compiled format.

    Args:
        text: the format.
        pid, worker: of the process that writes.
        strftime: the text between the fields is one for ``strftime``, too.
        forwarded: ``%(addr)`` is what X-Forwarded-For says, if there is one. Any client can say anything there.
        variables: what the application has set by that name for the request that the calling thread ran last.
    """

    def __init__(
        self,
        text: str,
        pid: int,
        worker: int,
        *,
        strftime: bool = False,
        forwarded: bool = False,
        variables: Callable[[str], bytes | None] = lambda name: None,
    ) -> None:
        self._variables = variables
        self._strftime = strftime
        self._forwarded = forwarded
        self._pid = pid
        self._worker = worker
        self._escape = _as_json if text.lstrip().startswith("{") else _as_nginx
        self._parts: list[Callable[[Facts], bytes]] = []
        self.needs_memory = False
        at = 0
        for match in _FIELD.finditer(text):
            self._literal(text[at : match.start()])
            self._parts.append(self._field(match[1]))
            at = match.end()
        self._literal(text[at:])

    def line(self, facts: Facts) -> bytes:
        """One line with its newline."""
        return b"".join([part(facts) for part in self._parts])[:_LONGEST] + b"\n"

    def _literal(self, text: str) -> None:
        if not text:
            return
        raw = text.encode("utf-8", "surrogateescape").replace(b"\n", b" ")
        if self._strftime and "%" in text:
            self._parts.append(
                lambda facts: time.strftime(text, time.localtime(facts.started)).encode("utf-8", "surrogateescape")
            )
        else:
            self._parts.append(lambda _: raw)

    def _field(self, name: str) -> Callable[[Facts], bytes]:
        if name.startswith("var."):
            return self._variable(name[4:])
        if name in ("rss", "vsz", "rssM", "vszM"):
            self.needs_memory = True
        own = {"pid": self._pid, "wid": self._worker}.get(name)
        if own is not None:
            return lambda _: b"%d" % own
        if name == "addr":
            return self._address
        if name in _NUMBERS:
            number = _NUMBERS[name]
            return lambda facts: b"%d" % number(facts)
        if name in _TEXTS:
            text = _TEXTS[name]
            return lambda facts: text(facts)
        if name == "user":
            return lambda facts: self._escape(
                facts.request.headers.get(b"REMOTE_USER") or self._variables("var.REMOTE_USER")
            )
        header = _HEADERS.get(name)
        if header is not None:
            return lambda facts: self._escape(facts.request.headers.get(header))
        return lambda _: self._escape(self._variables(name))

    def _address(self, facts: Facts) -> bytes:
        headers = facts.request.headers
        said = headers.get(b"x-forwarded-for") if self._forwarded else None
        return self._escape(said or headers.get(b"REMOTE_ADDR"))

    def _variable(self, key: str) -> Callable[[Facts], bytes]:
        """A CGI variable, from where Mongrel2 has it."""
        if key in _VARIABLES:
            name = _VARIABLES[key]
        elif key.startswith("HTTP_"):
            name = key[5:].lower().replace("_", "-").encode()
        elif key in ("CONTENT_TYPE", "CONTENT_LENGTH"):
            name = key.lower().replace("_", "-").encode()
        else:
            return lambda _: self._escape(self._variables(f"var.{key}"))
        return lambda facts: self._escape(facts.request.headers.get(name))


def _one(value: bytes | list[bytes] | None) -> bytes:
    """A header that came more than once is one list; one that did not come is empty."""
    return b", ".join(value) if isinstance(value, list) else value or b""


def _as_nginx(value: bytes | list[bytes] | None) -> bytes:
    value = _one(value)
    if not value:
        return _MISSING
    text = value[:_LONGEST_FIELD]
    if _UNSAFE.search(text) is not None:
        text = _UNSAFE.sub(lambda match: b"\\x%02X" % match.group()[0], text)[:_LONGEST_FIELD]
    return text if len(value) <= _LONGEST_FIELD else text + b"..."


def _as_json(value: bytes | list[bytes] | None) -> bytes:
    value = _one(value)
    if not value:
        return _MISSING
    text = value[:_LONGEST_FIELD]
    if _UNSAFE.search(text) is not None:
        text = _UNSAFE.sub(lambda match: b"\\u00%02x" % match.group()[0], text)
    return text


def _apache(moment: float) -> bytes:
    """``20/Nov/2026:13:46:09 +0000``, in English whatever the locale."""
    local = time.localtime(moment)
    zone = local.tm_gmtoff // 60
    sign = "-" if zone < 0 else "+"
    clock = f"{local.tm_year}:{local.tm_hour:02d}:{local.tm_min:02d}:{local.tm_sec:02d}"
    text = f"{local.tm_mday:02d}/{_MONTHS[local.tm_mon - 1]}/{clock} {sign}{abs(zone) // 60:02d}{abs(zone) % 60:02d}"
    return text.encode()


def _length(facts: Facts) -> int:
    """What the client said, if that is a number; else what came in the message."""
    said = facts.request.headers.get(b"content-length")
    return int(said) if isinstance(said, bytes) and said.isdigit() and len(said) < 19 else len(facts.request.body)


_NUMBERS: Final[dict[str, Callable[[Facts], int]]] = {
    "status": lambda f: f.outcome.status,
    "size": lambda f: f.outcome.body_bytes + f.outcome.header_bytes,
    "rsize": lambda f: f.outcome.body_bytes,
    "hsize": lambda f: f.outcome.header_bytes,
    "cl": _length,
    "micros": lambda f: int(f.elapsed * 1e6),
    "msecs": lambda f: int(f.elapsed * 1e3),
    "secs": lambda f: int(f.elapsed),
    "time": lambda f: int(f.started),
    "tmsecs": lambda f: int(f.started * 1e3),
    "tmicros": lambda f: int(f.started * 1e6),
    "epoch": lambda _: int(time.time()),
    "core": lambda f: f.core,
    "switches": lambda _: 1,
    "vars": lambda f: len(f.request.headers),
    "headers": lambda f: f.outcome.header_count,
    "pktsize": lambda f: f.packet_size,
    "modifier1": lambda _: 0,
    "modifier2": lambda _: 0,
    "rss": lambda f: f.memory[0],
    "vsz": lambda f: f.memory[1],
    "rssM": lambda f: f.memory[0] >> 20,
    "vszM": lambda f: f.memory[1] >> 20,
    "werr": lambda f: int(f.outcome.trouble == 3),
    "rerr": lambda f: int(f.outcome.trouble == 2),
    "ioerr": lambda f: int(f.outcome.trouble in (2, 3)),
}
_TEXTS: Final[dict[str, Callable[[Facts], bytes]]] = {
    "ctime": lambda f: time.ctime(f.started).encode(),
    "ltime": lambda f: _apache(f.started),
    "ftime": lambda f: time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(f.started)).encode(),
}
_HEADERS: Final = {
    "uri": b"URI",
    "method": b"METHOD",
    "proto": b"VERSION",
    "host": b"host",
    "uagent": b"user-agent",
    "referer": b"referer",
}
_VARIABLES: Final = {
    "REQUEST_METHOD": b"METHOD",
    "REQUEST_URI": b"URI",
    "PATH_INFO": b"PATH",
    "QUERY_STRING": b"QUERY",
    "SERVER_PROTOCOL": b"VERSION",
    "REMOTE_ADDR": b"REMOTE_ADDR",
    "wsgi.url_scheme": b"URL_SCHEME",
}
