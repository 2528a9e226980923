# ruff: noqa: RUF009 - option() makes a dataclass field, it shares no default.
"""Options about actions at the moments of the server's life."""

# Annotations are read at run time: no postponed evaluation in this directory.
from dataclasses import dataclass

from m2serve.config.deeds import Deed, Function
from m2serve.config.option import option
from m2serve.ids import Seconds


@dataclass(frozen=True)
class HooksGroup:
    """Actions at moments of the server's life (docs/ini.md)"""

    hook_asap: tuple[Deed, ...] = option((), "Do this as soon as the log is open.", metavar="ACTION")
    exec_asap: tuple[str, ...] = option((), "Run this command then.", metavar="COMMAND")
    hook_pre_jail: tuple[Deed, ...] = option((), "Do this before the change of root directory.", metavar="ACTION")
    exec_pre_jail: tuple[str, ...] = option((), "Run this command then.", metavar="COMMAND")
    hook_post_jail: tuple[Deed, ...] = option((), "The same as hook-pre-jail, after it.", metavar="ACTION")
    exec_post_jail: tuple[str, ...] = option((), "Run this command then.", metavar="COMMAND")
    hook_in_jail: tuple[Deed, ...] = option((), "The same as hook-post-jail, after it.", metavar="ACTION")
    exec_in_jail: tuple[str, ...] = option((), "Run this command then.", metavar="COMMAND")
    hook_as_root: tuple[Deed, ...] = option(
        (), "Do this when sockets and pid files are there, before the change of user.", metavar="ACTION"
    )
    exec_as_root: tuple[str, ...] = option((), "Run this command then.", metavar="COMMAND")
    hook_as_user: tuple[Deed, ...] = option((), "Do this after the change of user.", metavar="ACTION")
    exec_as_user: tuple[str, ...] = option((), "Run this command then.", metavar="COMMAND")
    hook_master_start: tuple[Deed, ...] = option((), "Do this before the first process is started.", metavar="ACTION")
    hook_post_fork: tuple[Deed, ...] = option((), "Do this in each worker, when it begins.", metavar="ACTION")
    hook_pre_app: tuple[Deed, ...] = option((), "Do this before the application is loaded.", metavar="ACTION")
    exec_pre_app: tuple[str, ...] = option((), "Run this command then.", metavar="COMMAND")
    hook_post_app: tuple[Deed, ...] = option((), "Do this when the application is loaded.", metavar="ACTION")
    exec_post_app: tuple[str, ...] = option((), "Run this command then.", metavar="COMMAND")
    call_pre_app: tuple[Function, ...] = option(
        (), "Call this function, without arguments, before the application is loaded.", metavar="MODULE:FUNCTION"
    )
    call_post_app: tuple[Function, ...] = option((), "The same, when it is loaded.", metavar="MODULE:FUNCTION")
    hook_accepting: tuple[Deed, ...] = option((), "Do this in each worker, when it is ready.", metavar="ACTION")
    hook_accepting1: tuple[Deed, ...] = option((), "Do this in worker 1, when it is ready.", metavar="ACTION")
    hook_accepting_once: tuple[Deed, ...] = option(
        (), "Do this in each worker, when it is ready, but not in one that replaces a dead one.", metavar="ACTION"
    )
    hook_accepting1_once: tuple[Deed, ...] = option((), "The same in worker 1.", metavar="ACTION")
    hook_as_mule: tuple[Deed, ...] = option((), "Do this in each mule, when it begins.", metavar="ACTION")
    hook_emperor_start: tuple[Deed, ...] = option((), "Do this when the emperor starts.", metavar="ACTION")
    hook_as_vassal: tuple[Deed, ...] = option(
        (), "Do this in the process that is to be a vassal, before it is one.", metavar="ACTION"
    )
    exec_as_vassal: tuple[str, ...] = option((), "Run this command then.", metavar="COMMAND")
    hook_as_emperor: tuple[Deed, ...] = option(
        (), "Do this beside the emperor when a vassal has been started.", metavar="ACTION"
    )
    exec_as_emperor: tuple[str, ...] = option((), "Run this command then.", metavar="COMMAND")
    hook_as_user_atexit: tuple[Deed, ...] = option((), "Do this when all processes have left.", metavar="ACTION")
    exec_as_user_atexit: tuple[str, ...] = option((), "Run this command then.", metavar="COMMAND")
    hook_timeout: Seconds = option(Seconds(60), "A command that takes longer is killed, and has failed.")
