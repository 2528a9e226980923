# ruff: noqa: RUF009 - option() makes a dataclass field, it shares no default.
"""Options about alarms."""

# Annotations are read at run time: no postponed evaluation in this directory.
from dataclasses import dataclass

from m2serve.config.alarms import Alarm, AlarmFd, AlarmRule
from m2serve.config.option import option
from m2serve.ids import Seconds


@dataclass(frozen=True)
class AlarmsGroup:
    """Alarms"""

    alarm: tuple[Alarm, ...] = option(
        (),
        "Somebody to be told: a command that gets the text as its standard input, or the log.",
        metavar="NAME cmd:COMMAND",
    )
    alarm_log: tuple[AlarmRule, ...] = option(
        (), "Raise alarms at lines of the log that match.", names=("log-alarm",), metavar="NAME[,NAME] REGEXP"
    )
    alarm_not_log: tuple[AlarmRule, ...] = option(
        (),
        "Not at these lines, whatever alarm-log says.",
        names=("not-alarm-log", "not-log-alarm"),
        metavar="NAME[,NAME] REGEXP",
    )
    alarm_backlog: tuple[str, ...] = option(
        (),
        "Raise this alarm when requests are refused because too many wait.",
        names=("backlog-alarm", "alarm-listen-queue", "listen-queue-alarm", "alarm-lq", "lq-alarm"),
        metavar="NAME",
    )
    alarm_segfault: tuple[str, ...] = option(
        (), "Raise this alarm when SIGSEGV has ended a process.", names=("segfault-alarm",), metavar="NAME"
    )
    alarm_fd: tuple[AlarmFd, ...] = option(
        (),
        "Raise this alarm, with this text, when a descriptor that m2serve was started with has something to read: each "
        "byte of it is one event, or each so many bytes, 8 of an eventfd.",
        metavar="NAME FD[:BYTES] TEXT",
    )
    alarm_freq: Seconds = option(
        Seconds(3), "An alarm is raised once in so many seconds; the last one says what came meanwhile."
    )
