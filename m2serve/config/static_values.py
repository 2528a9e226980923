"""Values of options about static files."""

from __future__ import annotations

import re
import warnings
from typing import NamedTuple

from m2serve.config.option import kind_of
from m2serve.errors import ConfigError
from m2serve.ids import Seconds


class StaticMap(NamedTuple):
    """A prefix of the URL path, without a slash at its end, and the file or directory that is found there."""

    prefix: str
    path: str

    @classmethod
    def parse(cls, text: str) -> StaticMap:
        """Read ``/prefix=path``.

        Raises: ConfigError: with what was expected.
        """
        prefix, separator, path = (part.strip() for part in text.partition("="))
        if not separator or not prefix.startswith("/") or not path or "\0" in text:
            raise ConfigError("expected /prefix=path, for instance /static=/srv/shop/static")
        if "//" in prefix or "?" in prefix or "#" in prefix:
            raise ConfigError("expected a plain path before the '=', without '//', '?' or '#'")
        return cls(prefix.rstrip("/"), path)

    def __str__(self) -> str:
        return f"{self.prefix or '/'}={self.path}"


class Pattern(NamedTuple):
    """A regular expression; two of the same text are equal."""

    regexp: re.Pattern[str]

    @classmethod
    def parse(cls, text: str) -> Pattern:
        """Read it.

        Raises: ConfigError: it is none.
        """
        return cls(_compiled(text))

    def __str__(self) -> str:
        return self.regexp.pattern


class Expiry(NamedTuple):
    """How long a file that matches may be kept by whoever has got it."""

    regexp: re.Pattern[str]
    seconds: Seconds

    @classmethod
    def parse(cls, text: str) -> Expiry:
        r"""Read ``regexp seconds``: ``\.(css|js)$ 3600``.

        Raises: ConfigError: with what was expected.
        """
        regexp, _, seconds = text.strip().rpartition(" ")
        if not regexp.strip():
            raise ConfigError("expected a regular expression, a blank and seconds")
        return cls(_compiled(regexp.strip()), kind_of(Seconds).parse(seconds))

    def __str__(self) -> str:
        return f"{self.regexp.pattern} {self.seconds:g}"


class TypeExpiry(NamedTuple):
    """The same for files of one media type."""

    type: str
    seconds: Seconds

    @classmethod
    def parse(cls, text: str) -> TypeExpiry:
        """Read ``type=seconds``: ``text/css=3600``.

        Raises: ConfigError: with what was expected.
        """
        name, separator, seconds = (part.strip() for part in text.rpartition("="))
        if not separator or "/" not in name:
            raise ConfigError("expected type=seconds, for instance text/css=3600")
        return cls(name.lower(), kind_of(Seconds).parse(seconds))

    def __str__(self) -> str:
        return f"{self.type}={self.seconds:g}"


def _compiled(text: str) -> re.Pattern[str]:
    try:
        with warnings.catch_warnings():
            # What a later Python may take for a set in a set is a bracket, as in PCRE.
            warnings.simplefilter("ignore", FutureWarning)
            return re.compile(text)
    except (re.error, OverflowError, RecursionError) as error:
        raise ConfigError(f"expected a regular expression: {error}") from None
