"""Values of options about where lines of the log go, and what they look like there."""

from __future__ import annotations

import re
import struct
import time
from typing import TYPE_CHECKING, ClassVar, NamedTuple

from m2serve.config.static_values import Pattern
from m2serve.endpoint import Endpoint
from m2serve.errors import ConfigError

if TYPE_CHECKING:
    from typing import Self

_DRIVERS = ("file", "socket", "syslog", "rsyslog", "systemd", "zeromq", "stdio")
_OTHER_NAMES = {"zmq": "zeromq", "stdout": "stdio"}
_MAY_BE_BARE = frozenset({"stdio", "syslog", "systemd"})
_EXPECTED = (
    "expected file:PATH, socket:HOST:PORT, socket:PATH, syslog, syslog:IDENT, rsyslog:HOST:PORT, systemd, "
    "zeromq:ENDPOINT or stdio"
)
_NAMED = re.compile(r"(?P<name>[\w.-]+)[ \t]+(?P<rest>\w+(?::.*)?)", re.DOTALL)


class LogTarget(NamedTuple):
    """``file:PATH``, ``socket:ADDRESS``, ``syslog``, ``zeromq:ENDPOINT`` and so on; in front, perhaps, a name."""

    driver: str
    argument: str
    text: str
    name: str = ""
    """Under which routes and encoders speak of it; empty: it gets every line."""

    @classmethod
    def parse(cls, text: str) -> LogTarget:
        """Raises: ConfigError: with what was expected."""
        match = _NAMED.fullmatch(text.strip())
        name, rest = (match["name"], match["rest"]) if match is not None else ("", text)
        driver, _, argument = rest.partition(":")
        driver, argument = driver.strip(), argument.strip()
        driver = _OTHER_NAMES.get(driver, driver)
        if driver not in _DRIVERS or not (argument or driver in _MAY_BE_BARE) or "\0" in text:
            raise ConfigError(_EXPECTED)
        if driver == "zeromq":
            Endpoint.parse(argument)
        if driver == "rsyslog":
            remote(argument)
        return cls(driver, argument, text, name)

    def __str__(self) -> str:
        return self.text


def remote(argument: str) -> tuple[str, int, str]:
    """Host, port and ident of ``HOST[:PORT][,IDENT]``, as rsyslog has it.

    Raises: ConfigError: the port is none.
    """
    address, _, ident = argument.partition(",")
    host, _, port = address.rpartition(":") if address.count(":") == 1 else (address, "", "514")
    if not host or not (port.isascii() and port.isdigit()) or not 0 < int(port[:6]) < 65536:
        raise ConfigError("expected rsyslog:HOST, rsyslog:HOST:PORT or rsyslog:HOST:PORT,IDENT")
    return host, int(port), ident


class _Driven(str):
    """A target of one driver, whose option says which; the text is what stands behind the colon."""

    __slots__ = ()
    driver: ClassVar[str]

    @classmethod
    def parse(cls, text: str) -> Self:
        """Raises: ConfigError: with what was expected."""
        made = cls(text)
        made.target()
        return made

    def target(self) -> LogTarget:
        """The same as ``logger`` has it."""
        return LogTarget.parse(f"{self.driver}:{self}")


class SyslogTarget(_Driven):
    """``IDENT``, or nothing."""

    __slots__ = ()
    driver = "syslog"


class RsyslogTarget(_Driven):
    """``HOST[:PORT][,IDENT]``"""

    __slots__ = ()
    driver = "rsyslog"


class SocketTarget(_Driven):
    """``HOST:PORT`` or a path."""

    __slots__ = ()
    driver = "socket"


class ZeromqTarget(_Driven):
    """``tcp://HOST:PORT`` or ``ipc://PATH``."""

    __slots__ = ()
    driver = "zeromq"


ENCODERS = ("prefix", "suffix", "nl", "format", "json", "gzip", "compress", "msgpack")
BINARY = frozenset({"gzip", "compress", "msgpack"})
"""Those that make no text."""
_TEMPLATES = frozenset({"format", "json"})
_FIELD = re.compile(r"\$\{([^{}]*)\}")
FIELDS = ("msg", "msgnl", "unix", "micros", "text", "level", "logger", "pid")
"""What may stand between ``${`` and ``}``, ``strftime:FORMAT`` apart. The first four are uWSGI's."""
ITEMS = (*FIELDS, "msgbin", "msgbinnl", "nil", "true", "false")
"""Of msgpack; besides ``strftime:FORMAT``, ``str:TEXT``, ``bin:TEXT``, and those with a number."""
_NUMBERED = {"map": 1 << 32, "array": 1 << 32, "int": 1 << 63}
_NUMBER = re.compile(r"(-?)[0-9]{1,19}")


