"""What a client has already, and what part it wants: RFC 9110, sections 13 and 14. No file is touched here."""

from __future__ import annotations

import calendar
import re
from enum import Enum
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_TIME = r"(?P<hour>\d\d):(?P<minute>\d\d):(?P<second>\d\d)"
_DATES = tuple(
    re.compile(pattern, re.ASCII)
    for pattern in (
        rf"[A-Z][a-z]{{2}}, (?P<day>\d\d) (?P<month>[A-Z][a-z]{{2}}) (?P<year>\d{{4}}) {_TIME} GMT",
        rf"[A-Z][a-z]{{5,8}}, (?P<day>\d\d)-(?P<month>[A-Z][a-z]{{2}})-(?P<year>\d\d) {_TIME} GMT",
        rf"[A-Z][a-z]{{2}} (?P<month>[A-Z][a-z]{{2}}) (?P<day>[ \d]\d) {_TIME} (?P<year>\d{{4}})",
    )
)
_TAGS = re.compile(r'\s*(?:W/)?"[^"]*"\s*(?:,\s*(?:W/)?"[^"]*"\s*)*')
_TAG = re.compile(r'(?:W/)?"[^"]*"')
_RANGE = re.compile(r"bytes=[ \t]*(?:(?P<first>\d{1,18})-(?P<last>\d{1,18})?|-(?P<suffix>\d{1,18}))[ \t]*", re.I | re.A)
_RECENT = 2
"""Seconds after which a file that changes gets another time for certain."""


class Verdict(Enum):
    """What the conditions come to."""

    SEND = "send"
    NOT_MODIFIED = "not modified"
    FAILED = "failed"
    """A precondition does not hold: 412."""


class Validators(NamedTuple):
    """What tells one state of a file from another."""

    tag: str
    """ETag. Weak while the file is so young that it may change once more without getting another time."""
    modified: int
    """Seconds since the epoch."""

    @classmethod
    def of(cls, modified_ns: int, size: int, now: float, variant: str = "") -> Validators:
        """Those of a file of that time and size, at that moment."""
        seconds = modified_ns // 1_000_000_000
        weak = "" if seconds + _RECENT <= now else "W/"
        return cls(f'{weak}"{modified_ns:x}-{size:x}{variant}"', seconds)


class Part(NamedTuple):
    """Bytes of a file, from *first* on."""

    first: int
    size: int


NOTHING = Part(0, 0)
"""What was asked for lies behind the end."""


def parse_date(text: str) -> int | None:
    """Seconds since the epoch of one of HTTP's three formats; None: it is no date."""
    for pattern in _DATES:
        match = pattern.fullmatch(text.strip())
        if match is None or match["month"] not in _MONTHS:
            continue
        year = int(match["year"])
        if len(match["year"]) == 2:
            year += 1900 if year >= 70 else 2000
        month = _MONTHS.index(match["month"]) + 1
        clock = (int(match["hour"]), int(match["minute"]), int(match["second"]))
        try:
            return calendar.timegm((year, month, int(match["day"]), *clock))
        except (ValueError, OverflowError):
            return None  # the 32nd, or the year 0
    return None


def verdict(environ: Mapping[str, object], known: Validators) -> Verdict:
    """Judge If-Match, If-Unmodified-Since, If-None-Match and If-Modified-Since, in the order of section 13.2.2."""
    wanted = _header(environ, "HTTP_IF_MATCH")
    if wanted is not None:
        if not _among(wanted, known.tag, strong=True):
            return Verdict.FAILED
    elif (date := _date(environ, "HTTP_IF_UNMODIFIED_SINCE")) is not None and known.modified > date:
        return Verdict.FAILED
    had = _header(environ, "HTTP_IF_NONE_MATCH")
    if had is not None:
        return Verdict.NOT_MODIFIED if _among(had, known.tag, strong=False) else Verdict.SEND
    date = _date(environ, "HTTP_IF_MODIFIED_SINCE")
    return Verdict.NOT_MODIFIED if date is not None and known.modified <= date else Verdict.SEND


def part(environ: Mapping[str, object], known: Validators, size: int) -> Part | None:
    """The part that a GET asks for; None: all of it, because it asks for no part, for several, or for one of a file
    that is another by now; :data:`NOTHING`: there is no such part, 416.
    """
    wanted = _header(environ, "HTTP_RANGE")
    if wanted is None or environ["REQUEST_METHOD"] != "GET":
        return None
    condition = _header(environ, "HTTP_IF_RANGE")
    if condition is not None and not _is_same(condition.strip(), known):
        return None
    match = _RANGE.fullmatch(wanted)
    if match is None:
        return None
    if match["suffix"] is not None:
        length = min(int(match["suffix"]), size)
        return Part(size - length, length) if length else NOTHING
    first = int(match["first"])
    last = size - 1 if match["last"] is None else min(int(match["last"]), size - 1)
    if match["last"] is not None and int(match["last"]) < first:
        return None  # section 14.1.1: not a range at all
    return Part(first, last - first + 1) if first < size else NOTHING


def accepts_gzip(environ: Mapping[str, object]) -> bool:
    """Whether Accept-Encoding names gzip and does not refuse it."""
    for item in (_header(environ, "HTTP_ACCEPT_ENCODING") or "").lower().split(","):
        coding, _, parameter = (part.strip() for part in item.partition(";"))
        if coding in ("gzip", "x-gzip"):
            return re.fullmatch(r"q\s*=\s*0(\.0*)?", parameter) is None
    return False


def _header(environ: Mapping[str, object], name: str) -> str | None:
    value = environ.get(name)
    return value if isinstance(value, str) else None


def _date(environ: Mapping[str, object], name: str) -> int | None:
    text = _header(environ, name)
    return None if text is None else parse_date(text)


def _among(header: str, tag: str, *, strong: bool) -> bool:
    """Whether the list of tags, or ``*``, has *tag*; weak and strong are the same unless *strong*."""
    if header.strip() == "*":
        return True
    if len(header) > 4096 or _TAGS.fullmatch(header) is None:
        return False
    tags = _TAG.findall(header)
    if strong:
        return tag in tags and not tag.startswith("W/")
    return tag.removeprefix("W/") in [one.removeprefix("W/") for one in tags]


def _is_same(condition: str, known: Validators) -> bool:
    """If-Range: nothing but certainty will do, for the client puts the parts together."""
    if known.tag.startswith("W/"):
        return False
    return condition == known.tag or parse_date(condition) == known.modified
