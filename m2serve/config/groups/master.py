# ruff: noqa: RUF009 - option() makes a dataclass field, it shares no default.
"""Options about the master process"""

# Annotations are read at run time: no postponed evaluation in this directory.
from dataclasses import dataclass

from m2serve.config.deeds import TouchedCommand, TouchedDeed
from m2serve.config.option import compatible, option
from m2serve.ids import Seconds


@dataclass(frozen=True)
class MasterGroup:
    """The master"""

    pidfile: str | None = option(
        None,
        "File for the master's pid, written before anything is started, removed at exit.",
        metavar="FILE",
    )
    pidfile2: str | None = option(None, "The same, written when user and root directory have changed.", metavar="FILE")
    safe_pidfile: str | None = option(
        None,
        "The same, written when all workers have been ready for the first time.",
        names=("safe-pidfile2",),
        metavar="FILE",
    )
    master_fifo: tuple[str, ...] = option(
        (),
        "FIFO for commands of one letter (docs/signals.md). The first one is read until a digit names another.",
        metavar="FILE",
    )
    touch_reload: tuple[str, ...] = option((), "Reload when this file changes or appears.", metavar="FILE")
    touch_chain_reload: tuple[str, ...] = option(
        (), "Reload worker by worker when this file changes or appears.", metavar="FILE"
    )
    touch_workers_reload: tuple[str, ...] = option((), "The same as touch-reload.", metavar="FILE")
    touch_mules_reload: tuple[str, ...] = option(
        (), "Start mules anew when this file changes or appears.", metavar="FILE"
    )
    fs_reload: tuple[str, ...] = option(
        (), "Reload when this file, or anything that lies in this directory, changes.", metavar="PATH"
    )
    fs_brutal_reload: tuple[str, ...] = option((), "The same with a brutal reload.", metavar="PATH")
    touch_exec: tuple[TouchedCommand, ...] = option(
        (), "Run a command when this file changes or appears.", metavar="FILE COMMAND"
    )
    hook_touch: tuple[TouchedDeed, ...] = option((), "Do this when the file changes or appears.", metavar="FILE ACTION")
    touch_logreopen: tuple[str, ...] = option(
        (), "Open the file of logto again when this file changes or appears.", metavar="FILE"
    )
    touch_logrotate: tuple[str, ...] = option(
        (), "File whose change gives the log file another name, and opens a new one.", metavar="FILE"
    )
    py_autoreload: Seconds = option(
        Seconds(0),
        "Look every so many seconds whether a module that the application has imported has changed, and reload; for "
        "development. 0: never.",
        names=("py-auto-reload", "python-autoreload", "python-auto-reload"),
    )
    py_auto_reload_ignore: tuple[str, ...] = option(
        (), "Module whose changes count for nothing, with all below it.", metavar="MODULE"
    )
    die_on_term: bool = option(True, "TERM stops the server; with false it is a brutal reload, as in uWSGI 2.0.")
    exit_on_reload: bool = option(False, "Stop with exit code 0, gracefully, where a reload is asked for.")
    no_orphans: bool = compatible(True, "every process ends with its master")