class LogEncoder(NamedTuple):
    """What makes another line of a line of the log.

    ``target`` is the name of the only logger it is for; empty: it is for all.
    """

    kind: str
    argument: str
    target: str = ""

    @classmethod
    def parse(cls, text: str) -> LogEncoder:
        """Read ``NAME``, ``NAME ARGUMENT`` or ``NAME:LOGGER ARGUMENT``.

        Raises: ConfigError: with what was expected.
        """
        # Blanks at the end of a prefix count; those of the ini file itself have been taken away already.
        head, _, argument = text.lstrip().partition(" ")
        kind, _, target = head.strip().partition(":")
        if kind not in ENCODERS or "\0" in text:
            raise ConfigError(f"expected one of {', '.join(ENCODERS)}, perhaps with :LOGGER, and its argument")
        if kind in _TEMPLATES:
            if not argument:
                raise ConfigError(f"expected a template behind {kind}, for instance {kind} ${{msgnl}}")
            for field in _FIELD.findall(argument):
                if field not in FIELDS and not field.startswith("strftime:"):
                    known = ", ".join(f"${{{name}}}" for name in FIELDS)
                    raise ConfigError(f"${{{field}}}: expected one of {known}, ${{strftime:FORMAT}}")
        if kind == "msgpack":
            for item in argument.split("|"):
                _check_item(item)
        return cls(kind, argument, target)

    def parts(self) -> list[str]:
        """A template's text and, at the odd places, its fields."""
        return _FIELD.split(self.argument)

    def __str__(self) -> str:
        head = f"{self.kind}:{self.target}" if self.target else self.kind
        return f"{head} {self.argument}" if self.argument else head


def _check_item(item: str) -> None:
    """Raises: ConfigError: it is none of msgpack's."""
    name, colon, value = item.partition(":")
    if name in _NUMBERED:
        match = _NUMBER.fullmatch(value)
        if match is None or not int(value) < _NUMBERED[name] or (match[1] and name != "int"):
            raise ConfigError(f"{item}: expected a whole number behind {name}:")
    elif name == "float":
        try:
            struct.pack(">f", float(value))
        except (ValueError, OverflowError) as error:
            raise ConfigError(f"{item}: expected a number behind float:") from error
    elif not (colon and name in ("str", "bin", "strftime")) and item not in ITEMS:
        known = ", ".join([*(f"{one}:N" for one in (*_NUMBERED, "float")), "str:TEXT", "bin:TEXT", *ITEMS])
        raise ConfigError(f"{item!r}: expected items of msgpack with | between them: {known}, strftime:FORMAT")


class LogDate(str):
    """How the moment of a line of the log is written: ``true``: as uWSGI does; ``false``: as m2serve does; else a text
    for strftime.
    """

    __slots__ = ()
    optional = True

    @classmethod
    def parse(cls, text: str) -> LogDate:
        """Raises: ConfigError: with what was expected."""
        word = text.strip().lower()
        if word in ("", "1", "true", "on", "yes"):
            return cls("true")
        if word in ("0", "false", "off", "no"):
            return cls("false")
        if "\0" in text:
            raise ConfigError("expected true, or a text for strftime, for instance %Y-%m-%d %H:%M:%S")
        return cls(text)

    def __bool__(self) -> bool:
        return self != "false"

    def of(self, moment: float) -> str:
        """That moment, in seconds since the epoch."""
        return time.ctime(moment) if self == "true" else time.strftime(self, time.localtime(moment))


class LogRoute(NamedTuple):
    """Lines that match, and the name of the logger they go to."""

    target: str
    pattern: Pattern

    @classmethod
    def parse(cls, text: str) -> LogRoute:
        """Read ``LOGGER REGEXP``.

        Raises: ConfigError: with what was expected.
        """
        target, _, regexp = text.strip().partition(" ")
        if not regexp.strip():
            raise ConfigError("expected the name of a logger, a blank and a regular expression")
        return cls(target, Pattern.parse(regexp.strip()))

    def __str__(self) -> str:
        return f"{self.target} {self.pattern}"
