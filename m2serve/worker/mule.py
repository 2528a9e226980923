"""Entry of a mule, after the fork: a script of the application's beside its workers, or what gets their messages."""

from __future__ import annotations

import importlib
import logging
import os
import runpy
import sys
from typing import TYPE_CHECKING, NoReturn

from m2serve.apps.mounts import load_all
from m2serve.apps.prepare import prepare, settle
from m2serve.apps.uwsgi import install as uwsgi
from m2serve.apps.uwsgi.module import loaded
from m2serve.apps.uwsgi.mulework import work
from m2serve.errors import AppLoadError, ExitCode
from m2serve.observe.log import reclaim
from m2serve.system.deeds import try_all
from m2serve.worker.loading import drop, running_in

if TYPE_CHECKING:
    from m2serve.apps.uwsgi.running import Running
    from m2serve.config.settings import Settings
    from m2serve.system.privileges import Privileges
    from m2serve.transports.node import NodeFds

log = logging.getLogger("m2serve.mule")


def run(settings: Settings, node: NodeFds, number: int, script: str, late: Privileges | None = None) -> int:
    """Run the script to its end, in the environment of the application; gives the exit code.

    Args:
        number: from 1 on.
        script: a file, or ``module:function``, which is called without arguments; empty: the application is loaded, and
            what its decorators ask for is done, then its ``uwsgi.mule_msg_hook`` gets messages, one after the other,
            for ever.
        late: whom we become when the application has been loaded.
    """
    running = running_in(settings, node, mule=number)
    uwsgi.install(running)
    try_all(settings, "as_mule")
    try:
        prepare(settings)
        if not script:
            load_all(settings)
            settle(settings)
            reclaim()
            if late:
                drop(late, node.master)
    except AppLoadError as error:
        log.error("%s: %s", script or f"mule {number}", error)
        return ExitCode.APP_LOAD
    if not script:
        _listen(running)
    module, separator, function = script.partition(":")
    if separator and not os.path.exists(script):
        getattr(importlib.import_module(module), function)()
    else:
        sys.argv[:] = [script]
        runpy.run_path(script, run_name="__main__")
    return ExitCode.OK


def _listen(running: Running) -> NoReturn:
    for own in running.in_mule:
        own()
    # Tests wait for this line.
    log.info("mule %d waits for messages", running.mule)
    while True:
        taken = running.boxes.take(running.mule)
        module = loaded()
        hook = None if module is None else module.__dict__.get("mule_msg_hook")
        if taken is not None:
            work(running, taken, hook)
