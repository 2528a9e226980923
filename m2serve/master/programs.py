"""Programs that the master runs and that are none of ours: Mongrel2, attached daemons, commands of cron."""

from __future__ import annotations

import logging
import os
import signal
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from m2serve.config.daemonlines import mule_scripts
from m2serve.ids import Seconds
from m2serve.master.policies.respawn import LONGEST_DELAY
from m2serve.mongrel2.daemon import log_level
from m2serve.system.privileges import Privileges, named

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from m2serve.config.daemonlines import DaemonLine
    from m2serve.config.settings import Settings
    from m2serve.mongrel2.daemon import DaemonSpec

_SHELL = "/bin/sh"


def _as_information(line: str) -> tuple[int, str]:
    return logging.INFO, line


@dataclass(frozen=True)
class Program:
    """What is run, and how it is treated."""

    name: str
    argv: tuple[str, ...]
    command: str
    """As people know it."""
    directory: str | None = None
    environment: Mapping[str, str] = field(default_factory=dict)
    of_application: bool = False
    """It has the application's environment."""
    rights: Privileges = field(default_factory=Privileges)
    address: tuple[str, int] | None = None
    """It is ready when it accepts connections here; None: when it runs."""
    url: str = ""
    stop_signal: int = int(signal.SIGTERM)
    reload_signal: int = int(signal.SIGTERM)
    longest_pause: Seconds = LONGEST_DELAY
    """Between two lives."""
    mercy: Seconds | None = None
    """How long it may take to leave; None: as long as all."""
    control: bool = False
    """The server ends with it."""
    script: str = ""
    """Of a mule, in place of the arguments; empty: it waits for messages."""
    number: int = 0
    """Of a mule, from 1 on; 0: it is none."""
    touch: str = ""
    """A file whose change starts it anew."""
    stdin: bytes = b""
    """What it reads from its standard input."""
    our_stdin: bool = False
    """It has the server's; else there is nothing to read, or what *stdin* says."""
    level: Callable[[str], tuple[int, str]] = _as_information
    """How severe a line of its output is, and what of it is logged."""


@dataclass(frozen=True)
class Smart:
    """A program that outlives the server; its pid file tells whether it is there."""

    program: Program
    pidfile: str
    foreground: bool
    """The file is ours to write."""
    frequency: Seconds
    """So long without it, and it is started again."""


def of_mongrel2(spec: DaemonSpec) -> Program:
    return Program(
        spec.name,
        spec.argv,
        " ".join(spec.argv),
        spec.directory,
        spec.environment,
        address=spec.address,
        url=spec.url,
        level=log_level,
    )


def attached(settings: Settings) -> list[Program]:
    """Daemons that live as long as the server.

    Raises: ConfigError: one is to run as somebody whom nobody knows, or whom we cannot become.
    """
    lines = [line for line in _lines(settings) if not line.pidfile]
    return [_program(settings, f"daemon {number}", line) for number, line in enumerate(lines, 1)]


def mules(settings: Settings) -> list[Program]:
    """Scripts of the application's, and the application, which waits for messages."""
    mercy = settings.mule_reload_mercy
    return [
        Program(f"mule {number}", (), script or f"mule {number}", script=script, number=number, mercy=mercy)
        for number, script in enumerate(mule_scripts(settings), 1)
    ]


def smart(settings: Settings) -> list[Smart]:
    """Daemons that outlive it. Raises: ConfigError, as `attached`."""
    lines = [line for line in _lines(settings) if line.pidfile]
    return [
        Smart(
            _program(settings, f"smart daemon {number}", line),
            os.path.abspath(line.pidfile),
            line.foreground,
            Seconds(float(line.frequency)),
        )
        for number, line in enumerate(lines, 1)
    ]


def of_shell(settings: Settings, name: str, command: str, stdin: bytes = b"") -> Program:
    """A command with the application's environment and directory."""
    return Program(name, (_SHELL, "-c", command), command, settings.chdir, of_application=True, stdin=stdin)


def _program(settings: Settings, name: str, line: DaemonLine) -> Program:
    return Program(
        name,
        (_SHELL, "-c", line.command),
        line.command,
        line.chdir or settings.chdir,
        of_application=True,
        rights=named(line.uid, line.gid, f"attach-daemon2 = {line}"),
        stop_signal=line.stop_signal,
        reload_signal=line.reload_signal or line.stop_signal,
        longest_pause=Seconds(float(line.longest_pause)) if line.longest_pause else LONGEST_DELAY,
        control=line.control,
        touch=line.touch,
        our_stdin=settings.daemons_honour_stdin,
    )


def _lines(settings: Settings) -> Sequence[DaemonLine]:
    return [
        *settings.attach_daemon,
        *settings.attach_control_daemon,
        *settings.attach_daemon2,
        *settings.smart_attach_daemon,
        *settings.smart_attach_daemon2,
    ]
