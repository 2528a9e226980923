"""The command ``m2serve``: arguments in, exit code out."""

from __future__ import annotations

import logging
import os
import sys
import time
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, cast

from m2serve import __version__
from m2serve.config.cli import Information, parse
from m2serve.config.describe.help import help_text
from m2serve.config.outside import Outside
from m2serve.config.report import as_ini, check_report
from m2serve.config.settings import examine, load
from m2serve.dispatcher import main as dispatcher
from m2serve.emperor.main import Emperor
from m2serve.errors import ConfigError, ExitCode
from m2serve.master import client, heritage
from m2serve.master.agreement import agree
from m2serve.master.server import Server
from m2serve.master.spawn import Entries
from m2serve.mongrel2 import doctor
from m2serve.observe import log, shape
from m2serve.observe.sinks import sink
from m2serve.plugin import loader
from m2serve.system import activation, fds, filelock, privileges, rlimits
from m2serve.system.background import VASSAL, Launch, enter
from m2serve.system.start import Start
from m2serve.worker import main as worker
from m2serve.worker import mule, nursery

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from m2serve.config.settings import Examined, Settings
    from m2serve.master.heritage import Heritage
    from m2serve.plugin.hooks import Hooks
    from m2serve.system.privileges import Privileges

logger = logging.getLogger("m2serve.master")

_HIGHEST = 2
"""Of Python's levels of optimization."""
_ATTEMPTS = 10
"""A second each, after an upgrade: files that were good at the trial a moment ago are perhaps being written."""


def main(argv: Sequence[str]) -> int:
    """Run a server until it stops, signal another, or answer ``--help``, ``--version``, ``--check``."""
    line = parse(argv)
    if line.wants is Information.VERSION:
        return _answer(f"m2serve {__version__}\n")
    if line.wants is Information.HELP:
        return _answer(help_text(examine(argv, os.environ, Outside(), find=loader.find).table))
    if line.orders:
        return _order(line.orders)
    if line.doctor:
        return _examine(examine(argv, os.environ, Outside(), find=loader.find))
    launch = Launch()
    try:
        # A trial is the child of the master it may replace.
        left = heritage.take(os.environ, os.getppid() if line.check else os.getpid())
        if line.check:
            examined = examine(argv, os.environ, Outside(), find=loader.find)
            return _check(examined) if left is None else _try(examined, left)
        start = Start.of_this_process()
        settings = load(argv, os.environ, find=loader.find) if left is None else _load_again(argv, left)
        if left is None:
            _optimize(settings, start)
        activated = activation.take(os.environ, os.getpid())
        rights = privileges.wanted(settings)
        if settings.show_config:
            _answer(as_ini(settings))
        if left is None:
            launch = _leave_terminal(settings)
        _open_log(settings, rights, left)
        _lock_files(settings, left)
        rlimits.apply(settings)
        if not settings.honour_stdin:
            fds.leave_standard_input()  # the files of settings may have come from there
        hooks = _set_up(settings)
    except ConfigError as error:
        if launch:
            launch.failed(ExitCode.CONFIG, str(error))
        else:
            _complain(str(error))
        return ExitCode.CONFIG
    _log(settings)
    if left is not None and min(settings.optimize or 0, _HIGHEST) > sys.flags.optimize:
        logger.warning("optimize stays %d until a restart", sys.flags.optimize)
    if settings.emperor:
        return Emperor(settings, rights, launch).run()
    late = rights if settings.drop_after_apps else None
    entries = Entries(
        dispatcher.run,
        partial(worker.run, hooks=hooks, late=late),
        partial(nursery.run, hooks=hooks, late=late),
        partial(mule.run, late=late),
    )
    # After an upgrade they are among what is left.
    return Server(settings, entries, rights, launch, hooks, start, left, () if left is not None else activated).run()


def _check(examined: Examined) -> int:
    """Answer what would happen; the exit code is that of a start that fails at its settings, or 0."""
    if not examined.problems:
        try:
            _set_up(examined.settings)
        except ConfigError as error:
            examined = replace(examined, problems=(str(error),))
    if examined.settings.show_config:
        _answer(as_ini(examined.settings))
        if examined.problems:
            _complain("\n".join(examined.problems))
    else:
        _answer(check_report(examined))
    return ExitCode.CONFIG if examined.problems else ExitCode.OK


def _set_up(settings: Settings) -> Hooks:
    """Raises: ConfigError: a plugin does not come up."""
    plugins = [(cast("loader.Plugin", one.plugin), one.options, one.origin) for one in settings.plugins]
    return loader.set_up(plugins, settings)


def _examine(examined: Examined) -> int:
    """Answer what will hurt; the exit code is 0 if nothing will fail."""
    sections = doctor.diagnose(examined.settings, examined.problems)
    _answer(doctor.report(sections))
    return ExitCode.CONFIG if doctor.is_ill(sections) else ExitCode.OK


def _try(examined: Examined, left: Heritage) -> int:
    """Answer whether this program can go on in the place of a running master. Raises: ConfigError: it cannot."""
    if examined.problems:
        raise ConfigError("\n".join(examined.problems))
    privileges.wanted(examined.settings)
    agree(left, examined.settings)
    _set_up(examined.settings)
    _answer(f"m2serve {__version__} can go on\n")
    return ExitCode.TAKES_OVER


