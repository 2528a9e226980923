"""Loads the application, in a worker or in the nursery that workers are forked from."""

from __future__ import annotations

import gc
import importlib
import logging
import os
import signal
import time
import traceback
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from m2serve.apps.cache.cache import Caches
from m2serve.apps.mounts import Mounts, load_all
from m2serve.apps.prepare import prepare, settle
from m2serve.apps.sources import Sources
from m2serve.apps.uwsgi import install as uwsgi
from m2serve.apps.uwsgi.mules import Boxes
from m2serve.apps.uwsgi.running import Running
from m2serve.config.caches import caches
from m2serve.errors import AppLoadError, ConfigError
from m2serve.observe import alarms, log
from m2serve.system.deeds import perform_all
from m2serve.system.parent_death import die_with
from m2serve.worker.requestlog import open_sinks

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from m2serve.config.settings import Settings
    from m2serve.observe.sinks import Sink
    from m2serve.system.privileges import Privileges
    from m2serve.transports.node import NodeFds

logger = logging.getLogger("m2serve.worker")

SIGNALS = (signal.SIGHUP, signal.SIGINT, signal.SIGTERM, signal.SIGQUIT)
"""Those a worker has handlers for."""


@dataclass(frozen=True)
class Loaded:
    """What loading has come to."""

    mounts: Mounts
    """Where it failed: one application that answers 500 to everything."""
    seconds: float
    failure: Mapping[str, str]
    """The payload of FAILED, ``summary`` and ``traceback``; empty: all is well."""
    handled: frozenset[signal.Signals]
    """Signals of ours for which it has brought its own handler."""
    start: str
    """Where the server was started."""
    base: str
    """Where relative paths begin."""
    running: Running
    """What the application is told about us when it asks."""
    sinks: Sequence[Sink]
    """Where lines about requests go."""
    sources: Sources | None
    """Names the files of what was imported, if somebody watches them."""
    files: Sequence[str]
    """Those it has named so far."""


def running_in(settings: Settings, node: NodeFds, worker: int = 0, mule: int = 0) -> Running:
    """What an application is told about us in the process of that number, and what it shares with all others."""
    running = Running(settings, node.ledger_fd, node.master, node.started, worker, mule)
    running.boxes = Boxes(node.boxes, settings.farm, node.farms)
    running.caches = Caches(caches(settings), node.caches)
    return running


def load(settings: Settings, node: NodeFds, worker: int = 0, late: Privileges | None = None) -> Loaded:
    """Prepare the process and load every application.

    Args:
        worker: that we are; 0: a nursery.
        late: whom we become behind that, loaded or not.
    """
    running = running_in(settings, node, worker)
    lines = log.lines()
    if lines is not None:
        running.say = lines.write
    if settings.alarm:
        running.raise_alarm = alarms.Sender(node.master)
    uwsgi.install(running)
    sinks = open_sinks(settings)  # before the application, or chdir, goes elsewhere
    handlers = {number: signal.getsignal(number) for number in SIGNALS}
    start = os.getcwd()
    base = os.path.join(start, settings.chdir or "")  # the application may go elsewhere
    started = time.monotonic()
    failure: dict[str, str] = {}
    sources = Sources(settings.py_auto_reload_ignore) if settings.py_autoreload else None
    files: list[str] = []
    try:
        prepare(settings)
        _perform(settings, "pre_app")
        mounts = load_all(settings)
        settle(settings)
        _perform(settings, "post_app")
    except AppLoadError as error:
        cause = error.__cause__ or error
        text = "".join(traceback.format_exception(type(cause), cause, cause.__traceback__))
        failure = {"summary": str(error), "traceback": text}
        mounts = Mounts([("", _no_application)])
        files += sources.of_failure(cause) if sources is not None else ()
    if late:
        drop(late, node.master)
    # What was loaded lives as long as the process. No collection need walk it, or touch, and so unshare, its pages.
    gc.freeze()
    log.reclaim()  # an application that configures logging silences loggers that are there already
    files += sources.fresh() if sources is not None else ()
    handled = frozenset(number for number, handler in handlers.items() if signal.getsignal(number) is not handler)
    return Loaded(mounts, time.monotonic() - started, failure, handled, start, base, running, sinks, sources, files)


def drop(rights: Privileges, master: int) -> None:
    """Become somebody else when the application has been loaded."""
    rights.assume()
    # The kernel forgets it with each change of user.
    die_with(master)
    # Tests wait for this line.
    logger.info("has loaded the application as root, and is %s now (pid: %d)", rights, os.getpid())


def _perform(settings: Settings, point: str) -> None:
    """What the settings want done around the loading: hooks, commands, functions.

    Raises: AppLoadError: one failed, which is no better than code.
    """
    try:
        perform_all(settings, point)
    except ConfigError as error:
        raise AppLoadError(str(error)) from None
    for function in getattr(settings, f"call_{point}"):
        if function.done_here:
            module, _, name = function.partition(":")
            try:
                getattr(importlib.import_module(module), name)()
            except Exception as error:
                # the application's, whatever it raises
                raise AppLoadError(f"call-{point.replace('_', '-')} = {function}: {error}") from error


def _no_application(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
    body = b"Internal Server Error: no application loaded\n"
    start_response("500 Internal Server Error", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
    return [body]
