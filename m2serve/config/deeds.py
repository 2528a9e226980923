"""Values of the hooks that files use: ``exec:rm -f /run/x``, ``unix_signal:15 gracefully_kill_them_all``."""

from __future__ import annotations

import re
import signal
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from m2serve.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping

EXPECTED: Final[Mapping[str, str]] = {
    "exec": "COMMAND",
    "safeexec": "COMMAND",
    "print": "TEXT",
    "log": "TEXT",
    "cd": "DIR",
    "chdir": "DIR",
    "mkdir": "DIR",
    "create": "FILE",
    "creat": "FILE",
    "unlink": "FILE",
    "write": "FILE TEXT",
    "writen": "FILE TEXT",
    "append": "FILE TEXT",
    "appendn": "FILE TEXT",
    "writefifo": "FILE TEXT",
    "chmod": "FILE MODE",
    "chown": "FILE USER GROUP",
    "putenv": "NAME=VALUE",
    "unix_signal": "SIGNAL FUNCTION",
}
"""The actions, each with what follows its colon."""

NOT_HERE: Final = frozenset(
    """
    call callret callint callintret alarm rpc mount umount umount2 hostname exit sticky chown2 setscheduler
    wait_for_dir wait_for_file wait_for_socket wait_for_iface wait_for_fs ifup spooler writefifo2 cluster simple_loop
    """.split()
)
"""Actions of uWSGI's that are not done; a file that has one still starts."""

FUNCTIONS: Final = frozenset({"gracefully_kill_them_all", "kill_them_all", "grace_them_all", "reap_them_all"})
"""For ``unix_signal``: what uWSGI's master does at a signal."""


@dataclass(frozen=True)
class Deed:
    """One action. ``words`` is the argument, divided as the action wants it."""

    kind: str
    words: tuple[str, ...]

    @classmethod
    def parse(cls, text: str) -> Deed:
        """Read ``action:argument``.

        Raises: ConfigError: there is no such action, or its argument makes no sense.
        """
        kind, separator, argument = text.partition(":")
        if not separator or (kind not in EXPECTED and kind not in NOT_HERE):
            raise ConfigError(f"expected ACTION:ARGUMENT, with an action of {', '.join(EXPECTED)}")
        if kind in NOT_HERE:
            return cls(kind, (argument,))
        wanted = EXPECTED[kind].split()
        words = argument.split(None, len(wanted) - 1) if len(wanted) > 1 else [argument.strip()]
        if kind.startswith(("write", "append")) and len(words) == 1:
            words.append("")
        if len(words) != len(wanted) or not words[0] or "\0" in argument:
            raise ConfigError(f"expected {kind}:{EXPECTED[kind]}")
        return cls(kind, tuple(_checked(kind, words)))

    @property
    def done_here(self) -> bool:
        return self.kind in EXPECTED

    def __str__(self) -> str:
        return f"{self.kind}:{' '.join(self.words)}"


class Function(str):
    """``MODULE:FUNCTION``, called without arguments. uWSGI's are functions of C, whose names have no colon."""

    __slots__ = ()

    @classmethod
    def parse(cls, text: str) -> Function:
        """Raises: ConfigError: with what was expected."""
        words = text.strip().split(":")
        if len(words) > 2 or not all(name.isidentifier() for word in words for name in word.split(".")):
            raise ConfigError("expected MODULE:FUNCTION")
        return cls(text.strip())

    @property
    def done_here(self) -> bool:
        return ":" in self


@dataclass(frozen=True)
class TouchedDeed:
    """A file, and what is done when it changes."""

    path: str
    deed: Deed

    @classmethod
    def parse(cls, text: str) -> TouchedDeed:
        """Read ``FILE action:argument``.

        Raises: ConfigError: with what was expected.
        """
        path, _, deed = text.strip().partition(" ")
        if not deed.strip():
            raise ConfigError("expected FILE ACTION:ARGUMENT")
        return cls(path, Deed.parse(deed.strip()))

    @property
    def done_here(self) -> bool:
        return self.deed.done_here

    def __str__(self) -> str:
        return f"{self.path} {self.deed}"


class TouchedCommand(TouchedDeed):
    """The same for a command."""

    @classmethod
    def parse(cls, text: str) -> TouchedCommand:
        """Read ``FILE COMMAND``.

        Raises: ConfigError: with what was expected.
        """
        path, _, command = text.strip().partition(" ")
        if not command.strip() or "\0" in text:
            raise ConfigError("expected FILE COMMAND")
        return cls(path, Deed("exec", (command.strip(),)))

    def __str__(self) -> str:
        return f"{self.path} {self.deed.words[0]}"


def _checked(kind: str, words: list[str]) -> list[str]:
    if kind == "chmod" and re.fullmatch(r"0?[0-7]{3,4}", words[1]) is None:
        raise ConfigError(f"{words[1]!r}: expected a mode of octal digits, as in 660")
    if kind == "putenv" and not re.fullmatch(r"[^=]+=.*", words[0], re.DOTALL):
        raise ConfigError("expected putenv:NAME=VALUE")
    if kind == "unix_signal":
        if words[1] not in FUNCTIONS:
            raise ConfigError(f"{words[1]!r}: expected one of {', '.join(sorted(FUNCTIONS))}")
        return [_signal(words[0]), words[1]]
    return words


def _signal(text: str) -> str:
    """``SIGTERM`` for ``15``, ``TERM`` and ``SIGTERM``."""
    try:
        number = (
            signal.Signals(int(text)) if text.isdigit() else signal.Signals[f"SIG{text.upper().removeprefix('SIG')}"]
        )
    except (KeyError, ValueError):
        raise ConfigError(f"{text!r}: expected the name or number of a signal") from None
    if number in (signal.SIGKILL, signal.SIGSTOP, signal.SIGCHLD):
        raise ConfigError(f"{number.name} cannot be given a meaning")
    return number.name
