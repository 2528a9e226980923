# ruff: noqa: RUF009 - option() makes a dataclass field, it shares no default.
"""Options about the log."""

from dataclasses import dataclass
from typing import Literal

from m2serve.config.log_values import (
    LogDate,
    LogEncoder,
    LogRoute,
    LogTarget,
    RsyslogTarget,
    SocketTarget,
    SyslogTarget,
    ZeromqTarget,
)
from m2serve.config.modes import Mode
from m2serve.config.option import option
from m2serve.config.static_values import Pattern
from m2serve.config.values import Slowness
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
        "Where the log goes: file:PATH is logto; socket:HOST:PORT, socket:PATH, syslog[:IDENT], rsyslog:HOST[:PORT], "
        "systemd and zeromq:ENDPOINT get its lines besides; stdio changes nothing. With a name in front it gets what "
        "log-route sends there, and nothing else.",
        metavar="[NAME ]TARGET",
    )
    log_syslog: tuple[SyslogTarget, ...] = option((), "As logger = syslog:IDENT.", metavar="[IDENT]")
    log_rsyslog: tuple[RsyslogTarget, ...] = option((), "As logger = rsyslog:ADDRESS.", metavar="HOST[:PORT][,IDENT]")
    log_socket: tuple[SocketTarget, ...] = option((), "As logger = socket:ADDRESS.", metavar="ADDRESS")
    log_zeromq: tuple[ZeromqTarget, ...] = option((), "As logger = zeromq:ENDPOINT.", metavar="ENDPOINT")
    log_encoder: tuple[LogEncoder, ...] = option(
        (),
        "What makes other lines of those of the log, one after the other: prefix TEXT, suffix TEXT, nl, format "
        "TEMPLATE, json TEMPLATE with ${msg} and so on, gzip, compress, msgpack ITEM|ITEM. With the name of a logger "
        "it is for that one.",
        metavar="NAME[:LOGGER] [ARGUMENT]",
    )
    log_route: tuple[LogRoute, ...] = option(
        (), "Lines that match go to the logger of that name, and nowhere else.", metavar="LOGGER REGEXP"
    )
    log_filter: tuple[Pattern, ...] = option((), "Only lines that match one of these are logged.", metavar="REGEXP")
    log_drain: tuple[Pattern, ...] = option((), "Lines that match are not logged.", metavar="REGEXP")
    log_maxsize: Bytes = option(Bytes(0), "Give the log file another name when it has grown so large.")
    log_backupname: str | None = option(
        None, "That name; by default the time in seconds is appended to its own.", metavar="FILE"
    )
    log_truncate: bool = option(False, "Empty the log file at the start.")
    log_reopen: bool = option(False, "Open the log file by its name again at each reload.")
    logfile_chown: bool = option(False, "Give the log file to uid and gid.")
    logfile_chmod: Mode | None = option(None, "Permissions of the log file, as an octal number.", metavar="MODE")
    log_date: LogDate = option(
        LogDate("false"),
        "How the time is written with which lines of the log begin: a text for strftime, or, without one, as in "
        "Fri Nov 20 13:46:09 2026. Lines of requests and of the application have their own.",
        names=("logdate",),
        metavar="FORMAT",
    )
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
    log_sendfile: bool = option(False, "The same where a file was sent: a static one, or by wsgi.file_wrapper.")
    req_logger: tuple[LogTarget, ...] = option(
        (),
        "Where the lines for requests go in place of the log: file:PATH, socket:HOST:PORT, socket:PATH, "
        "syslog[:IDENT], rsyslog:HOST[:PORT], zeromq:ENDPOINT, stdio.",
        names=("logger-req",),
        metavar="[NAME ]TARGET",
    )
    log_req_encoder: tuple[LogEncoder, ...] = option(
        (), "As log-encoder, of the lines for requests.", metavar="NAME[:LOGGER] [ARGUMENT]"
    )
    log_req_route: tuple[LogRoute, ...] = option(
        (), "As log-route, between the loggers of req-logger.", metavar="LOGGER REGEXP"
    )
    strict: bool = option(
        False, "Refuse unknown keys, and options that this version does not have, instead of warning about them."
    )
    show_config: bool = option(False, "Print the settings as an ini file, then go on.")
