# ruff: noqa: RUF009 - option() makes a dataclass field, it shares no default.
"""Options about the log."""

from dataclasses import dataclass
from typing import Literal

from m2serve.config.modes import Mode
from m2serve.config.option import option
from m2serve.config.values import LogTarget, Slowness
from m2serve.ids import Bytes


@dataclass(frozen=True)
class LogGroup:
    """Logging and configuration"""

    logto: str | None = option(
        None, "File that receives the log and everything the application prints.", metavar="FILE"
    )
    logto2: str | None = option(None, "The same, opened when user and root directory have changed.", metavar="FILE")
    logger: tuple[LogTarget, ...] = option(
        (),
        "Where the log goes: file:PATH is logto; socket:HOST:PORT, socket:PATH and syslog[:IDENT] get m2serve's own "
        "lines besides; stdio changes nothing.",
        metavar="TARGET",
    )
    log_maxsize: Bytes = option(Bytes(0), "Give the log file another name when it has grown so large.")
    log_backupname: str | None = option(
        None, "That name; by default the time in seconds is appended to its own.", metavar="FILE"
    )
    log_truncate: bool = option(False, "Empty the log file at the start.")
    log_reopen: bool = option(False, "Open the log file by its name again at each reload.")
    logfile_chown: bool = option(False, "Give the log file to uid and gid.")
    logfile_chmod: Mode | None = option(None, "Permissions of the log file, as an octal number.", metavar="MODE")
    log_level: Literal["debug", "info", "warning", "error"] = option("info", "Least severity to log.")
    disable_logging: bool = option(False, "Write no line for each request.", names=("L",))
    log_format: str | None = option(
        None, "Form of the line for each request, with %(uri), %(status), %(msecs) and so on.", names=("logformat",)
    )
    log_format_strftime: bool = option(
        False, "The text of log-format is one for strftime, too.", names=("logformat-strftime",)
    )
    log_micros: bool = option(False, "Times in the usual line are microseconds.")
    log_x_forwarded_for: bool = option(
        False, "%(addr) is what the header X-Forwarded-For says, which any client can write."
    )
    memory_report: bool = option(False, "Begin each usual line with the worker's memory.", names=("m",))
    log_4xx: bool = option(False, "With disable-logging, a line for each answer of 400 to 499 all the same.")
    log_5xx: bool = option(False, "The same for answers of 500 and more.")
    log_slow: Slowness = option(Slowness(0), "The same for requests that take so many milliseconds.", metavar="MS")
    log_big: Bytes = option(Bytes(0), "The same for answers with so large a body.")
    log_zero: bool = option(False, "The same for answers without a body.")
    log_ioerror: bool = option(False, "The same where the client could not be read from or written to.")
    req_logger: tuple[LogTarget, ...] = option(
        (),
        "Where the lines for requests go in place of the log: file:PATH, socket:HOST:PORT, socket:PATH, "
        "syslog[:IDENT], stdio.",
        names=("logger-req",),
        metavar="TARGET",
    )
    strict: bool = option(
        False, "Refuse unknown keys, and options that this version does not have, instead of warning about them."
    )
    show_config: bool = option(False, "Print the settings as an ini file, then go on.")
