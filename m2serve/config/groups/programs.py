# ruff: noqa: RUF009 - option() makes a dataclass field, it shares no default.
"""Options about programs that the master runs beside the server."""

# Annotations are read at run time: no postponed evaluation in this directory.
from dataclasses import dataclass

from m2serve.config.crons import CronLine, KeyedCronLine, UniqueCronLine
from m2serve.config.daemonlines import (
    ControlDaemonLine,
    DaemonLine,
    Farm,
    KeyedDaemonLine,
    Mule,
    SmartDaemonLine,
    SmartForegroundLine,
)
from m2serve.config.option import option
from m2serve.ids import Seconds


@dataclass(frozen=True)
class ProgramsGroup:
    """Programs beside the server"""

    attach_daemon: tuple[DaemonLine, ...] = option(
        (), "Keep this command running as long as the server; it stays in the foreground.", metavar="COMMAND"
    )
    attach_control_daemon: tuple[ControlDaemonLine, ...] = option(
        (), "The same; when it ends by itself the server stops.", metavar="COMMAND"
    )
    attach_daemon2: tuple[KeyedDaemonLine, ...] = option(
        (),
        "The same with options: cmd, stopsignal, reloadsignal, touch, chdir, max_throttle, control, uid, gid; pidfile, "
        "daemonize, freq.",
        metavar="KEY=VALUE,...",
    )
    smart_attach_daemon: tuple[SmartDaemonLine, ...] = option(
        (),
        "Start this command, which goes into the background, unless the process of its pid file is there; it outlives "
        "the server.",
        metavar="PIDFILE COMMAND",
    )
    smart_attach_daemon2: tuple[SmartForegroundLine, ...] = option(
        (), "The same for a command that stays in the foreground.", metavar="PIDFILE COMMAND"
    )
    daemons_honour_stdin: bool = option(
        False, "Attached daemons have the standard input of the server (see honour-stdin); else it is /dev/null."
    )
    mule: tuple[Mule, ...] = option(
        (),
        "Keep this script running as long as the server, in a process with the application's environment; true for one "
        "of mules.",
        metavar="FILE|MODULE:FUNCTION",
    )
    mules: int = option(
        0, "So many mules more, that load the application and wait for messages (uwsgi.mule_msg).", metavar="N"
    )
    mule_msg_size: int = option(
        1024 * 1024,
        "Bytes of messages that may lie unread for each mule and farm, if the kernel lets them.",
        minimum=1,
    )
    farm: tuple[Farm, ...] = option(
        (),
        "Group of mules, by their numbers, that share messages (uwsgi.farm_msg): whichever comes first gets one.",
        metavar="NAME:1,2,3",
    )
    mule_reload_mercy: Seconds | None = option(
        None, "How long mules may take to leave; then they are killed. By default as reload-mercy."
    )
    mule_harakiri: Seconds = option(
        Seconds(0), "Kill a mule that is at work on one message for so long, with its stacks in the log; 0 for never."
    )
    cron: tuple[CronLine, ...] = option(
        (),
        "Run a command at that time: minute, hour, day, month, weekday (0 is Sunday); -1 for any, -N for every N. If "
        "both day and weekday are given either is enough.",
        metavar="TIME COMMAND",
    )
    unique_cron: tuple[UniqueCronLine, ...] = option(
        (), "The same, but not while it still runs.", metavar="TIME COMMAND"
    )
    cron2: tuple[KeyedCronLine, ...] = option(
        (),
        "The same with options: minute=,hour=,day=,month=,week=,unique=,harakiri= and, behind a blank, the command.",
        metavar="KEY=VALUE,... COMMAND",
    )
    cron_harakiri: Seconds = option(Seconds(0), "Kill a command of cron that runs so long; 0 for never.")
