"""Entry of a mule, after the fork: a script of the application's beside its workers."""

from __future__ import annotations

import importlib
import logging
import os
import runpy
import sys
from typing import TYPE_CHECKING

from m2serve.apps.cache.cache import Caches
from m2serve.apps.prepare import prepare
from m2serve.apps.uwsgi import install as uwsgi
from m2serve.apps.uwsgi.running import Running
from m2serve.config.caches import caches
from m2serve.errors import AppLoadError, ExitCode

if TYPE_CHECKING:
    from m2serve.config.settings import Settings
    from m2serve.transports.node import NodeFds

log = logging.getLogger("m2serve.mule")


def run(settings: Settings, node: NodeFds, number: int, script: str) -> int:
    """Run the script to its end, in the environment of the application; gives the exit code.

    Args:
        number: from 1 on.
        script: a file, or ``module:function``, which is called without arguments.
    """
    running = Running(settings, node.ledger_fd, node.master, node.started, mule=number)
    running.caches = Caches(caches(settings), node.caches)
    uwsgi.install(running)
    try:
        prepare(settings)
    except AppLoadError as error:
        log.error("%s: %s", script, error)
        return ExitCode.APP_LOAD
    module, separator, function = script.partition(":")
    if separator and not os.path.exists(script):
        getattr(importlib.import_module(module), function)()
    else:
        sys.argv[:] = [script]
        runpy.run_path(script, run_name="__main__")
    return ExitCode.OK
