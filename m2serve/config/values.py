"""Values of options that have parts: references to applications, mounts, environment variables."""

from __future__ import annotations

import re
from typing import NamedTuple

from m2serve.config.option import kind_of
from m2serve.config.paste import PasteUri
from m2serve.errors import ConfigError
from m2serve.ids import Bytes, Seconds

_NAME = r"[^\W\d]\w*(?:\.[^\W\d]\w*)*"
# A module's name may have hyphens, though no import statement could name it: Odoo's is openerp-wsgi.
_MODULE = re.compile(rf"(?P<module>[\w-]+(?:\.[\w-]+)*)(?::(?P<attribute>{_NAME})(?P<call>\(\))?)?")
_HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_FRAMING = frozenset(("connection", "content-length", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade"))
_FILE_ENDINGS = (".py", ".wsgi")


def is_attribute(text: str) -> bool:
    """Whether the text is ``name``, ``dotted.name`` or one of them with ``()``."""
    return re.fullmatch(_NAME, text.removesuffix("()")) is not None


def _prefix(text: str) -> str:
    """A prefix of the URL path as a mount has it, without the slash at its end; empty for the root.

    Raises: ConfigError: it is no plain path.
    """
    if "//" in text or "?" in text or "#" in text or "\0" in text:
        raise ConfigError("expected a plain path before the '=', without '//', '?' or '#'")
    return text.rstrip("/")


def _prefixed(text: str, what: str, example: str) -> tuple[str, str]:
    """Split ``/prefix=VALUE``, or ``VALUE`` alone, which is for the root.

    Raises: ConfigError: the prefix is none; *what* the value is, and an *example*, say what was expected.
    """
    prefix, separator, value = (part.strip() for part in text.rpartition("="))
    if separator and not prefix.startswith("/"):
        raise ConfigError(f"expected {what} or /prefix={what}, for instance {example}")
    return _prefix(prefix), value


class AppRef(NamedTuple):
    """Where an application is found.

    ``attribute`` is empty when the option ``callable`` decides. Exactly one of ``module``, ``file`` and ``paste``,
    which is PasteDeploy's name of an application, is set.
    """

    module: str = ""
    file: str = ""
    attribute: str = ""
    factory: bool = False
    paste: str = ""

    @classmethod
    def parse(cls, text: str) -> AppRef:
        """Read ``pkg.mod``, ``pkg.mod:attribute`` or ``pkg.mod:factory()``.

        Raises: ConfigError: with what was expected.
        """
        match = _MODULE.fullmatch(text.strip())
        if match is None:
            hint = "; a file is loaded with wsgi-file" if "/" in text else ""
            expected = "package.module, package.module:attribute or package.module:factory()"
            raise ConfigError(f"expected {expected}{hint}")
        return cls(match["module"], "", match["attribute"] or "", match["call"] is not None)

    def __str__(self) -> str:
        if self.file or self.paste:
            return self.file or self.paste
        call = "()" if self.factory else ""
        return f"{self.module}:{self.attribute}{call}" if self.attribute else self.module


class Mount(NamedTuple):
    """An application below a prefix of the URL path; the prefix is empty for the root."""

    prefix: str
    app: AppRef

    @classmethod
    def parse(cls, text: str) -> Mount:
        """Read ``/prefix=app``, where app is a file or what AppRef.parse takes.

        Raises: ConfigError: with what was expected.
        """
        prefix, separator, app = (part.strip() for part in text.partition("="))
        if not separator or not prefix.startswith("/") or "\0" in text:
            raise ConfigError("expected /prefix=application, for instance /shop=shop.wsgi:app")
        prefix = _prefix(prefix)
        if app.startswith("config:") or app.endswith(".ini"):
            return cls(prefix, AppRef(paste=PasteUri.parse(app).uri))
        if "/" in app or app.endswith(_FILE_ENDINGS):
            return cls(prefix, AppRef(file=app))
        return cls(prefix, AppRef.parse(app))

    def __str__(self) -> str:
        return f"{self.prefix or '/'}={self.app}"


class EnvironmentVariable(NamedTuple):
    """One variable for the application's environment."""

    name: str
    value: str

    @classmethod
    def parse(cls, text: str) -> EnvironmentVariable:
        """Read ``NAME=VALUE``; the value may be empty and keeps its quotes, as in uWSGI.

        Raises: ConfigError: with what was expected.
        """
        name, separator, value = text.partition("=")
        if not separator or not name.strip() or "\0" in text:
            raise ConfigError("expected NAME=VALUE")
        return cls(name.strip(), value)

    def __str__(self) -> str:
        return f"{self.name}={self.value}"


class ModuleAlias(NamedTuple):
    """A name under which a module can be imported."""

    name: str
    target: str
    """A module, or a file."""

    @classmethod
    def parse(cls, text: str) -> ModuleAlias:
        """Read ``name=module`` or ``name=file.py``.

        Raises: ConfigError: with what was expected.
        """
        name, separator, target = (part.strip() for part in text.partition("="))
        if not separator or not target or not is_attribute(name):
            raise ConfigError("expected name=module or name=file.py")
        return cls(name, target)

    def __str__(self) -> str:
        return f"{self.name}={self.target}"


class PostLimit(NamedTuple):
    """How large a request's body may be below a prefix of the URL path; the prefix is empty for the root."""

    prefix: str
    size: Bytes

    @classmethod
    def allows_comment(cls) -> bool:
        """As behind a number: no path has a blank in it."""
        return True

    @classmethod
    def parse(cls, text: str) -> PostLimit:
        """Read ``BYTES`` or ``/prefix=BYTES``.

        Raises: ConfigError: with what was expected.
        """
        prefix, size = _prefixed(text, "BYTES", "/photos=20M")
        return cls(prefix, kind_of(Bytes).parse(size))

    def __str__(self) -> str:
        return f"{self.prefix}={self.size}" if self.prefix else str(self.size)


class UrlPath(str):
    """A path as a request line has it, undecoded and without query."""

    __slots__ = ()

    @classmethod
    def parse(cls, text: str) -> UrlPath:
        """Raises: ConfigError: with what was expected."""
        if not text.startswith("/") or not text.isascii() or not text.isprintable() or any(c in text for c in " ?#"):
            raise ConfigError("expected a path as in a request line, for instance /health")
        return cls(text)


class Deadline(NamedTuple):
    """How long a request may run below a prefix of the URL path; the prefix is empty for the root."""

    prefix: str
    seconds: Seconds

    @classmethod
    def allows_comment(cls) -> bool:
        """As behind a number: no path has a blank in it."""
        return True

    @classmethod
    def parse(cls, text: str) -> Deadline:
        """Read ``SECONDS`` or ``/prefix=SECONDS``.

        Raises: ConfigError: with what was expected.
        """
        prefix, seconds = _prefixed(text, "SECONDS", "/reports=120")
        return cls(prefix, kind_of(Seconds).parse(seconds))

    def __str__(self) -> str:
        return f"{self.prefix}={self.seconds:g}" if self.prefix else f"{self.seconds:g}"


class HeaderName(str):
    """The name of a header."""

    __slots__ = ()

    @classmethod
    def parse(cls, text: str) -> HeaderName:
        """Raises: ConfigError: with what was expected."""
        if _HEADER_NAME.fullmatch(text.strip()) is None:
            raise ConfigError("expected the name of a header, for instance X-Powered-By")
        return cls(text.strip())


class HeaderVariable(NamedTuple):
    """A header, and the variable that it becomes."""

    header: str
    variable: str

    @classmethod
    def parse(cls, text: str) -> HeaderVariable:
        """Read ``NAME VARIABLE``.

        Raises: ConfigError: with what was expected.
        """
        words = text.split()
        if len(words) != 2 or _HEADER_NAME.fullmatch(words[0]) is None or not is_attribute(words[1]) or "." in words[1]:
            raise ConfigError("expected NAME VARIABLE, for instance X-Tenant TENANT")
        return cls(*words)

    def __str__(self) -> str:
        return f"{self.header} {self.variable}"


class HeaderLine(NamedTuple):
    """A header that answers get, as ``Name: value``."""

    name: str
    value: str

    @classmethod
    def parse(cls, text: str) -> HeaderLine:
        """Raises: ConfigError: with what was expected."""
        name, colon, value = (part.strip() for part in text.partition(":"))
        if not colon or _HEADER_NAME.fullmatch(name) is None or not value.isprintable():
            raise ConfigError("expected Name: value, for instance X-Frame-Options: DENY")
        persists = name.lower() == "connection" and value.lower() in ("close", "keep-alive")
        if name.lower() in _FRAMING and not persists:
            raise ConfigError(f"{name} says how an answer is framed, which is the server's to say")
        return cls(name, value)

    def __str__(self) -> str:
        return f"{self.name}: {self.value}"


class Slowness(int):
    """Milliseconds. A word where the number should be is 0 in uWSGI, and files have ``log-slow = true``."""

    __slots__ = ()
    allows_comment = True

    @classmethod
    def parse(cls, text: str) -> Slowness:
        """Raises: ConfigError: with what was expected."""
        if text.strip().lower() in ("true", "false", "on", "off", "yes", "no"):
            return cls(0)
        return cls(kind_of(int).parse(text))
