# ruff: noqa: RUF009 - option() makes a dataclass field, it shares no default.
"""Options about the log."""

from dataclasses import dataclass
from typing import Literal

from m2serve.config.modes import Mode
from m2serve.config.option import option


@dataclass(frozen=True)
class LogGroup:
    """Logging and configuration"""

    logto: str | None = option(
        None, "File that receives the log and everything the application prints.", metavar="FILE"
    )
    logto2: str | None = option(None, "The same, opened when user and root directory have changed.", metavar="FILE")
    logfile_chown: bool = option(False, "Give the log file to uid and gid.")
    logfile_chmod: Mode | None = option(None, "Permissions of the log file, as an octal number.", metavar="MODE")
    log_level: Literal["debug", "info", "warning", "error"] = option("info", "Least severity to log.")
    disable_logging: bool = option(False, "Write no line for each request.", names=("L",))
    strict: bool = option(
        False, "Refuse unknown keys, and options that this version does not have, instead of warning about them."
    )
    show_config: bool = option(False, "Print the settings as an ini file, then go on.")
