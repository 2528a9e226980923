"""Programs that run beside the server, as the options name them."""

from __future__ import annotations

import re
import signal
from typing import TYPE_CHECKING, NamedTuple, Self

from m2serve.config import keyval
from m2serve.errors import ConfigError

if TYPE_CHECKING:
    from m2serve.config.settings import Settings

_KEYS = {
    **dict.fromkeys(("cmd", "command", "exec"), "cmd"),
    **{name: name for name in ("freq", "pidfile", "control", "touch", "uid", "gid", "chdir", "max_throttle")},
    **dict.fromkeys(("daemonize", "daemon"), "daemonize"),
    **dict.fromkeys(("stopsignal", "stop_signal"), "stopsignal"),
    **dict.fromkeys(("reloadsignal", "reload_signal"), "reloadsignal"),
    **dict.fromkeys(("notifypid", "stdin", "ns_pid"), "notifypid"),
}
_FREQUENCY = 10


class DaemonLine(NamedTuple):
    """One program. With a pidfile it is a *smart* one: it outlives the server."""

    command: str
    pidfile: str = ""
    foreground: bool = True
    """Smart: the command stays, so that the file is ours to write; else it goes into the background itself."""
    stop_signal: int = int(signal.SIGTERM)
    reload_signal: int = 0
    """0: the stop signal."""
    frequency: int = _FREQUENCY
    """Smart: so many seconds without it, and it is started again."""
    touch: str = ""
    """A file whose change starts it anew."""
    uid: str = ""
    gid: str = ""
    chdir: str = ""
    longest_pause: int = 0
    """Seconds between two lives at most; 0: as for everything."""
    control: bool = False
    """The server ends with it."""
    text: str = ""
    """As it was written."""

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a command for the shell.

        Raises: ConfigError: with what was expected.
        """
        return cls(_command(text), text=text)

    def __str__(self) -> str:
        return self.text


class ControlDaemonLine(DaemonLine):
    """The same; the server ends with it."""

    @classmethod
    def parse(cls, text: str) -> Self:
        return cls(_command(text), control=True, text=text)


class SmartDaemonLine(DaemonLine):
    """``PIDFILE COMMAND``: the command goes into the background, and writes the file."""

    @classmethod
    def parse(cls, text: str) -> Self:
        return cls(*_smart(text, foreground=False))


class SmartForegroundLine(DaemonLine):
    """``PIDFILE COMMAND``: the command stays in the foreground."""

    @classmethod
    def parse(cls, text: str) -> Self:
        return cls(*_smart(text, foreground=True))


class KeyedDaemonLine(DaemonLine):
    """``cmd=COMMAND,stopsignal=15,chdir=DIR``."""

    @classmethod
    def parse(cls, text: str) -> Self:
        values = keyval.parse(text, _KEYS)
        if "notifypid" in values:
            raise ConfigError("expected none of notifypid, stdin, ns_pid: m2serve has no such thing")
        pidfile = values.get("pidfile", "")
        return cls(
            _command(values.get("cmd", "")),
            pidfile,
            not pidfile or keyval.number(values, "daemonize", 0) != 0,
            _signal(values, "stopsignal", int(signal.SIGTERM)),
            _signal(values, "reloadsignal", 0),
            keyval.number(values, "freq", _FREQUENCY),
            values.get("touch", ""),
            values.get("uid", ""),
            values.get("gid", ""),
            values.get("chdir", ""),
            keyval.number(values, "max_throttle", 0),
            keyval.number(values, "control", 0) != 0,
            text,
        )


def _command(text: str) -> str:
    if not text.strip() or "\0" in text:
        raise ConfigError("expected a command")
    return text.strip()


def _smart(text: str, *, foreground: bool) -> DaemonLine:
    pidfile, _, command = text.strip().partition(" ")
    if not command.strip():
        raise ConfigError("expected the path of a pid file and, behind a blank, a command")
    return DaemonLine(_command(command), pidfile, foreground, text=text)


def _signal(values: dict[str, str], name: str, default: int) -> int:
    text = values.get(name)
    if text is None:
        return default
    word = text.upper().removeprefix("SIG")
    if f"SIG{word}" in signal.Signals.__members__:
        return int(signal.Signals[f"SIG{word}"])
    if text.isdecimal() and int(text) in {int(one) for one in signal.valid_signals()}:
        return int(text)
    raise ConfigError(f"{name}={text}: expected the number or the name of a signal")


class Mule(str):
    """A script, ``FILE`` or ``MODULE:FUNCTION``; empty: one of uWSGI's that waits for messages."""

    __slots__ = ()

    @classmethod
    def parse(cls, text: str) -> Self:
        """Raises: ConfigError: with what was expected."""
        if "\0" in text:
            raise ConfigError("expected a file, or module:function")
        return cls("" if text.strip().lower() in ("true", "1") else text.strip())


class Farm(NamedTuple):
    """A group of mules that share their messages."""

    name: str
    mules: tuple[int, ...]

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read ``NAME:1,2,3``.

        Raises: ConfigError: with what was expected.
        """
        name, separator, numbers = text.partition(":")
        mules = [number.strip() for number in numbers.split(",")]
        if not separator or not name.strip() or not all(re.fullmatch("[1-9][0-9]{0,5}", one) for one in mules):
            raise ConfigError("expected NAME:1,2,3, a name and the numbers of mules")
        return cls(name.strip(), tuple(dict.fromkeys(map(int, mules))))

    def __str__(self) -> str:
        return f"{self.name}:{','.join(map(str, self.mules))}"


def mule_scripts(settings: Settings) -> tuple[str, ...]:
    """What each mule runs; empty: it waits for messages."""
    return (*settings.mule, *("" for _ in range(settings.mules)))
