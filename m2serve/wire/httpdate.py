"""The date format of HTTP (RFC 9110, section 5.6.7)."""

from __future__ import annotations

import time

_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def http_date(now: float) -> bytes:
    """Write *now* (seconds since the epoch) as ``Sun, 06 Nov 1994 08:49:37 GMT``.

    Not ``strftime``: an application may set a locale in which days have other names.
    """
    year, month, day, hour, minute, second, weekday, _, _ = time.gmtime(now)
    text = f"{_DAYS[weekday]}, {day:02} {_MONTHS[month - 1]} {year:04} {hour:02}:{minute:02}:{second:02} GMT"
    return text.encode("ascii")
