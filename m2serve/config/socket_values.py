"""Values of options about sockets: permissions, owners, how long a connection is kept, what stays in memory."""

from __future__ import annotations

import re
from typing import NamedTuple

from m2serve.config.modes import Mode
from m2serve.config.option import kind_of
from m2serve.errors import ConfigError
from m2serve.ids import Bytes, Seconds

_ON = frozenset({"", "1", "true", "on", "yes"})
_OFF = frozenset({"0", "false", "off", "no"})

KEEP_ALIVE = 75.0
"""Seconds: longer than a web server in front keeps its connections to us, nginx' 60 s for instance: it shall be the one
that closes."""

POST_BUFFERING = 256 * 1024
"""Bytes."""


class SocketMode(Mode):
    """Permissions of a Unix socket. Bare, or 1, it is for everybody, as in uWSGI."""

    optional = True
    allows_comment = True

    @classmethod
    def parse(cls, text: str) -> SocketMode:
        """Raises: ConfigError: with what was expected."""
        if text.strip().lower() in ("", "1", "true"):
            return cls(0o666)
        if re.fullmatch(r"[0-7]{3,4}", text.strip()) is None:
            raise ConfigError("expected three or four octal digits, for instance 660")
        return cls(text.strip(), 8)


class Owner(NamedTuple):
    """``USER``, ``USER:GROUP`` or ``:GROUP``, by name or number."""

    user: str
    group: str

    @classmethod
    def parse(cls, text: str) -> Owner:
        """Raises: ConfigError: with what was expected."""
        user, colon, group = text.strip().partition(":")
        if not (user or group) or (colon and not group) or re.search(r"[\s:\0]", user + group):
            raise ConfigError("expected USER or USER:GROUP, for instance www-data:www-data")
        return cls(user, group)

    def __str__(self) -> str:
        return f"{self.user}:{self.group}" if self.group else self.user


class KeepAlive(float):
    """Seconds that a connection may wait for another request; in uWSGI it is a flag, too."""

    optional = True
    allows_comment = True

    @classmethod
    def parse(cls, text: str) -> KeepAlive:
        """Raises: ConfigError: with what was expected."""
        word = text.strip().lower()
        if word in _ON:
            return cls(KEEP_ALIVE)
        return cls(0.0 if word in _OFF else kind_of(Seconds).parse(text))


class PostBuffering(int):
    """Bytes. ``true`` is 4096; 0 and its like have their own meaning in uWSGI, and none here."""

    allows_comment = True

    @classmethod
    def parse(cls, text: str) -> PostBuffering:
        """Raises: ConfigError: with what was expected."""
        word = text.strip().lower()
        if word in _OFF:
            return cls(POST_BUFFERING)
        return cls(4096 if word in _ON - {"1"} else kind_of(Bytes).parse(text))