def _load_again(argv: Sequence[str], left: Heritage) -> Settings:
    """The settings after an upgrade. If they cannot be had, whoever serves is lost with us: not at the first attempt.

    Raises: ConfigError: the last one.
    """
    for attempt in range(_ATTEMPTS):
        if attempt:
            time.sleep(1.0)
        try:
            settings = load(argv, os.environ, find=loader.find)
            agree(left, settings)
        except ConfigError as error:
            _complain(str(error))
            failure = error
        else:
            return settings
    raise failure


def _optimize(settings: Settings, start: Start | None) -> None:
    """Python's level is fixed when it starts, so it is started again. Raises: ConfigError: that cannot be."""
    level = min(settings.optimize or 0, _HIGHEST)
    if level <= sys.flags.optimize:
        return
    place = f"{settings.origin('optimize')}: optimize"
    origins = (origin for places in settings.origins.values() for origin in places)
    if start is None or any(origin.startswith(("-:", "fd://")) for origin in origins):  # those can be read but once
        raise ConfigError(f"{place}: m2serve cannot be started a second time like this: start it with python -O")
    try:
        start.again(level)
    except OSError as error:
        raise ConfigError(f"{place}: cannot execute {start.program[0]}: {error.strerror}") from error


def _lock_files(settings: Settings, left: Heritage | None) -> None:
    """Raises: ConfigError: somebody else has one; not after an upgrade, when others serve with us."""
    try:
        filelock.lock_files(settings, again=left is not None)
    except ConfigError as error:
        if left is None:
            raise
        logger.error("upgrade: %s", error)


def _order(orders: Iterable[tuple[str, str]]) -> int:
    """Signal servers that run. Whatever else the arguments say is about a server that is not started."""
    try:
        for order, file in orders:
            pid = client.send(order, file)
            sys.stderr.write(f"m2serve: --{order}: told pid {pid}\n")
    except ConfigError as error:
        sys.stderr.write(f"m2serve: {error}\n")
        return ExitCode.CONFIG
    return ExitCode.OK


def _log(settings: Settings) -> None:
    for line in settings.prints:
        logger.info("%s", line)
    for warning in settings.warnings:
        logger.warning("%s", warning)
    for note in settings.notes:
        logger.info("%s", note)
    if settings.umask is None and (settings.daemonize or settings.daemonize2):
        logger.info("umask is 000 in the background, as in uWSGI; the option umask sets another")


def entry() -> None:
    """For the installed command."""
    sys.exit(main(sys.argv[1:]))


def _leave_terminal(settings: Settings) -> Launch:
    """Into the background, where that is asked for. Raises: ConfigError: there is no process to be had."""
    background = (settings.daemonize or settings.daemonize2) and VASSAL not in os.environ
    if settings.umask is not None:
        os.umask(settings.umask)
    elif background:
        # uWSGI's habit; files that deployments share between users depend on it.
        os.umask(0)
    if not background:
        return Launch()
    try:
        return enter()
    except OSError as error:
        raise ConfigError(f"cannot go into the background: {error.strerror}") from error


def _open_log(settings: Settings, rights: Privileges, left: Heritage | None) -> None:
    option = next((one for one in ("daemonize", "daemonize2") if getattr(settings, one)), "logto")
    try:
        own = rights.own if settings.logfile_chown else None
        path = getattr(settings, option)
        first = shape.log_file(settings)
        if path is None and first is not None:
            option, path = "logger", first.argument
        if path is not None and settings.log_truncate and left is None:
            with suppress(OSError):
                os.truncate(path, 0)
        lines = shape.log_lines(settings, path)
        _try_request_log(settings, rights.own)
        _own_logs(settings, path, rights.own)
        log.setup(settings.log_level, path, settings.logfile_chmod, own, lines, settings.log_date)
    except ConfigError as error:
        if left is None:
            raise ConfigError(f"{settings.origin(option)}: {option}: {error}") from error
        # Perhaps it was root who opened it. The log goes on where it was: that is still open.
        log.setup(settings.log_level, date=settings.log_date)
        logger.error("upgrade: %s: %s", option, error)


def _own_logs(settings: Settings, path: str | None, own: Callable[[str], None] | None) -> None:
    """Workers open the further files of ``logger`` for themselves, too."""
    for target in settings.logger:
        if target.driver == "file" and target.argument != path and own is not None:
            own(target.argument)


def _try_request_log(settings: Settings, own: Callable[[str], None] | None) -> None:
    """Workers open it for themselves; what cannot be opened is a mistake of the settings."""
    for target in settings.req_logger:
        try:
            sink(target).close()
        except ConfigError as error:
            raise ConfigError(f"{settings.origin('req_logger')}: req-logger: {error}") from error
        if target.driver == "file" and own is not None:
            own(target.argument)


def _answer(text: str) -> int:
    try:
        # Paths need not be valid text.
        sys.stdout.buffer.write(text.encode("utf-8", "surrogateescape"))
        sys.stdout.flush()
    except BrokenPipeError:
        # ``m2serve --help | head``; what is still in the buffer must not fail again at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return ExitCode.OK


def _complain(text: str) -> None:
    lines = text.splitlines()
    sys.stderr.write("".join(f"m2serve: {line}\n" for line in lines))
    sys.stderr.write("m2serve: nothing was started; m2serve --help lists the options\n")
